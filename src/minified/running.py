"""One run of a study per folder, no job that outlives its run, and a summary of what failed.

While it runs, the workflow holds the operating system's lock on results/STUDY/.lock. The system
itself lets go of it when the process ends, however it ends, so nothing is left locked by a kill or
a power cut. (Snakemake's own lock is a file, which is; the default profile turns it off.) Jobs wait
for the same lock in the background: to get it means that their run is dead, and they end
themselves before the next run starts the same job again.
"""

import contextlib
import fcntl
import logging
import os
import platform
import signal
import sys
import threading
import time
from pathlib import Path
from typing import IO

from minified import files
from minified.errors import BusyError

_VARIABLE = "MINIFIED_RUN"
# Jobs of a dead run need a moment to notice.
_PATIENCE_SECONDS = 5.0

_held: list[IO[str]] = []


def hold(folder: Path) -> None:
    """Lock `folder` for the life of this process, and clear away what a killed run left there.

    Raises:
        BusyError: another run holds it; says which process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = open(folder / ".lock", "a+", encoding="utf-8")  # noqa: SIM115 (held open)
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > until:
                file.seek(0)
                raise BusyError(
                    f"{folder}: another run is working here ({file.read().strip() or 'unknown'});"
                    " wait until it has ended or stop it, then run again"
                ) from None
            time.sleep(0.1)
        except OSError as error:
            print(
                f"minified: {folder}: cannot be locked ({error.strerror}); make sure that no other"
                " run works here",
                file=sys.stderr,
            )
            break
    file.truncate(0)
    file.write(f"process {os.getpid()} on {platform.node()}\n")
    file.flush()
    _held.append(file)
    files.sweep(folder)
    # Another machine may not see this lock: only jobs on this one follow it.
    os.environ[_VARIABLE] = f"{platform.node()}:{(folder / '.lock').absolute()}"


def follow() -> None:
    """End this process when the run that started it dies; do nothing if no run did."""
    node, _, lock = os.environ.get(_VARIABLE, "").partition(":")
    if not lock or node != platform.node():
        return
    threading.Thread(target=_end_with, args=(Path(lock),), daemon=True).start()


def _end_with(lock: Path) -> None:
    with contextlib.suppress(OSError), open(lock, encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        os.kill(os.getpid(), signal.SIGKILL)


class Failures(logging.Handler):
    """Collects the failed jobs of a Snakemake run from its log records."""

    def __init__(self) -> None:
        super().__init__()
        self.logs: dict[str, str] = {}
        """By log file, the rule whose job failed."""

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(getattr(record, "event", None), "value", None) == "job_error":
            for log in getattr(record, "log", None) or ["no log"]:
                self.logs[log] = getattr(record, "rule_name", "?")

    def summary(self) -> str:
        """What failed, why (the last line of its log), and where the log is."""
        lines = [f"{len(self.logs)} failed; what did not depend on it was finished and is kept:"]
        for log, rule in self.logs.items():
            lines.append(f"  {rule}: {_last_line(Path(log))} (log: {log})")
        lines.append("Mend the cause and run the same command: finished jobs are not repeated.")
        return "\n".join(lines)


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return "nothing was logged"
    said = [line.strip() for line in lines if line.strip()]
    return said[-1][:300] if said else "nothing was logged; killed?"
