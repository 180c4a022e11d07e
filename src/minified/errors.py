"""The errors that a user can mend: each carries one line that says where, what, and what to do."""

from pathlib import Path


class MinifiedError(Exception):
    """Base of all errors that `minified` prints as one line instead of a traceback."""


class StudyError(MinifiedError):
    """A study's configuration is wrong: names the file, the key, the value and what is allowed."""


class DataError(MinifiedError):
    """A data set is unknown, missing, altered or malformed: names the set and what is wrong."""


class ArtefactError(MinifiedError):
    """A file that the pipeline made is missing, unreadable or of the wrong form.

    Attributes: `path`, by which the command line knows the command that makes the file again.
    """

    def __init__(self, path: Path, problem: str):
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}")

    def __reduce__(self) -> tuple[type, tuple[Path, str]]:
        return type(self), (self.path, self.problem)


class BusyError(MinifiedError):
    """Another run is working in the same place."""


class UnsupportedNetworkError(MinifiedError, TypeError):
    """A network, or a module of it, is not a chain that the library can prune: names the module."""


class AllocationError(MinifiedError, ValueError):
    """Scores, sparsity or scope from which no allocation follows."""


class ScoreError(MinifiedError, ValueError):
    """A criterion cannot score this network, or returned scores that cannot be ranked."""


class MaskError(MinifiedError):
    """A removed parameter did not stay zero, or a mask does not fit its network."""


class DivergenceError(MinifiedError):
    """Training left the finite numbers.

    Attributes: `replicate` (position in the list given to `fit`) and `epoch` (counted from 1).
    """

    def __init__(self, replicate: int, epoch: int, detail: str = ""):
        self.replicate = replicate
        self.epoch = epoch
        self.detail = detail
        super().__init__(f"training diverged: replicate {replicate}, epoch {epoch}{detail}")

    def __reduce__(self) -> tuple[type, tuple[int, int, str]]:
        return type(self), (self.replicate, self.epoch, self.detail)
