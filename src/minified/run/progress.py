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
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TextIO

from minified.foundations import files
from minified.run import costs, lock, submissions
from minified.run.job import Task
from minified.run.records import Records
from minified.run.tally import Standing, Tally
from minified.study.paths import Paths
from minified.study.studies import Study

_PLAIN_SECONDS = 30.0
_LIVE_SECONDS = 1.0
_STALE_SECONDS = 60.0
_CLEAR = "\r\x1b[2K"


class Progress(logging.Handler):
    """Follows a run by Snakemake's log records, notes its standing, and prints it: as one line that
    lives in a terminal, or else as a plain line now and then.
    """

    def __init__(
        self, tally: Tally, note: Path, out: TextIO = sys.stderr, seconds: float = _LIVE_SECONDS
    ):
        """`seconds`: how often it looks."""
        super().__init__()
        self._seconds = seconds
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
        """Print the standing once more; what is noted of it stays only if jobs have failed."""
        self._ended.set()
        self._thread.join()
        standing = self._show(plain=True, last=True)
        if self._live:
            print(file=self._out, flush=True)
        if not standing.failed:
            self._note.unlink(missing_ok=True)

    @property
    def is_alive(self) -> bool:
        """Whether it is still looking."""
        return self._thread.is_alive()

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
        while not self._ended.wait(self._seconds):
            with contextlib.suppress(OSError, ValueError):  # a full disk, a closed stream
                self._show(plain=time.monotonic() - self._printed >= _PLAIN_SECONDS)

    def _show(self, plain: bool, last: bool = False) -> Standing:
        assert self.lock is not None
        with self.lock:  # as for `emit`, which is called in other threads
            standing = self._tally.standing
        if last:
            standing = replace(standing, left=None)
        noted = asdict(standing) | {
            "pid": os.getpid(),
            "host": platform.node(),
            "ended": last,
        }
        files.write_text(self._note, json.dumps(noted) + "\n", checksum=False)
        if self._live:
            columns = os.get_terminal_size(self._out.fileno()).columns or 80
            # The cursor goes back to the beginning of the line, where others print.
            line = f"{_CLEAR}{standing.line()[: columns - 1]}\r"
            print(line, end="", file=self._out, flush=True)
        elif plain:
            self._printed = time.monotonic()
            print(f"minified: {standing.line()}", file=self._out, flush=True)
        return standing


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
    seconds: float = _LIVE_SECONDS,
) -> Progress:
    """Begin to follow a run that is to do the jobs with these log files, `width` side by side.

    `handlers`: those that print what Snakemake says; `seconds`: how often to look.
    """
    tasks = submissions.every(study, paths)
    cost = {str(paths.log(task.name)): costs.cost(study, task).seconds for task in tasks}
    expected = {log: cost.get(log, 1.0) for log in needed}
    others = [task for task in tasks if str(paths.log(task.name)) not in expected]
    # Of a study that is done in blocks, their files may have been removed afterwards.
    done = sum(task.block != "" or all(map(Path.exists, task.outputs)) for task in others)
    tally = Tally(study.name, len(tasks), expected, width, done=done)
    followed = Progress(tally, note(study.name), seconds=seconds)
    followed.begin(handlers)
    return followed


def noted(study: str) -> Standing | None:
    """The standing of a run that is alive, here or on another machine; None if there is none."""
    try:
        known = json.loads(note(study).read_bytes())
        host, process = known.pop("host"), known.pop("pid")
        alive = not known.pop("ended") and (host != platform.node() or files.alive(process))
        # By the clock of the file system, which both machines see.
        since = files.now(note(study).parent) - note(study).stat().st_mtime
        recent = since < _STALE_SECONDS
        return Standing(**known) if alive and recent else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def found(study: Study, paths: Paths) -> Standing:
    """The standing of a study that nobody runs now, by the records of its jobs. What is left of it
    is what this machine is expected to take.
    """
    records = Records(study, paths)
    tasks = submissions.every(study, paths)
    done = {task.name for task in tasks if _is_done(records, task)}
    if "publish" in done:
        # Of a finished study, files that nothing reads any more may be gone.
        return Standing(study.name, len(tasks), len(tasks))
    rest = [task for task in tasks if task.name not in done]
    seconds = sum(costs.cost(study, task).seconds for task in rest)
    failed = min(_failed(study.name), len(rest))
    return Standing(
        study=study.name,
        jobs=len(tasks),
        done=len(done),
        waiting=len(rest) - failed,
        failed=failed,
        left=seconds / submissions.side_by_side(study),
    )


def _failed(study: str) -> int:
    """How many jobs failed in the last run, if it has ended so."""
    try:
        known = json.loads(note(study).read_bytes())
        return int(known["failed"]) if known["ended"] else 0
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _is_done(records: Records, task: Task) -> bool:
    there = all(file.exists() for file in task.outputs)
    return there and records.problem(task) is None
