"""The time and memory of a job: it prints them as the last line of its log."""

import re
import resource
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from minified.foundations import arithmetic
from minified.run import lock

_SPENT = re.compile(
    r"minified: done in ([\d.]+) s, ([\d.]+) s of processor time, at most (\d+) MB"
    r"(, imports included(?: \((.*)\))?)?"
)
_WHO = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


@dataclass(frozen=True)
class Spent:
    """The time and memory of a job, as in the last line of its log.

    Wall and processor time are in seconds; memory is the peak in MB, shared pages included. In the
    run's warm interpreter a job's libraries are already `imported`; elsewhere their import is
    included, and `cold` says why the job was not done there.
    """

    wall: float
    processor: float
    memory: float
    imported: bool
    cold: str = ""

    def __str__(self) -> str:
        imports = "" if self.imported else ", imports included"
        if self.cold:
            imports += f" ({self.cold})"
        return (
            f"minified: done in {self.wall:.2f} s, {self.processor:.2f} s of processor time,"
            f" at most {self.memory:.0f} MB{imports}"
        )

    @classmethod
    def read(cls, log: Path) -> "Spent | None":
        """What the last line of a log says; None if its job did not finish."""
        return cls.parse(last_line(log))

    @classmethod
    def parse(cls, line: str) -> "Spent | None":
        """What a line says; None if it is another line."""
        match = _SPENT.fullmatch(line)
        if not match:
            return None
        wall, processor, memory = map(float, match.group(1, 2, 3))
        return cls(wall, processor, memory, imported=not match[4], cold=match[5] or "")


class Clock:
    """Measures the time and memory that this process spends from now on."""

    def __init__(self, cold: str = "") -> None:
        self._cold = cold
        self._start = time.perf_counter(), _processor_seconds()
        self._of_a_run = lock.follows_a_run()  # asked now, since `verify` starts a run itself

    def report(self) -> None:
        """Print what was spent if a run started this process, and nothing if a person did."""
        if not self._of_a_run:
            return
        wall = time.perf_counter() - self._start[0]
        processor = _processor_seconds() - self._start[1]
        most = max(resource.getrusage(who).ru_maxrss for who in _WHO) / 1024
        print(Spent(wall, processor, most, arithmetic.preloaded(), self._cold))


def cold_jobs(logs: Path, since: float) -> str | None:
    """Which jobs since then were not done in the run's warm interpreter, in one line; None if all.

    Args:
        logs: the folder of the jobs' logs.
        since: a time in seconds, as of `time.time`.
    """
    reasons: Counter[str] = Counter()
    for log in sorted(logs.rglob("*.log")):
        if log.stat().st_mtime >= since and (spent := Spent.read(log)) and spent.cold:
            reasons[spent.cold] += 1
    if not reasons:
        return None
    (reason, _), *others = reasons.most_common()
    more = " (and other reasons: see the logs)" if others else ""
    return (
        "minified: jobs that the warm interpreter did not do, and that imported their libraries"
        f" themselves: {reasons.total()}: {reason}{more}"
    )


def _processor_seconds() -> float:
    """Processor time of this process and of the processes that it has waited for."""
    used = [resource.getrusage(who) for who in _WHO]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def last_line(log: Path) -> str:
    """The last line of a log that is not blank."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return "nothing was logged"
    written = [line.strip() for line in lines if line.strip()]
    return written[-1][:300] if written else "nothing was logged"
