"""What failed, and why: a job's last line, and the summary of a run that quotes it."""

import logging
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from conftest import HEAD, SMALL, begin, snakemake
from minified.cli import ending
from minified.foundations import arithmetic
from minified.foundations.errors import CriterionError, MinifiedError, ScoreError
from minified.run import clock, failures

DONE = str(clock.Spent(1.25, 0.5, 312.0, imported=True))


# The last line of a command


class OddError(Exception):
    """Breaks whoever prints it."""

    def __str__(self) -> str:
        raise ValueError


def criterion_error() -> CriterionError:
    try:
        sys.exit(0)
    except SystemExit as end:
        error = CriterionError("criterion snip: snip.py, line 3: SystemExit: 0")
        error.__cause__ = end
    return error


@pytest.mark.parametrize(
    ("error", "line", "traced"),
    [
        (ScoreError("snip: has no file"), "snip: has no file", False),
        (ScoreError("of\ntwo lines"), r"of\ntwo lines", False),
        (FileNotFoundError(2, "No such file or directory", "x.csv"), "x.csv: No such file", False),
        (criterion_error(), "criterion snip: snip.py, line 3: SystemExit: 0", True),
        (ValueError("first\nsecond"), "ValueError: first (test_failures.py, line ", True),
        (ValueError("\n  \n second\n"), "ValueError: second (test_failures.py, line ", True),
        (KeyError("x"), "KeyError: 'x' (test_failures.py, line ", True),
        (MemoryError(), "MemoryError (test_failures.py, line ", True),
        (OddError(), "OddError (test_failures.py, line ", True),
        (GeneratorExit("x"), "GeneratorExit: x (test_failures.py, line ", True),
        (ExceptionGroup("two", [ValueError()]), "ExceptionGroup: two (1 sub-exception)", True),
        (ValueError("x" * 10_000), "ValueError: xxx", True),
    ],
)
def test_a_command_that_fails_ends_with_one_line_that_says_why(
    capfd: pytest.CaptureFixture[str], error: BaseException, line: str, traced: bool
) -> None:
    def command() -> None:
        print("printed before")
        raise error

    with pytest.raises(SystemExit) as caught, ending.reported():
        command()
    assert caught.value.code == 1
    captured = capfd.readouterr()
    lines = captured.err.splitlines()
    assert lines[-1].startswith(f"minified: {line}")
    assert len(lines[-1]) < 500
    assert traced == ("Traceback (most recent call last):" in captured.err)
    assert traced == (len(lines) > 1)
    assert captured.out == "printed before\n"


@pytest.mark.parametrize("code", [0, None, 1, "enough"])
def test_a_stage_that_exits_has_failed_whatever_status_it_asks_for(code: Any) -> None:
    says = r"score: something in it ended Python \(SystemExit"
    with pytest.raises(MinifiedError, match=says), ending.returning("score"):
        sys.exit(code)


def test_an_interrupted_stage_says_so_and_passes_it_on(
    capfd: pytest.CaptureFixture[str],
) -> None:
    stop = KeyboardInterrupt()
    for line in ("interrupted", "criterion snip: snip.py, line 3: KeyboardInterrupt"):
        with pytest.raises(KeyboardInterrupt), ending.returning("score"):
            raise stop
        assert capfd.readouterr().err == f"minified: {line}\n"
        stop.add_note("criterion snip: snip.py, line 3: KeyboardInterrupt")


def test_a_job_that_the_warm_interpreter_cannot_do_is_left_to_its_command() -> None:
    with pytest.raises(arithmetic.OtherPinsError), ending.reported():
        raise arithmetic.OtherPinsError


# Why a job failed, from its log

TRACEBACK = 'Traceback (most recent call last):\n  File "a.py", line 3, in f\n    g()\n'


@pytest.mark.parametrize(
    ("log", "why"),
    [
        ("minified: snip: no\n", "minified: snip: no"),
        ("a warning\nminified: snip: no\n\n", "minified: snip: no"),
        ("minified: snip: no\nprinted at exit\n", "minified: snip: no"),
        (f"{TRACEBACK}ValueError: x\nminified: ValueError: x\n", "minified: ValueError: x"),
        (f"{TRACEBACK}ValueError: first\nsecond\n", "ValueError: first"),
        (f"{TRACEBACK}ValueError: first\n\n  second\nthird\n", "ValueError: first"),
        (f"{TRACEBACK}ValueError:\nsecond\n", "ValueError: second"),
        (f"{TRACEBACK}ValueError\n", "ValueError"),
        (f"{TRACEBACK}KeyError: 1\n\nDuring handling:\n\n{TRACEBACK}A: b\nc\n", "A: b"),
        (f"{DONE}\n", "ended without an error, but not all of its files are there"),
        ("epoch 3\n", "ended without saying why (killed?); its log ends: epoch 3"),
        (
            "/usr/bin/bash: line 1: minified: command not found\n",
            "the environment is not on the machine where it ran (/usr/bin/bash: line 1: minified:"
            " command not found); make it (`make environment`) in a folder that all nodes see",
        ),
        ("", "nothing was logged"),
        ("\n \n", "nothing was logged"),
        (None, "nothing was logged"),
    ],
)
def test_the_reason_of_a_failure_is_the_line_that_says_it(
    tmp_path: Path, log: str | None, why: str
) -> None:
    file = tmp_path / "log"
    if log is not None:
        file.write_text(log)
    assert failures.reason(file) == why


def test_a_long_reason_is_cut(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("minified: " + "x" * 9_999)
    assert len(failures.reason(tmp_path / "log")) == 300


# The records of a run


class Run:
    """A logger as Snakemake's, with its summary."""

    def __init__(self, folder: Path) -> None:
        self.handler = failures.Failures()
        self.logger = logging.Logger("snakemake")
        self.logger.addHandler(self.handler)
        self.folder = folder

    def log(self, event: str, _message: str = "", **fields: Any) -> None:
        self.logger.info(_message, extra={"event": SimpleNamespace(value=event), **fields})

    def job(self, number: int, said: str) -> dict[str, Any]:
        """A job that has started, and what it has logged."""
        file = self.folder / f"{number}.log"
        file.write_text(said)
        job: dict[str, Any] = {
            "rule_name": "score",
            "log": [str(file)],
            "output": [f"{number}.csv", "b.csv"],
        }
        self.log("job_info", jobid=number, **job)
        return {"jobid": number, **job}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


MISSING = (
    "MissingOutputException in rule score in file methods.smk, line 21:\n"
    "Job 3  completed successfully, but some output files are missing. Missing files after 5"
    " seconds. This might be due to filesystem latency.\n"
    "3.csv (missing locally, parent dir contents: b.csv)"
)


def test_a_job_that_is_done_without_its_file_is_in_the_summary(run: Run) -> None:
    run.job(3, f"{DONE}\n")
    run.job(4, f"{DONE}\n")
    run.log("error", MISSING, exception="MissingOutputException")
    run.log("job_finished", job_id=4)
    assert list(run.handler.logs.values()) == ["score"]
    summary = run.handler.summary()
    assert summary.startswith("1 failed")
    assert (
        "score: ended without an error and without 3.csv; its log ends: minified: done" in summary
    )
    assert "3.log" in summary


@pytest.mark.parametrize(
    "said",
    [
        "/bin/sh: 1: minified: not found",
        "bash: /shared/.venv/bin/minified: /shared/.venv/bin/python: bad interpreter: No such file",
        "bash: line 1: /shared/.venv/bin/minified: cannot execute: required file not found",
        f"{TRACEBACK}ModuleNotFoundError: No module named 'minified'",
    ],
)
def test_a_node_without_the_environment_is_named_with_what_to_do(tmp_path: Path, said: str) -> None:
    log = tmp_path / "log"
    log.write_text(f"{said}\n")
    assert failures.reason(log).startswith("the environment is not on the machine where it ran (")
    log.write_text(f"{TRACEBACK}ModuleNotFoundError: No module named 'own'\n")
    assert failures.reason(log) == "ModuleNotFoundError: No module named 'own'"


def test_a_folder_that_a_node_does_not_see_is_named_with_what_to_do(run: Run) -> None:
    job = run.job(3, "")
    Path(job["log"][0]).unlink()
    run.log("error", MISSING, exception="MissingOutputException")
    summary = run.handler.summary()
    assert "neither 3.csv nor its log is here" in summary
    assert "run in a folder that all nodes see" in summary


def test_a_job_that_succeeds_when_it_is_tried_again_has_not_failed(run: Run) -> None:
    run.log("job_error", **run.job(3, "minified: busy\n"))
    run.job(4, f"{DONE}\n")
    run.log("error", MISSING.replace("Job 3", "Job 4"), exception="MissingOutputException")
    assert len(run.handler.logs) == 2
    run.log("job_finished", job_id=3)
    run.log("job_finished", job_id=4)
    assert run.handler.logs == {}


def test_of_a_group_only_the_jobs_that_failed_are_in_the_summary(run: Run) -> None:
    run.log("job_error", indent=True, **run.job(3, f"{DONE}\n"))
    run.log("job_error", indent=True, **run.job(4, "minified: snip: no\n"))
    assert [Path(log).name for log in run.handler.logs] == ["4.log"]


KILLED = "working\nslurmstepd-n1: error: *** JOB 7 ON n1 CANCELLED AT now DUE TO TIME LIMIT ***\n"


def test_of_a_submission_the_job_is_named_that_failed_with_the_schedulers_word(run: Run) -> None:
    scheduler = run.folder / "7.out"
    scheduler.write_text(KILLED)
    begun, waiting = run.job(3, "half a line"), run.job(4, "")
    Path(waiting["log"][0]).unlink()
    run.log("group_error", aux_logs=[str(scheduler)])
    run.log("job_error", indent=True, **begun)
    run.log("job_error", indent=True, **waiting)
    first, line, others, last = run.handler.summary().splitlines()
    assert first.startswith("1 failed")
    assert "CANCELLED AT now DUE TO TIME LIMIT" in line
    assert line.endswith(f"(log: {begun['log'][0]}, and the scheduler's: {scheduler})")
    assert others == "1 of the same submissions had not begun."
    assert last.startswith("Fix the problem")


def test_a_log_of_an_earlier_run_does_not_count_in_a_submission(run: Run) -> None:
    old = run.job(3, f"{DONE}\n")
    os.utime(old["log"][0], (1, 1))
    run.log("group_error", aux_logs=[])
    run.log("job_error", indent=True, **old)
    assert "score: could not begin" in run.handler.summary()


def test_a_submission_whose_node_is_broken_is_one_line(run: Run) -> None:
    scheduler = run.folder / "7.out"
    scheduler.write_text("/bin/sh: 1: exec: python: not found\n")
    submitted = [run.job(number, "") for number in (3, 4, 5)]
    for job in submitted:
        Path(job["log"][0]).unlink()
    run.log("group_error", aux_logs=[str(scheduler)])
    for job in submitted:
        run.log("job_error", indent=True, **job)
    first, line, _ = run.handler.summary().splitlines()
    assert first.startswith("1 failed")
    assert line.startswith("  score and 2 more: could not begin; its log ends: /bin/sh: 1: exec")
    assert "; this folder or its environment is not on the machine where it ran: `make" in line
    assert line.endswith(f"and the scheduler's: {scheduler})")
    scheduler.unlink()
    assert "; nor is the scheduler's log here: the machine" in run.handler.summary()


def test_the_last_attempt_of_a_submission_counts(run: Run) -> None:
    waiting = run.job(3, "")
    Path(waiting["log"][0]).unlink()
    run.log("group_error", aux_logs=[])
    run.log("job_error", indent=True, **waiting)
    assert "could not begin" in run.handler.summary()
    run.log("group_error", aux_logs=[])
    run.log("job_error", indent=True, **run.job(3, "minified: no\n"))
    assert "  score: minified: no (log: " in run.handler.summary()
    run.log("group_error", aux_logs=[])
    run.log("job_error", indent=True, **run.job(3, f"{DONE}\n"))
    assert run.handler.logs == {}


def test_a_submission_that_succeeds_when_it_is_tried_again_has_not_failed(run: Run) -> None:
    jobs = [run.job(number, "") for number in (3, 4)]
    run.log("group_error", aux_logs=[])
    for job in jobs:
        run.log("job_error", indent=True, **job)
    for number in (3, 4):
        run.log("job_finished", job_id=number)
    assert run.handler.logs == {}


@pytest.mark.parametrize("message", ["odd", MISSING.replace("Job 3", "Job 99"), ""])
def test_other_errors_of_a_workflow_are_no_job_s(run: Run, message: str) -> None:
    run.job(3, "")
    run.log("error", message, exception="WorkflowError")
    run.logger.error(message)
    assert run.handler.logs == {}


# A whole run

ENDS = {
    "quits": (
        "    sys.exit(0)",
        "minified: criterion quits: config/quits.py, line 3: SystemExit: 0",
    ),
    "leaves": (
        "    print('bye', flush=True)\n    os._exit(0)",
        "ended without an error and without results/small/parameter-leaves/scores.safetensors;"
        " its log ends: bye",
    ),
    "killed": (
        "    print('hello', flush=True)\n    os.kill(os.getpid(), 9)",
        "ended without saying why (killed?); its log ends: hello",
    ),
    "lines": (
        "    print('x')\n    raise ValueError('one\\ntwo')",
        "minified: criterion lines: config/lines.py, line 4: ValueError: one",
    ),
    "stops": (
        "    raise KeyboardInterrupt",
        "minified: criterion stops: config/stops.py, line 3: KeyboardInterrupt",
    ),
    "absent": (
        "    import nothing_there",
        "minified: criterion absent: config/absent.py, line 3: ModuleNotFoundError: No module"
        " named 'nothing_there'",
    ),
    "complex": (
        "    return {n: w * 1j for n, w in chains.prunable(network).items()}",
        "minified: parameter-complex: 1.weight has complex scores, which have no order:"
        " return their .abs() or .real",
    ),
}


@pytest.mark.slow
def test_every_way_in_which_a_criterion_ends_is_in_the_summary_of_a_run(tmp_path: Path) -> None:
    own = "".join(f"  {name}: {{file: {name}.py, levels: [parameter]}}\n" for name in ENDS)
    own += "  marked: {file: marked.py, levels: [parameter]}\n"
    text = SMALL.replace("[magnitude, obd_sd]", f"[{', '.join(ENDS)}, marked]")
    folder = begin(tmp_path, f"{text}criteria:\n{own}")
    for name, (body, _) in ENDS.items():
        head = HEAD.replace("snip", name)
        top = "import os, sys; from minified.networks import chains"
        (folder / "config" / f"{name}.py").write_text(f"{top}\n{head}\n{body}\n")
    (folder / "config" / "marked.py").write_bytes(
        b"\xef\xbb\xbf# coding: utf-8\r\nfrom minified.criteria.magnitude import magnitude\r\n"
        b"\x0cdef marked(*given):\r\n    return magnitude(*given)\r\n"
    )
    run = snakemake(folder, "--keep-going", "--quiet", "all")
    assert run.returncode != 0
    summary = run.stderr[run.stderr.index(f"{len(ENDS)} failed") :]
    for name, (_, why) in ENDS.items():
        assert f"  score: {why} (log: results/small/logs/score/parameter-{name}.log)" in summary
    assert (folder / "results/small/parameter-marked/0.9/scratch.csv").is_file()
