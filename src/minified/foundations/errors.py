"""Errors that a user can fix: one line says where the problem is, what it is, and what to do."""

from pathlib import Path


class MinifiedError(Exception):
    """Base of all errors that `minified` prints as one line instead of a traceback."""


class StudyError(MinifiedError):
    """A study's configuration is wrong.

    The message names the file, the key and the value, and says what is allowed.
    """


class RecordError(MinifiedError):
    """The record of a criterion or a figure is invalid; the message names the file and the key."""


class DataError(MinifiedError):
    """A data set is unknown, missing, altered or malformed; the message says which and how."""


class ArtefactError(MinifiedError):
    """A file that the pipeline made is missing, unreadable or malformed.

    Attributes: `path`, from which the command line finds the command that makes the file again, and
    `problem`, the rest of the message.
    """

    def __init__(self, path: Path, problem: str):
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}")

    def __reduce__(self) -> tuple[type, tuple[Path, str]]:
        return type(self), (self.path, self.problem)


class BusyError(MinifiedError):
    """Another run of the same study is working in the same folder."""


class UnsupportedNetworkError(MinifiedError, TypeError):
    """A network is not a chain that the library can prune; the message names the module."""


class AllocationError(MinifiedError, ValueError):
    """The scores, the sparsity or the scope do not allow an allocation."""


class ScoreError(MinifiedError, ValueError):
    """A criterion cannot score this network, or returned scores that cannot be ranked."""


class MaskError(MinifiedError):
    """A removed parameter did not stay zero, or a mask does not fit its network."""


class DivergenceError(MinifiedError):
    """Training diverged: a loss or a weight is no longer a finite number.

    Attributes: `replicate` (position in the list given to `fit`) and `epoch` (counted from 1).
    """

    def __init__(self, replicate: int, epoch: int, detail: str = ""):
        self.replicate = replicate
        self.epoch = epoch
        self.detail = detail
        super().__init__(f"training diverged: replicate {replicate}, epoch {epoch}{detail}")

    def __reduce__(self) -> tuple[type, tuple[int, int, str]]:
        return type(self), (self.replicate, self.epoch, self.detail)
