"""Files that another machine has written, and that this one may not see yet.

A file system that machines share may be late: for some seconds a new file is not there, and a
replaced one is as it was before. So what the files of a run seem to say against a job counts only
if it lasts. On one machine nothing is late, and nothing waits.
"""

import contextlib
import os
import time
from collections.abc import Callable
from typing import TypeVar

from minified.foundations.errors import ArtefactError

_VARIABLE = "MINIFIED_LATE"
_LOOK_SECONDS = 0.5
# As in the profiles for clusters.
_USUAL_SECONDS = 30.0

Seen = TypeVar("Seen")


def expect(seconds: float | None = None) -> None:
    """From now on, this process and the jobs that it starts reckon with files that are late: by so
    much, or else by what was said before.
    """
    if seconds is not None:
        os.environ[_VARIABLE] = f"{seconds:g}"
    os.environ.setdefault(_VARIABLE, f"{_USUAL_SECONDS:g}")


def patience() -> float:
    """The seconds by which files may be late; 0 on one machine."""
    try:
        return max(0.0, float(os.environ.get(_VARIABLE, "0")))
    except ValueError:
        return 0.0


def settled(look: Callable[[], Seen]) -> Seen:
    """What `look` returns once it raises no ArtefactError; one that lasts is raised."""
    until = time.monotonic() + patience()
    while True:
        try:
            return look()
        except ArtefactError as error:
            if time.monotonic() >= until:
                raise
            refresh(error.path.parent)
            time.sleep(_LOOK_SECONDS)


def refresh(folder: os.PathLike[str]) -> None:
    """Ask the server for a folder's names: opening a folder makes NFS look again."""
    with contextlib.suppress(OSError):
        os.scandir(folder).close()
