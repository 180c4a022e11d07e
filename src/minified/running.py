"""One run of a study per folder, no job that outlives its run, and a summary of what failed.

From its first line to its end the workflow holds the operating system's lock on a file beside
Snakemake's own records. The system itself lets go of it when the process ends, however it ends, so
nothing is left locked by a kill or a power cut. (Snakemake's own lock is a file, which is; the
default profile turns it off.) Jobs wait for the same lock in the background: to get it means that
their run is dead, and they end themselves before the next run starts the same job again.
"""

import base64
import contextlib
import fcntl
import json
import logging
import os
import platform
import re
import resource
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from minified import arithmetic, files
from minified.errors import BusyError
from minified.paths import Paths

RECORDS = Path(".snakemake")
_VARIABLE = "MINIFIED_RUN"
# Jobs of a dead run need a moment to notice.
_PATIENCE_SECONDS = 5.0
_SPENT = re.compile(
    r"minified: done in ([\d.]+) s, ([\d.]+) s of processor time, at most (\d+) MB(, imports.*)?"
)
_WHO = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)

_held: list[IO[str]] = []


def hold(lock: Path) -> None:
    """Take `lock` for the life of this process.

    Raises:
        BusyError: another run that is alive holds it; says which process.
    """
    if _held:
        return  # a workflow may be read more than once
    lock.parent.mkdir(parents=True, exist_ok=True)
    file = open(lock, "a+", encoding="utf-8")  # noqa: SIM115 (held open)
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            holder = _read(file)
            if _lives(holder) or time.monotonic() > until:
                raise BusyError(
                    f"another run of this study works in {Path.cwd()} ({holder or 'unknown'});"
                    " wait until it has ended or stop it, then run again"
                ) from None
            time.sleep(0.05)
        except OSError as error:
            print(
                f"minified: {lock}: cannot be locked ({error.strerror}); make sure that no other"
                " run works here",
                file=sys.stderr,
            )
            break
    file.truncate(0)
    file.write(f"process {os.getpid()} on {platform.node()}, run {time.time_ns()}\n")
    file.flush()
    _held.append(file)
    os.environ[_VARIABLE] = f"{_read(file)}|{lock.absolute()}"


def begin(paths: Paths) -> BusyError | None:
    """Begin a run of a study: take its lock, and mend what a run that was killed left behind.

    The error is returned, not raised, if another run is working: a dry run may go on then.
    """
    follow()
    try:
        hold(RECORDS / f"minified-{paths.study}.lock")
    except BusyError as error:
        return error
    files.sweep(paths.root)
    _distrust(paths)
    return None


def _distrust(paths: Paths) -> None:
    """Have outputs whose record was lost or cut off, as by a power cut, made again.

    Snakemake takes such an output for finished, and no edit makes it stale any more.
    """
    for file in paths.root.rglob("*"):
        if paths.command(file, "") is None or not file.is_file():
            continue
        name = base64.urlsafe_b64encode(str(file).encode()).decode()
        try:
            json.loads((RECORDS / "metadata" / name).read_bytes())
        except (OSError, ValueError):
            with contextlib.suppress(OSError):  # a name too long for Snakemake's plain records
                (RECORDS / "incomplete").mkdir(parents=True, exist_ok=True)
                (RECORDS / "incomplete" / name).write_text('{"external_jobid": null}')


def _read(file: IO[str]) -> str:
    file.seek(0)
    return file.read().strip()


def _lives(holder: str) -> bool:
    """Whether the process that `holder` names runs on this machine; unknown counts as not."""
    words = holder.replace(",", "").split()
    here = len(words) > 3 and words[3] == platform.node()
    return here and words[1].isdigit() and files.alive(int(words[1]))


def follow() -> None:
    """End this process when the run that started it dies; do nothing if no run did."""
    run, _, lock = os.environ.get(_VARIABLE, "").partition("|")
    # Another machine may not see this one's locks.
    if lock and f" on {platform.node()}," in run:
        threading.Thread(target=_end_with, args=(run, Path(lock)), daemon=True).start()


def _end_with(run: str, lock: Path) -> None:
    with contextlib.suppress(OSError), open(lock, encoding="utf-8") as file:
        if _read(file) == run:
            fcntl.flock(file, fcntl.LOCK_SH)
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Spent:
    """What a job took: the last line of its log.

    Seconds of wall and of processor time, and the most memory in MB, shared pages too. A job of the
    run's warm interpreter had its libraries `imported` for it; of another, that is part of it.
    """

    wall: float
    processor: float
    memory: float
    imported: bool

    def __str__(self) -> str:
        imports = "" if self.imported else ", imports included"
        return (
            f"minified: done in {self.wall:.2f} s, {self.processor:.2f} s of processor time,"
            f" at most {self.memory:.0f} MB{imports}"
        )

    @classmethod
    def read(cls, log: Path) -> "Spent | None":
        """What a log's last line says; None if its job has not ended well."""
        found = _SPENT.fullmatch(_last_line(log))
        if not found:
            return None
        return cls(float(found[1]), float(found[2]), float(found[3]), imported=not found[4])


class Clock:
    """Measures what this process spends from now on."""

    def __init__(self) -> None:
        self._start = time.perf_counter(), _processor_seconds()
        self._of_a_run = _VARIABLE in os.environ  # `verify` begins a run of its own

    def tell(self) -> None:
        """Print what was spent, if a run started this process; nothing if a person did."""
        if not self._of_a_run:
            return
        wall = time.perf_counter() - self._start[0]
        processor = _processor_seconds() - self._start[1]
        most = max(resource.getrusage(who).ru_maxrss for who in _WHO) / 1024
        print(Spent(wall, processor, most, arithmetic.preloaded()))


def _processor_seconds() -> float:
    """Of this process and those that it has waited for."""
    used = [resource.getrusage(who) for who in _WHO]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


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
