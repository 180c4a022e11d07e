"""What killed runs leave behind, removed when the next one begins.

A run keeps the temporary files of its jobs in one folder beside its lock, and a list of the folders
that Snakemake has made for it elsewhere. `sweep`, called by the next run of the study when it has
the lock, removes both. `comparisons` removes the temporary folders of `minified verify`. Nothing is
removed that is not known to be this project's, that belongs to another user, or that is in use.
"""

import atexit
import contextlib
import fcntl
import json
import os
import platform
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from minified.foundations import files
from minified.study.paths import Paths

PREFIX = "minified-verify-"
"""The names of temporary folders of `minified verify` begin with this."""
MARK = ".minified-verify"
"""The file in a folder of `minified verify` that it holds locked while it works there."""
KEPT = ".minified-kept"
"""The file in such a folder that a user has named, which is therefore kept."""

_LIST = ".folders"
_TEMPORARY = ".tmp"


def sweep(lock: Path, paths: Paths) -> None:
    """Remove what earlier runs of a study left, and make its folder for temporary files.

    `lock`: the study's lock, which this process holds; the runs that held it before are dead.
    """
    for folder in (paths.root, paths.publication):
        files.sweep(folder)
    _remove_listed(lock.with_suffix(_LIST))
    lock.with_suffix(".socket").unlink(missing_ok=True)
    if not any(_is_held(other) for other in lock.parent.glob("*.lock") if other != lock):
        # Made by a server (minified.cli.server) of any study.
        for settings in lock.parent.glob("matplotlib-*"):
            shutil.rmtree(settings, ignore_errors=True)
    temporary = lock.with_suffix(_TEMPORARY).absolute()
    shutil.rmtree(temporary, ignore_errors=True)
    with contextlib.suppress(OSError):  # jobs then use the system's
        temporary.mkdir(exist_ok=True)
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)


def collect(lock: Path) -> None:
    """Keep this job's temporary files in the folder of the run that holds `lock`, if it has one."""
    temporary = lock.with_suffix(_TEMPORARY)
    if temporary.is_dir():
        os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)


def remember(lock: Path, folders: Iterable[str | Path]) -> None:
    """List folders outside the working folder that the run which holds `lock` will remove itself,
    unless it is killed.
    """
    listed = [[str(Path(folder).absolute()), Path(folder).stat().st_ino] for folder in folders]
    text = json.dumps({"node": platform.node(), "folders": listed})
    file = lock.with_suffix(_LIST).absolute()
    files.write_text(file, text + "\n", checksum=False)
    atexit.register(file.unlink, missing_ok=True)


def _remove_listed(file: Path) -> None:
    """Remove the folders that a dead run listed in `file`, and the list."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        noted = json.loads(file.read_bytes())
        if noted["node"] == platform.node():
            for name, number in noted["folders"]:
                # Another folder may have been given the same random name since.
                if _is_own_folder(Path(name)) and Path(name).lstat().st_ino == number:
                    shutil.rmtree(name, ignore_errors=True)
    file.unlink(missing_ok=True)


def comparisons() -> list[Path]:
    """Remove the temporary folders that earlier `minified verify` have left, and return them.

    They are those of this user and this machine in which no run works any more, and which the user
    has not named (`--folder`).
    """
    removed = []
    for folder in sorted(Path(tempfile.gettempdir()).glob(f"{PREFIX}*")):
        mark = folder / MARK
        if not _is_own_folder(folder) or (folder / KEPT).exists():
            continue
        with _shared([mark, *(folder / ".snakemake").glob("*.lock")]) as dead:
            if not dead:
                continue
            for listed in (folder / ".snakemake").glob(f"*{_LIST}"):
                _remove_listed(listed)
            for inner in folder.iterdir():
                if inner.is_dir() and not inner.is_symlink():
                    shutil.rmtree(inner, ignore_errors=True)
                elif inner != mark:
                    inner.unlink(missing_ok=True)
            # Last, so that what a dying job has just written is removed the next time.
            with contextlib.suppress(OSError):
                if [*folder.iterdir()] == [mark]:
                    mark.unlink()
                    folder.rmdir()
                    removed.append(folder)
    return removed


def _is_own_folder(path: Path) -> bool:
    """Whether `path` is a folder of this user, and not a link to one."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()


def _is_held(lock: Path) -> bool:
    """Whether a live run may hold `lock`."""
    with _shared([lock]) as dead:
        return not dead


@contextlib.contextmanager
def _shared(locks: Iterable[Path]) -> Iterator[bool]:
    """Whether the runs that made `locks` were of this user and machine, and are dead.

    If so, no run can take these locks until the block ends. They are taken as jobs take them that
    wait for the end of their run, so that those end meanwhile.
    """
    with contextlib.ExitStack() as taken:
        dead = True
        for lock in locks:
            try:
                file = taken.enter_context(open(lock, "rb", opener=_carefully))
                status = os.fstat(file.fileno())
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                holder = file.read(1000).decode("utf-8", "replace")
            except OSError:
                dead = False  # held, or not to be known
                break
            own = stat.S_ISREG(status.st_mode) and status.st_uid == os.getuid()
            # A lock that says nothing was taken by a run that was killed at once.
            if not own or (holder and f" on {platform.node()}," not in holder):
                dead = False
                break
        yield dead


def _carefully(path: str, flags: int) -> int:
    """Open what may have been put in a lock's place: no link is followed, no pipe waited for."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
