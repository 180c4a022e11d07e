"""The time and memory of a job: it prints them as the last line of its log."""

import re
import resource
import time
from dataclasses import dataclass
from pathlib import Path

from minified.foundations import arithmetic
from minified.run import lock

_SPENT = re.compile(
    r"minified: done in ([\d.]+) s, ([\d.]+) s of processor time, at most (\d+) MB(, imports.*)?"
)
_WHO = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


@dataclass(frozen=True)
class Spent:
    """The time and memory of a job, as in the last line of its log.

    Wall and processor time are in seconds; memory is the peak in MB, shared pages included. In the
    run's warm interpreter a job's libraries are already `imported`; elsewhere their import is
    included.
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
        """What the last line of a log says; None if its job did not finish."""
        match = _SPENT.fullmatch(last_line(log))
        if not match:
            return None
        return cls(float(match[1]), float(match[2]), float(match[3]), imported=not match[4])


class Clock:
    """Measures the time and memory that this process spends from now on."""

    def __init__(self) -> None:
        self._start = time.perf_counter(), _processor_seconds()
        self._of_a_run = lock.follows_a_run()  # asked now, since `verify` starts a run itself

    def report(self) -> None:
        """Print what was spent if a run started this process, and nothing if a person did."""
        if not self._of_a_run:
            return
        wall = time.perf_counter() - self._start[0]
        processor = _processor_seconds() - self._start[1]
        most = max(resource.getrusage(who).ru_maxrss for who in _WHO) / 1024
        print(Spent(wall, processor, most, arithmetic.preloaded()))


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
    return written[-1][:300] if written else "nothing was logged; killed?"
