"""The source files of this package as they were when the process began, and no stale bytecode.

Python takes a compiled file for current if the date and the size of its source are the same. A
source that changed but kept both (`rsync -a`, `cp -p`) would run as it was before. `begin` removes
such compiled files; it is called before anything else of the package is imported, so this module
imports next to nothing.
"""

import os
import sys

STATE: dict[str, tuple[int, ...]] = {}
"""Inode, size and dates of each source file when `begin` was called; empty if it was not."""


def begin() -> None:
    """Note the state of all source files, and remove compiled files that may be stale."""
    # pathlib would take as long to import as all the rest.
    waiting = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]  # noqa: PTH100, PTH120
    while waiting:
        folder = waiting.pop()
        for entry in os.scandir(folder):
            if entry.is_dir():
                waiting += [] if entry.name == "__pycache__" else [entry.path]
            elif entry.name.endswith(".py"):
                status = entry.stat()
                STATE[entry.path] = state(status)
                _drop(folder, entry.name.removesuffix(".py"), status)


def state(status: os.stat_result) -> tuple[int, ...]:
    """What changes in a file's status when the file is written."""
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _drop(folder: str, name: str, source: os.stat_result) -> None:
    """Remove the compiled file of a source that was written, renamed or dated after it."""
    compiled = f"{folder}/__pycache__/{name}.{sys.implementation.cache_tag}.pyc"
    try:
        if os.stat(compiled).st_ctime_ns <= source.st_ctime_ns:  # noqa: PTH116
            os.unlink(compiled)  # noqa: PTH108
    except FileNotFoundError:
        pass
    except OSError:
        # Another user's: compile in memory.
        sys.dont_write_bytecode, sys.pycache_prefix = True, os.devnull
