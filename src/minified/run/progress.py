"""Where a run stands: jobs done of all, running, waiting and failed, and the time that is left.

    progress = Progress(study, paths, needed)       # a handler of Snakemake's log records
    standing.line()                                 # "digits: 57 of 212 jobs done, 2 running, ..."

The time left follows from what the remaining jobs are expected to cost (`minified.run.costs`) and
from how fast this run has got through such costs so far, and not from the count of jobs. A run
notes its standing beside its lock, for `minified status` in another terminal.
"""

import contextlib
import json
import logging
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from minified.foundations import files
from minified.run import clock, costs, lock, submissions
from minified.run.job import Task
from minified.run.records import Records
from minified.run.submissions import duration
from minified.study.paths import Paths
from minified.study.studies import Study

_PLAIN_SECONDS = 30.0
_LIVE_SECONDS = 1.0
_LOOK_SECONDS = 5.0
_STALE_SECONDS = 60.0
_CLEAR = "\r\x1b[2K"
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
    ):
        """`expected`: the seconds of each job that this run is to do; `width`: how many of them run
        side by side.
        """
        self._study, self._jobs, self._expected = study, jobs, dict(expected)
        self._width, self._now = max(1, width), now
        self._last, self._busy, self._looked = now(), 0.0, now()
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
        running = self._pass()
        total = sum(self._expected.values())
        done = sum(self._expected[job] for job in self._done)
        lost = sum(self._expected.get(job, 0.0) for job in self._failed)
        waiting = needed - len(self._done) - len(self._failed) - running
        before = _EXPECTED_SECONDS
        speed = (done + before * self._width) / (self._busy + before)
        return Standing(
            study=self._study,
            jobs=self._jobs,
            done=self._jobs - needed + len(self._done),
            running=running,
            waiting=waiting,
            failed=len(self._failed),
            left=max(0.0, total - done - lost) / speed if waiting or running else None,
        )

    def _pass(self) -> int:
        """Let the time pass until now; return how many jobs have run in it."""
        self._look()
        # Sent to a cluster, a job waits there until its log is opened.
        running = sum(_opened(job, since) for job, since in self._started.items())
        now = self._now()
        # A queue in which nothing runs says nothing of the speed at which jobs run.
        self._busy += now - self._last if running else 0.0
        self._last = now
        return running

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


class Progress(logging.Handler):
    """Follows a run by Snakemake's log records, notes its standing, and prints it: as one line that
    lives in a terminal, or else as a plain line now and then.
    """

    def __init__(self, tally: Tally, note: Path, out: TextIO = sys.stderr):
        super().__init__()
        self._tally, self._note, self._out = tally, note, out
        self._logs: dict[Any, list[str]] = {}
        self._live = out.isatty()
        self._printed = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def begin(self, others: Iterable[logging.Handler] = ()) -> None:
        """Print and note the standing from now on, until `end`.

        `others`: handlers of which one may print to the same terminal.
        """
        for other in others if self._live else ():
            if isinstance(other, logging.StreamHandler) and other.stream is self._out:
                other.stream = _Above(self._out)
        self._show(plain=False)
        self._thread.start()

    def end(self) -> None:
        """Print the standing once more; what is noted of it goes."""
        self._ended.set()
        self._thread.join()
        self._show(plain=True)
        if self._live:
            print(file=self._out, flush=True)
        self._note.unlink(missing_ok=True)

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(getattr(record, "event", None), "value", None)
        if event == "job_info":
            logs = list(map(str, getattr(record, "log", None) or []))
            self._logs[getattr(record, "jobid", None)] = logs
            for log in logs:
                self._tally.start(log)
        elif event == "job_finished":
            for log in self._logs.get(getattr(record, "job_id", None), ()):
                self._tally.finish(log)
        elif event == "job_error":
            for log in self._logs.get(getattr(record, "jobid", None), ()):
                self._tally.fail(log, in_group=getattr(record, "indent", False))

    def _tick(self) -> None:
        while not self._ended.wait(_LIVE_SECONDS):
            with contextlib.suppress(OSError, ValueError):  # a full disk, a closed stream
                self._show(plain=time.monotonic() - self._printed >= _PLAIN_SECONDS)

    def _show(self, plain: bool) -> None:
        standing = self._tally.standing
        noted = asdict(standing) | {
            "pid": os.getpid(),
            "host": platform.node(),
            "time": time.time(),
        }
        files.write_text(self._note, json.dumps(noted) + "\n", checksum=False)
        if self._live:
            columns = os.get_terminal_size(self._out.fileno()).columns
            # The cursor goes back to the beginning of the line, where others print.
            line = f"{_CLEAR}{standing.line()[: columns - 1]}\r"
            print(line, end="", file=self._out, flush=True)
        elif plain:
            self._printed = time.monotonic()
            print(f"minified: {standing.line()}", file=self._out, flush=True)


class _Above:
    """A stream whose text takes the place of the living line, which then moves below it."""

    def __init__(self, out: TextIO):
        self._out = out

    def write(self, text: str) -> int:
        return self._out.write(f"{_CLEAR}{text}" if text.strip() else text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._out, name)


def note(study: str) -> Path:
    """Where a run notes its standing, beside its lock."""
    return lock.place(study).with_suffix(".standing").absolute()


def follow(
    study: Study,
    paths: Paths,
    needed: Sequence[str],
    width: int,
    handlers: Iterable[logging.Handler] = (),
) -> Progress:
    """Begin to follow a run that is to do the jobs with these log files, `width` side by side.

    `handlers`: those that print what Snakemake says.
    """
    tasks = submissions.every(study, paths)
    cost = {str(paths.log(task.name)): costs.cost(study, task).seconds for task in tasks}
    expected = {log: cost.get(log, 1.0) for log in needed}
    followed = Progress(Tally(study.name, len(tasks), expected, width), note(study.name))
    followed.begin(handlers)
    return followed


def noted(study: str) -> Standing | None:
    """The standing of a run that is alive, here or on another machine; None if there is none."""
    try:
        known = json.loads(note(study).read_bytes())
        here = known.pop("host") == platform.node()
        alive = files.alive(known.pop("pid")) if here else True
        recent = time.time() - known.pop("time") < _STALE_SECONDS
        return Standing(**known) if alive and recent else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def found(study: Study, paths: Paths) -> Standing:
    """The standing of a study that nobody runs now, by the records of its jobs."""
    records = Records(study, paths)
    tasks = submissions.every(study, paths)
    done = [task for task in tasks if _is_done(records, task)]
    return Standing(study.name, len(tasks), len(done), waiting=len(tasks) - len(done))


def _is_done(records: Records, task: Task) -> bool:
    there = all(file.exists() for file in task.outputs)
    return there and records.problem(task) is None
