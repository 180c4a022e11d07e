"""Errors that a user can fix: one line says where the problem is, what it is, and what to do."""

import reprlib
from pathlib import Path

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxlong = _REPR.maxother = 60


def shown(value: object) -> str:
    """A value, however large, as a message shows it."""
    try:
        return _REPR.repr(value)
    except Exception:  # an integer of too many digits, or a __repr__ of someone's own
        return f"<{type(value).__name__}>"


def summary(error: BaseException) -> str:
    """The type of an error and the first line of its message that says something."""
    try:
        lines = [line.strip() for line in str(error).splitlines()]
    except Exception:  # a __str__ of someone's own
        lines = []
    first = next(filter(None, lines), "")
    name = type(error).__name__
    text = f"{name}: {first}" if first else name
    return text if len(text) <= 300 else f"{text[:297]}..."


def message(error: "MinifiedError | OSError") -> str:
    """The one line of an error that a user can fix, without its type."""
    if not isinstance(error, OSError):
        return str(error)
    file = f"{error.filename}: " if error.filename else ""
    return f"{file}{error.strerror or error}"


class MinifiedError(Exception):
    """Base of all errors that `minified` prints as one line instead of a traceback."""


class ArgumentError(MinifiedError, ValueError):
    """A public function does not take this argument.

    The message names the argument, and says what is allowed and what was given.
    """


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


class AlteredNetworkError(UnsupportedNetworkError):
    """A network of known layers does not compute what its layers say: it has hooks, or weights that
    are recomputed; the message names the module and says how to undo it.
    """


class AllocationError(MinifiedError, ValueError):
    """The scores, the sparsity or the scope do not allow an allocation."""


class ScoreError(MinifiedError, ValueError):
    """A criterion cannot score this network, or returned scores that cannot be ranked."""


class CriterionError(ScoreError):
    """A reader's own criterion raised an error, which is the `__cause__`; names file and line."""


class MaskError(MinifiedError, ValueError):
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
