"""The standing of a run: its counts, the time that is left, its line, and where it is noted."""

import io
import json
import logging
import os
import pty
from pathlib import Path
from types import SimpleNamespace

import pytest

from conftest import begin, minified
from minified import study
from minified.run import progress
from minified.run.clock import Spent
from minified.run.progress import Progress
from minified.run.submissions import duration
from minified.run.tally import Standing, Tally
from minified.study.paths import Paths


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def tally(folder: Path, clock: Clock, **expected: float) -> tuple[Tally, dict[str, str]]:
    """A tally of these jobs among ten, and the log of each."""
    logs = {job: str(folder / f"{job}.log") for job in expected}
    costs = {logs[job]: seconds for job, seconds in expected.items()}
    return Tally("mine", 10, costs, width=2, now=clock), logs


def opened(log: str, clock: Clock) -> None:
    Path(log).touch()
    os.utime(log, (clock.now, clock.now))


def test_jobs_are_waiting_running_done_or_failed(tmp_path: Path) -> None:
    clock = Clock()
    counted, logs = tally(tmp_path, clock, a=10, b=10, c=10)
    assert counted.standing == Standing("mine", 10, 7, waiting=3, left=15.0)
    for job in logs.values():
        counted.start(job)
    assert counted.standing.running == 0, "sent to a cluster, none has opened its log"
    opened(logs["a"], clock)
    opened(logs["b"], clock)
    assert (counted.standing.running, counted.standing.waiting) == (2, 1)
    counted.finish(logs["a"])
    counted.fail(logs["b"])
    standing = counted.standing
    assert (standing.done, standing.running, standing.waiting, standing.failed) == (8, 0, 1, 1)
    counted.start(logs["b"])
    assert counted.standing.failed == 0, "it is tried again"


def test_a_job_has_ended_when_its_log_says_so_even_if_its_submission_goes_on(
    tmp_path: Path,
) -> None:
    clock = Clock()
    counted, logs = tally(tmp_path, clock, a=10, b=10, c=10)
    for job in logs.values():
        counted.start(job)
    Path(logs["a"]).write_text(f"{Spent(1.0, 1.0, 1.0, imported=True)}\n")
    Path(logs["b"]).write_text("working\n")
    for log in (logs["a"], logs["b"]):
        os.utime(log, (clock.now, clock.now))
    clock.now += 60
    standing = counted.standing
    assert (standing.done, standing.running, standing.waiting) == (8, 1, 1)
    for job in logs.values():
        counted.fail(job, in_group=True)
    standing = counted.standing
    assert (standing.done, standing.running, standing.waiting, standing.failed) == (8, 0, 1, 1)
    counted.start(logs["a"])
    assert counted.standing.done == 7, "its submission is tried again as a whole"


def test_a_log_of_an_earlier_run_is_no_running_job(tmp_path: Path) -> None:
    clock = Clock()
    counted, logs = tally(tmp_path, clock, a=10)
    opened(logs["a"], clock)
    clock.now += 60
    counted.start(logs["a"])
    assert (counted.standing.running, counted.standing.waiting) == (0, 1)


def test_the_time_left_follows_from_costs_and_from_the_speed_so_far(tmp_path: Path) -> None:
    clock = Clock()
    counted, logs = tally(tmp_path, clock, short=10, long=90, lost=50)
    assert counted.standing.left == 75.0, "two side by side, at the expected speed"
    clock.now += 100  # while nothing runs, nothing is learned of the speed
    counted.start(logs["short"])
    opened(logs["short"], clock)
    assert counted.standing.left == 75.0
    clock.now += 20
    counted.finish(logs["short"])
    assert counted.standing.left == pytest.approx(140 / ((10 + 40) / (20 + 20)))
    counted.fail(logs["lost"])
    assert counted.standing.left == pytest.approx(90 / (50 / 40))
    counted.finish(logs["long"])
    assert counted.standing.left is None


@pytest.mark.parametrize(
    ("standing", "line"),
    [
        (Standing("s", 5, 5), "s: 5 of 5 jobs done"),
        (Standing("s", 5, 2, waiting=3), "s: 2 of 5 jobs done, 3 waiting"),
        (
            Standing("s", 2000, 1234, 2, 763, 1, 125.0),
            "s: 1,234 of 2,000 jobs done, 2 running, 763 waiting, 1 failed; about 2 min left",
        ),
    ],
)
def test_a_standing_is_one_line(standing: Standing, line: str) -> None:
    assert standing.line() == line


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "1 s"),
        (59.4, "59 s"),
        (61, "1 min"),
        (3600, "1 h"),
        (4500, "1 h 15 min"),
        (1e6, "12 days"),
    ],
)
def test_a_time_is_said_as_a_person_says_it(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def record(event: str, **values: object) -> logging.LogRecord:
    made = logging.LogRecord("snakemake", logging.INFO, "", 0, "", None, None)
    made.__dict__.update(event=SimpleNamespace(value=event), **values)
    return made


def test_what_is_counted_is_looked_at_while_jobs_begin_and_end(tmp_path: Path) -> None:
    jobs = {str(tmp_path / f"{n}.log"): 1.0 for n in range(3000)}
    followed = Progress(Tally("mine", 3000, jobs, 2), tmp_path / "note", io.StringIO(), 0.001)
    followed.begin()
    for number, log in enumerate(jobs):
        followed.handle(record("job_info", jobid=number, log=[log]))
    for number in range(3000):
        followed.handle(record("job_finished", job_id=number))
    assert followed.is_alive
    followed.end()


def test_of_a_run_of_some_jobs_the_others_are_done_if_they_are(tmp_path: Path) -> None:
    some = Tally("mine", 10, {"a": 1.0}, 2, done=4)
    assert (some.standing.done, some.standing.waiting) == (4, 1)


def test_the_line_lives_in_a_terminal_below_what_is_printed(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    counted, _ = tally(tmp_path, Clock(), a=10)
    with open(theirs, "w") as out:
        other = logging.StreamHandler(out)
        followed = Progress(counted, tmp_path / "note", out)
        followed.begin([other])
        other.emit(logging.makeLogRecord({"msg": "Snakemake says"}))
        followed.end()
        said = os.read(ours, 10_000).decode()
    line = "mine: 9 of 10 jobs done, 1 waiting"
    assert said.startswith(f"\r\x1b[2K{line}; about 5 s left\r")
    assert "\r\x1b[2KSnakemake says" in said
    assert said.rstrip().endswith(line)
    os.close(ours)


def test_snakemakes_records_are_followed_noted_and_printed(tmp_path: Path) -> None:
    clock = Clock()
    counted, logs = tally(tmp_path, clock, a=10, b=10)
    out, note = io.StringIO(), tmp_path / "note"
    followed = Progress(counted, note, out)
    followed.begin()
    for number, log in enumerate(logs.values()):
        followed.emit(record("job_info", jobid=number, log=[log]))
    followed.emit(record("job_finished", job_id=0))
    followed.emit(record("job_error", jobid=1))
    followed.emit(record("progress"))
    assert json.loads(note.read_text())["jobs"] == 10
    followed.end()
    assert out.getvalue() == "minified: mine: 9 of 10 jobs done, 1 failed\n"


def test_a_noted_standing_is_believed_while_its_run_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert progress.noted("mine") is None
    progress.note("mine").parent.mkdir()
    clock = Clock()
    counted, _ = tally(tmp_path, clock, a=10)
    followed = Progress(counted, progress.note("mine"), io.StringIO())
    followed.begin()
    assert progress.noted("mine") == counted.standing
    noted = json.loads(progress.note("mine").read_text())
    progress.note("mine").write_text(json.dumps(noted | {"pid": 2**22 + 1}))
    assert progress.noted("mine") is None
    progress.note("mine").write_text(json.dumps(noted | {"host": "elsewhere"}))
    assert progress.noted("mine") is not None
    os.utime(progress.note("mine"), (1, 1))
    assert progress.noted("mine") is None
    progress.note("mine").write_text("{")
    assert progress.noted("mine") is None
    followed.end()


def test_a_run_that_ended_with_failures_leaves_their_number(tmp_path: Path) -> None:
    counted, logs = tally(tmp_path, Clock(), a=10, b=10)
    note = tmp_path / "note"
    followed = Progress(counted, note, io.StringIO())
    followed.begin()
    counted.fail(logs["a"])
    followed.end()
    known = json.loads(note.read_text())
    assert (known["failed"], known["ended"]) == (1, True)


def test_a_study_that_nobody_runs_is_found_by_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(tmp_path)
    monkeypatch.chdir(tmp_path)
    loaded = study.load("small")
    progress.note("small").parent.mkdir()
    progress.note("small").write_text(json.dumps({"failed": 3, "ended": True}))
    standing = progress.found(loaded, Paths("small"))
    assert (standing.jobs, standing.done, standing.waiting, standing.failed) == (35, 0, 32, 3)
    assert standing.left is not None
    assert standing.left > 1
    progress.note("small").write_text(json.dumps({"failed": 3, "ended": False}))
    assert progress.found(loaded, Paths("small")).failed == 0
    assert minified(tmp_path, "prepare", "small").returncode == 0
    after = progress.found(loaded, Paths("small"))
    assert (after.done, after.waiting) == (1, 34)
    assert after.left is not None
    assert after.left < standing.left
    told = minified(tmp_path, "status", "small").stdout
    assert told == f"{after.line()}; no run is working on it\n"
