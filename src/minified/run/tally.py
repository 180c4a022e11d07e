"""Counts the jobs of a run: done of all, running, waiting and failed, and the time that is left.

tally = Tally("digits", 212, expected, width=2)     # expected: seconds of each job, by its log
tally.standing.line()                               # "digits: 57 of 212 jobs done, 2 running"
"""

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from minified.run import clock
from minified.run.submissions import duration

_LOOK_SECONDS = 5.0
# For so many seconds, a run is taken to be as fast as is expected; what is measured adds to that.
_EXPECTED_SECONDS = 20.0


@dataclass(frozen=True)
class Standing:
    """How far a study is. `left`: expected seconds until its end; None if no run works on it."""

    study: str
    jobs: int
    done: int
    running: int = 0
    waiting: int = 0
    failed: int = 0
    left: float | None = None

    def line(self) -> str:
        """All of it in one line."""
        counts = [f"{self.study}: {self.done:,} of {self.jobs:,} jobs done"]
        counts += [
            f"{count:,} {what}"
            for count, what in (
                (self.running, "running"),
                (self.waiting, "waiting"),
                (self.failed, "failed"),
            )
            if count
        ]
        end = "" if self.left is None else f"; about {duration(self.left)} left"
        return ", ".join(counts) + end


class Tally:
    """Counts the jobs of a run as they begin and end. A job is named by its log file."""

    def __init__(
        self,
        study: str,
        jobs: int,
        expected: Mapping[str, float],
        width: int,
        now: Callable[[], float] = time.time,
        done: int | None = None,
    ):
        """`expected`: the seconds of each job that this run is to do; `width`: how many of them run
        side by side; `done`: how many others are done, by default all of them.
        """
        self._before = jobs - len(expected) if done is None else done
        self._study, self._jobs, self._expected = study, jobs, dict(expected)
        self._width, self._now = max(1, width), now
        self._last, self._busy, self._looked = now(), 0.0, now()
        self._running = 0
        self._started: dict[str, float] = {}
        self._done: set[str] = set()
        self._failed: set[str] = set()

    def start(self, job: str) -> None:
        self._pass()
        self._failed.discard(job)  # it is tried again
        self._done.discard(job)
        if job in self._expected:
            self._started.setdefault(job, self._now())

    def finish(self, job: str) -> None:
        self._pass()
        self._started.pop(job, None)
        self._failed.discard(job)
        if job in self._expected:
            self._done.add(job)

    def fail(self, job: str, in_group: bool = False) -> None:
        """`in_group`: with a submission of many jobs, of which some had ended or not begun."""
        self._pass()
        if in_group and job in self._done:
            return
        since = self._started.pop(job, None)
        self._done.discard(job)
        if not in_group:
            self._failed.add(job)
        elif since is not None and _opened(job, since):
            (self._done if clock.Spent.read(Path(job)) else self._failed).add(job)

    @property
    def standing(self) -> Standing:
        needed = len(self._expected)
        self._pass()
        self._look()
        # Sent to a cluster, a job waits there until its log is opened.
        running = sum(_opened(job, since) for job, since in self._started.items())
        self._running = running
        total = sum(self._expected.values())
        done = sum(self._expected[job] for job in self._done)
        lost = sum(self._expected.get(job, 0.0) for job in self._failed)
        waiting = needed - len(self._done) - len(self._failed) - running
        before = _EXPECTED_SECONDS
        speed = (done + before * self._width) / (self._busy + before)
        return Standing(
            study=self._study,
            jobs=self._jobs,
            done=self._before + len(self._done),
            running=running,
            waiting=waiting,
            failed=len(self._failed),
            left=max(0.0, total - done - lost) / speed if waiting or running else None,
        )

    def _pass(self) -> None:
        """Let the time pass until now."""
        now = self._now()
        # A queue in which nothing runs says nothing of the speed at which jobs run.
        self._busy += now - self._last if self._running else 0.0
        self._last = now

    def _look(self) -> None:
        """Now and then, see which jobs have ended: of a submission, Snakemake tells that only when
        all have.
        """
        if self._now() - self._looked < _LOOK_SECONDS:
            return
        self._looked = self._now()
        for job, since in list(self._started.items()):
            if _opened(job, since) and clock.Spent.read(Path(job)):
                del self._started[job]
                self._done.add(job)


def _opened(log: str, since: float) -> bool:
    with contextlib.suppress(OSError):
        # The clocks of a file system and of this machine may differ a little.
        return Path(log).stat().st_mtime >= since - 2
    return False
