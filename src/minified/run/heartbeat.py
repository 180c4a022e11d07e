"""Signs of life of a run, for where a lock says nothing of it.

NFS and Lustre may be mounted so that no file can be locked, or so that a lock counts on one machine
alone. There the file that would be locked is what tells: it names the process and the machine of
the run, whose thread gives it a new date every few seconds (the date is the server's, so that no
two clocks are compared). Whoever finds it named by a process of this machine asks the system; else
it waits and sees whether the date changes.
"""

import atexit
import contextlib
import os
import platform
import signal
import sys
import threading
import time
from pathlib import Path

from minified.foundations import files

BEAT_SECONDS = 5.0
"""How often a run gives its file a new date."""
DEAD_SECONDS = 60.0
"""A run whose file has had no new date for so long is dead: longer than a file system is late."""
_LOOK_SECONDS = 0.5
# Two runs that begin at once both have written their names by then.
_SETTLE_SECONDS = 1.0


def named(holder: str) -> tuple[int | None, str]:
    """The process and the machine in `process 12 on NODE, run 34`; without them, None and ""."""
    words = holder.replace(",", "").split()
    if len(words) > 3 and words[1].isdigit():
        return int(words[1]), words[3]
    return None, ""


def beats(lock: Path, holder: str, *, locked: bool) -> bool:
    """Whether the run that `holder` names lives, so far as locks do not tell.

    `locked`: this process has the lock, so that no other process of this machine can have it.
    """
    process, node = named(holder)
    if process is None:
        return False
    here = node == platform.node()
    if here and (locked or not files.alive(process)):
        return False
    last = _date(lock)
    if files.now(lock.parent) - last > DEAD_SECONDS:
        return False
    if here:
        return True
    print(
        f"minified: {lock}: {holder}: on that machine a run was working here; waiting for a sign of"
        f" life, at most {DEAD_SECONDS:.0f} s",
        file=sys.stderr,
        flush=True,
    )
    dates, until = {last}, time.monotonic() + DEAD_SECONDS
    while time.monotonic() < until:
        if (now := _holder(lock)) != holder:  # it has ended, or a third run has begun
            return bool(now)
        dates.add(_date(lock))
        # The second date may be the last one of a dead run, seen late.
        if len(dates) > 2:
            return True
        time.sleep(_LOOK_SECONDS)
    return False


def overtaken(lock: Path, own: str) -> bool:
    """Whether another run wrote its name over `own` at the same moment."""
    time.sleep(_SETTLE_SECONDS)
    return _holder(lock) != own


def begin(lock: Path, own: str) -> None:
    """Give signs of life until this process ends; end it if another run takes its place."""
    process = os.getpid()

    def end() -> None:
        # A run that says that it has ended spares the next one the waiting.
        if os.getpid() == process and _holder(lock) == own:
            with contextlib.suppress(OSError):
                os.truncate(lock, 0)

    atexit.register(end)
    threading.Thread(target=_beat, args=(lock, own), daemon=True).start()


def _beat(lock: Path, own: str) -> None:
    while True:
        time.sleep(BEAT_SECONDS)
        holder = _holder(lock)
        if holder not in (own, "", None):
            print(
                f"minified: {lock}: another run has begun here ({holder}); this one ends",
                file=sys.stderr,
                flush=True,
            )
            os.kill(os.getpid(), signal.SIGINT)
            return
        with contextlib.suppress(OSError):
            os.utime(lock)


def wait(run: str) -> None:
    """Return when the process of this machine that `run` names has ended."""
    process, _ = named(run)
    while process is not None and files.alive(process):
        time.sleep(_LOOK_SECONDS)


def _date(lock: Path) -> float:
    """The date of a file, as its server has it: opening it asks the server."""
    try:
        with open(lock, "rb") as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return 0.0


def _holder(lock: Path) -> str | None:
    """Whom the lock names now; None if it cannot be read."""
    try:
        return lock.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
