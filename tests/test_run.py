"""One run per folder, jobs that end with their run, and the report of those that failed."""

import logging
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from minified.foundations import files
from minified.run import clock, failures, lock

HOLD = """
import sys, time
from pathlib import Path
from minified.run import lock
lock.hold(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""
FOLLOW = """
import time
from minified.run import lock
lock.follow()
print("following", flush=True)
time.sleep(60)
"""


def start(code: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """A process that runs `code` and has said its word."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )
    assert process.stdout is not None
    assert process.stdout.readline() in ("held\n", "following\n")
    return process


def test_a_killed_run_leaves_nothing_locked_and_its_jobs_end_with_it(tmp_path: Path) -> None:
    file = tmp_path / "records" / "lock"
    run = start(HOLD, str(file))
    holder = file.read_text().strip()
    assert holder.startswith(f"process {run.pid} on {platform.node()}, run ")
    jobs = [start(FOLLOW, MINIFIED_RUN=f"{holder}|{file}") for _ in range(3)]
    away = holder.replace(platform.node(), "another-node")
    elsewhere = start(FOLLOW, MINIFIED_RUN=f"{away}|{file}")
    by_hand = start(FOLLOW, MINIFIED_RUN="")
    assert all(job.poll() is None for job in jobs)
    run.kill()
    run.wait()
    for job in jobs:
        assert job.wait(timeout=10) == -9
    later = start(HOLD, str(file))
    late = subprocess.run(
        [sys.executable, "-c", FOLLOW],
        env=os.environ | {"MINIFIED_RUN": f"{holder}|{file}"},
        capture_output=True,
        timeout=30,
    )
    assert late.returncode == -9, "a job that starts after its run died follows no other"
    later.kill()
    assert by_hand.poll() is None, "a verb called by hand has no run to follow"
    assert elsewhere.poll() is None, "another machine may not see the lock"
    by_hand.kill()
    elsewhere.kill()


def test_a_new_run_clears_away_what_killed_writers_left_and_nothing_else(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / "method").mkdir()
    node = platform.node()
    left = tmp_path / "method" / f".rows.{dead.pid}@{node}.partial.csv"
    kept = [
        tmp_path / "method" / f".rows.{os.getpid()}@{node}.partial.csv",
        tmp_path / "method" / f".rows.{dead.pid}@another-node.partial.csv",
        tmp_path / ".partial",
        tmp_path / "rows.csv",
    ]
    for file in (left, *kept):
        file.write_text("half")
    files.sweep(tmp_path)
    assert not left.exists()
    assert all(file.exists() for file in kept)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_dead_process_that_nobody_asked_after_does_not_count_as_alive() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert files.alive(process.pid)
    process.kill()
    until = time.monotonic() + 20
    while files.alive(process.pid) and time.monotonic() < until:
        time.sleep(0.01)
    assert not files.alive(process.pid)
    process.wait()


@pytest.mark.parametrize(
    ("imported", "cold"), [(True, ""), (False, ""), (False, "no (good) reason, imports included")]
)
def test_what_a_job_took_is_read_from_the_last_line_of_its_log(
    tmp_path: Path, imported: bool, cold: str
) -> None:
    spent = clock.Spent(1.25, 0.5, 312.0, imported, cold)
    log = tmp_path / "log"
    log.write_text(f"a warning\n{spent}\n")
    assert clock.Spent.read(log) == spent
    log.write_text(f"{spent}\nminified: an error\n")
    assert clock.Spent.read(log) is None


def test_a_run_says_in_one_line_how_many_of_its_jobs_were_not_done_warm_and_why(
    tmp_path: Path,
) -> None:
    def log(name: str, cold: str, when: float = 2000.0, imported: bool = False) -> None:
        file = tmp_path / "logs" / f"{name}.log"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"a warning\n{clock.Spent(1.0, 1.0, 1.0, imported, cold)}\n")
        os.utime(file, (when, when))

    assert clock.cold_jobs(tmp_path / "none", 1000.0) is None
    log("warm", "", imported=True)
    log("of an earlier run", "it was edited", when=999.0)
    log("by choice", "")
    assert clock.cold_jobs(tmp_path / "logs", 1000.0) is None
    for name in "ab":
        log(name, "it was killed")
    (tmp_path / "logs" / "failed.log").write_text("minified: an error\n")
    line = clock.cold_jobs(tmp_path / "logs", 1000.0)
    assert line is not None
    assert line.startswith("minified: ")
    assert line.endswith(" 2: it was killed")
    log("c", "it was edited")
    line = clock.cold_jobs(tmp_path / "logs", 1000.0)
    assert line is not None
    assert line.endswith(" 3: it was killed (and other reasons: see the logs)")


def test_only_a_job_of_a_run_says_what_it_took(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MINIFIED_RUN", raising=False)
    by_hand = clock.Clock()
    monkeypatch.setenv("MINIFIED_RUN", "a run|a lock")
    by_hand.report()
    assert capsys.readouterr().out == ""
    clock.Clock().report()
    assert capsys.readouterr().out.startswith("minified: done in ")


def test_the_summary_names_each_failed_job_its_reason_and_its_log(tmp_path: Path) -> None:
    log = tmp_path / "scratch.log"
    log.write_text("some warning\nminified: training diverged: replicate 0, epoch 1\n\n")
    handler = failures.Failures()
    logger = logging.Logger("snakemake")
    logger.addHandler(handler)
    failed = SimpleNamespace(value="job_error")
    logger.error("", extra={"event": failed, "rule_name": "retrain", "log": [str(log)]})
    logger.error("", extra={"event": failed, "rule_name": "score", "log": [f"{log}.none"]})
    logger.info("", extra={"event": SimpleNamespace(value="job_finished"), "log": ["fine.log"]})
    logger.info("nothing of ours")
    summary = handler.summary()
    assert summary.startswith("2 failed")
    assert f"retrain: minified: training diverged: replicate 0, epoch 1 (log: {log})" in summary
    assert f"score: nothing was logged (log: {log}.none)" in summary
    assert "fine.log" not in summary


def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    with pytest.raises(OSError, match="results"):
        lock.hold(tmp_path / "results" / "lock")
