"""A summary of what failed, collected while a workflow runs."""

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minified.run import clock, silence
from minified.study.refusals import cut

_MISSING = re.compile(r"Job (\d+) +completed successfully, but some output files are missing")
# What a shell says of a command that it does not find, or whose interpreter it does not find.
_NO_COMMAND = re.compile(
    r"\bminified: (command not found|not found|Permission denied|No such file or directory"
    r"|cannot execute: required file not found)$"
    r"|\bminified: .*: bad interpreter: .*|\bModuleNotFoundError: No module named 'minified'$"
)
# What is said on a node that does not have the folder of the run, or not its environment.
_NOT_THERE = re.compile(
    r"No such file or directory|can't cd|couldn't chdir|Unable to chdir|not found|bad interpreter"
    r"|No module named '(?:minified|snakemake)'"
)
_MOST_CHARACTERS = 300
_CLOCKS_DIFFER = 2.0  # seconds, of a file system's clock and this machine's
# As Slurm's daemon says why it ended a job, in the job's own output.
_SCHEDULERS_WORD = re.compile(r"^(?:slurmstepd|slurmd|srun|sbatch)\S*: error: (.*\S)", re.MULTILINE)


@dataclass(frozen=True)
class _Job:
    rule: str
    logs: tuple[str, ...]
    outputs: tuple[str, ...]
    sent: float

    def has_begun(self, log: str) -> bool:
        """Whether a log is of this time, and not of an earlier run."""
        try:
            return Path(log).stat().st_mtime > self.sent - _CLOCKS_DIFFER
        except OSError:
            return False


class Failures(logging.Handler):
    """Collects the failed jobs of a Snakemake run from its log records.

    A job also counts as failed if it ended without an error but not all of its files are there.
    One that failed and succeeded when it was tried again does not.
    """

    def __init__(self) -> None:
        super().__init__()
        self.logs: dict[str, str] = {}
        """The rule of each failed job, by its log file."""
        self._started: dict[Any, _Job] = {}
        self._missing: dict[str, list[str]] = {}
        self._schedulers: dict[str, str] = {}
        self._unbegun: set[str] = set()
        self._in_group: set[str] = set()
        self._of_group = ""

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(getattr(record, "event", None), "value", None)
        if event == "job_info":
            self._started[getattr(record, "jobid", None)] = _job(record)
        elif event == "group_error":
            self._of_group = _schedulers_log(record)
        elif event == "job_error":
            self._note_failed(record)
        elif event == "job_finished":
            if job := self._started.get(getattr(record, "job_id", None)):
                for log in job.logs:
                    self.logs.pop(log, None)
                    self._missing.pop(log, None)
                    self._unbegun.discard(log)
        elif event == "error":
            self._note_missing(record.getMessage())

    def _note_failed(self, record: logging.LogRecord) -> None:
        in_group = getattr(record, "indent", False)
        known = self._started.get(getattr(record, "jobid", None), _job(record))
        for log in _job(record).logs:
            if in_group:
                self._in_group.add(log)
                # Snakemake reports all of its jobs, also those that ended well or had not begun.
                (self._unbegun.discard if known.has_begun(log) else self._unbegun.add)(log)
                if log not in self._unbegun and clock.Spent.read(Path(log)):
                    self.logs.pop(log, None)
                    continue
            self.logs[log] = _job(record).rule
            self._schedulers[log] = self._of_group if in_group else _schedulers_log(record)

    def _note_missing(self, message: str) -> None:
        """Note a job whose files are not there: Snakemake reports it as an error of the workflow,
        with the job's number alone.
        """
        found = _MISSING.search(message)
        job = self._started.get(int(found[1])) if found else None
        if job is None:
            return
        for log in job.logs:
            self.logs[log] = job.rule
            # Each is on a line of its own, with a remark in brackets.
            self._missing[log] = [name for name in job.outputs if f"\n{name} (" in message]

    def summary(self) -> str:
        """What failed, why (from its log), and where the logs are: its own, and the scheduler's."""
        # Of a submission's jobs, since their logs may have been late.
        ended = {log for log in self._in_group if clock.Spent.read(Path(log))} - self._unbegun
        failed = {log: rule for log, rule in self.logs.items() if log not in ended}
        begun = {log: rule for log, rule in failed.items() if log not in self._unbegun}
        unbegun: dict[str, list[str]] = {}
        for log in failed.keys() - begun.keys():
            unbegun.setdefault(self._schedulers.get(log, ""), []).append(log)
        # With such a job, what was sent with it and had not begun is no failure of its own.
        spoilt = {self._schedulers.get(log, "") for log in begun}
        lost = [place for place in unbegun if place not in spoilt]
        lines = [
            f"{len(begun) + len(lost)} failed; what did not depend on it was finished and is kept:"
        ]
        lines += [f"  {rule}: {self._why(log)}" for log, rule in begun.items()]
        for place in lost:
            logs = sorted(unbegun[place])
            more = f" and {len(logs) - 1} more" if len(logs) > 1 else ""
            lines.append(
                f"  {self.logs[logs[0]]}{more}: could not begin{_words(place)}{_mend(place)}"
                f" (log: {logs[0]}{_and(place)})"
            )
        if waiting := sum(len(unbegun[place]) for place in unbegun.keys() & spoilt):
            lines.append(f"{waiting} of the same submissions had not begun.")
        lines.append("Fix the problem and run the same command: finished jobs are not repeated.")
        return "\n".join(lines)

    def _why(self, log: str) -> str:
        place = self._schedulers.get(log, "")
        if log in self._missing:
            files = ", ".join(self._missing[log]) or "all of its files"
            last = cut(clock.last_line(Path(log)), _MOST_CHARACTERS)
            why = f"ended without an error and without {files}; its log ends: {last}"
            if not Path(log).is_file():
                why = (
                    f"ended without an error, but neither {files} nor its log is here: the machine"
                    " where it ran does not share this folder; run in a folder that all nodes see,"
                    " or with a longer latency-wait if it is only slow"
                )
        else:
            why = silence.why(Path(log), reason(Path(log)))
        # Where the job itself says why, the scheduler only says that it ended.
        words = "" if why.startswith("minified: ") else _words(place)
        return f"{why}{words} (log: {log}{_and(place)})"


def reason(log: Path) -> str:
    """Why a job failed: the line of its log that says so, or what little the log says."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return "nothing was logged"
    written = [line.strip() for line in lines if line.strip()]
    said = [line for line in written if line.startswith("minified: ")]
    if said and not clock.Spent.parse(said[-1]):
        line = said[-1]
    elif said:
        line = "ended without an error, but not all of its files are there"
    elif unready := next(filter(_NO_COMMAND.search, written), None):
        line = (
            f"the environment is not on the machine where it ran ({cut(unready, 120)}); make it"
            " (`make environment`) in a folder that all nodes see"
        )
    elif raised := _raised(lines):
        line = raised
    elif written:
        line = f"ended without saying why (killed?); its log ends: {written[-1]}"
    else:
        line = "nothing was logged"
    return cut(line, _MOST_CHARACTERS)


def _raised(lines: list[str]) -> str | None:
    """The type and the first line of the last error of which a log has the traceback."""
    begins = [place for place, line in enumerate(lines) if line.startswith("Traceback (most ")]
    if not begins:
        return None
    # Its frames are indented; the error is not, nor are the further lines of its message.
    after = [line.strip() for line in lines[begins[-1] + 1 :] if line[:1].strip()]
    if len(after) > 1 and after[0].endswith(":"):
        return f"{after[0]} {after[1]}"
    return after[0] if after else None


def _schedulers_log(record: logging.LogRecord) -> str:
    return next(map(str, getattr(record, "aux_logs", None) or []), "")


def _words(place: str) -> str:
    """What a scheduler's log says of the end of a job, if it says something."""
    try:
        said = _SCHEDULERS_WORD.findall(Path(place).read_text(errors="replace")) if place else []
    except OSError:
        return ""
    if said:
        return f"; the scheduler: {cut(said[0], _MOST_CHARACTERS)}"
    return f"; its log ends: {cut(clock.last_line(Path(place)), _MOST_CHARACTERS)}" if place else ""


def _mend(place: str) -> str:
    """What to do about a submission none of whose jobs could begin."""
    try:
        said = Path(place).read_text(errors="replace") if place else ""
    except OSError:
        return (
            "; nor is the scheduler's log here: the machine where it ran may not see this folder;"
            " run in a folder that all nodes see"
        )
    if _NOT_THERE.search(said):
        return (
            "; this folder or its environment is not on the machine where it ran: `make"
            " environment` in a folder that all nodes see"
        )
    return ""


def _and(place: str) -> str:
    return f", and the scheduler's: {place}" if place else ""


def _job(record: logging.LogRecord) -> _Job:
    return _Job(
        getattr(record, "rule_name", "?"),
        tuple(getattr(record, "log", None) or ["no log"]),
        tuple(getattr(record, "output", None) or []),
        record.created,
    )
