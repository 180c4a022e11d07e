"""What a run asks of a scheduler before its first job, with commands that stand in for Slurm's.

tests/test_slurm.py has the real ones, where they are installed.
"""

import asyncio
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from minified.foundations.errors import MinifiedError
from minified.run import clusters, probe

FINE = {
    "sinfo": "echo 'main* infinite'; echo 'long 1-00:00:00'",
    "sbatch": "exit 0",
    "sacct": "exit 0",
    "sacctmgr": "echo lab",
    "squeue": "exit 0",
    "scancel": "exit 0",
}
JOB: dict[str, Any] = {"mem_mb": 1000, "runtime": 5, "_cores": 1}


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of commands that all succeed, first on the PATH; and a working folder."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name, does in FINE.items():
        command(folder, name, does)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return folder


def command(folder: Path, name: str, does: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{does}\n")
    (folder / name).chmod(0o755)


def test_what_slurm_takes_is_not_refused(tools: Path) -> None:
    command(tools, "sbatch", 'echo "$@" >> asked')
    requests = [
        JOB,
        JOB | {"mem_mb": 9000, "slurm_partition": "long", "qos": "high"},
        JOB | {"runtime": 600, "slurm_partition": "long", "qos": "high", "_cores": 4},
    ]
    probe.probe("slurm", None, requests)
    assert Path("asked").read_text().splitlines() == [
        "--test-only --mem=1000 --time=5 --cpus-per-task=1 --wrap=true",
        "--test-only --partition=long --qos=high --mem=9000 --time=600 --cpus-per-task=4"
        " --wrap=true",
    ]


def test_a_gpu_is_asked_for_where_a_job_wants_one(tools: Path) -> None:
    command(tools, "sbatch", 'echo "$@" >> asked')
    probe.probe("slurm", None, [JOB | {"gpu": 1, "slurm_account": "Lab"}])
    assert "--account=Lab --gpus=1 " in Path("asked").read_text()
    probe.probe("slurm", None, [JOB | {"gpu": 1, "gpu_model": "a100"}])
    assert " --gpus=a100:1 " in Path("asked").read_text()


@pytest.mark.parametrize(
    ("name", "does", "words"),
    [
        ("sinfo", "echo 'slurm_load_partitions: error: Unable to contact' >&2; exit 1", "contact"),
        (
            "sinfo",
            "echo long 1:00",
            "slurm_partition main: the cluster has no such partition (it has",
        ),
        ("sacctmgr", "echo other", "slurm_account lab: Slurm does not confirm this account (you"),
        ("sacctmgr", "echo sacctmgr: error: no >&2; exit 1", "this account (no)"),
        ("sbatch", "echo 'sbatch: error: Invalid qos' >&2; exit 1", "high): Invalid qos"),
        ("sbatch", "exit 3", "it says nothing"),
        ("sinfo", "echo main 4:30", "slurm_partition main: its jobs may take 4 minutes, and a"),
    ],
)
def test_what_slurm_refuses_is_one_line(tools: Path, name: str, does: str, words: str) -> None:
    command(tools, name, does)
    request = JOB | {"slurm_partition": "main", "slurm_account": "lab", "qos": "high"}
    with pytest.raises(MinifiedError) as caught:
        probe.probe("slurm", None, [request])
    said = str(caught.value).replace("--mem=1000 --time=5 --cpus-per-task=1", "").replace(" )", ")")
    assert words in said
    assert "\n" not in said


def test_the_time_of_the_default_partition_counts_and_any_of_several(tools: Path) -> None:
    command(tools, "sinfo", "echo 'short* 10:00'; echo 'long 2-00:00:30'; echo 'free infinite'")
    probe.probe("slurm", None, [JOB | {"runtime": 10}])
    probe.probe("slurm", None, [JOB | {"runtime": 2880, "slurm_partition": "short,long"}])
    probe.probe("slurm", None, [JOB | {"runtime": 99999, "slurm_partition": "free"}])
    for request in ({}, {"slurm_partition": "short"}):
        with pytest.raises(MinifiedError, match="slurm_partition short: its jobs may take 10 min"):
            probe.probe("slurm", None, [JOB | {"runtime": 11} | request])


def test_what_travels_together_asks_for_what_runs_side_by_side() -> None:
    small, large = JOB, JOB | {"mem_mb": 5000, "runtime": 7}
    jobs = [("a", small), ("a", large), ("a", small), ("b", small), (None, large), (None, small)]
    asked = [(one["mem_mb"], one["runtime"], one["_cores"]) for one in probe.together(jobs, 2)]
    assert asked == [(6000, 9, 2), (1000, 5, 1), (5000, 7, 1), (1000, 5, 1)]
    of_four = [("a", JOB | {"_cores": 4})] * 2
    assert probe.together(of_four, 4)[0] == JOB | {"_cores": 4, "runtime": 10}


def test_a_submission_has_cores_for_the_threads_of_a_job() -> None:
    probe.refuse_threads(2, 2)
    probe.refuse_threads(2, None)
    with pytest.raises(MinifiedError, match="threads: 4: the profile gives a submission 2 cores"):
        probe.refuse_threads(4, 2)


def test_other_schedulers_are_not_asked(tools: Path) -> None:
    command(tools, "sinfo", "exit 1")
    probe.probe("cluster-generic", None, [JOB])


def test_where_there_is_no_accounting_a_silent_one_is_put_before_it(
    tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.environ["PATH"]
    probe.probe("slurm", None, [JOB])
    assert os.environ["PATH"] == before
    command(tools, "sacct", "exit 1")
    monkeypatch.setenv("PATH", before)  # and put back after the test
    probe.probe("slurm", SimpleNamespace(status_command="sacct"), [JOB])
    assert os.environ["PATH"] == before, "the user wants the real one"
    probe.probe("slurm", None, [JOB])
    assert os.system("sacct --anything") == 0


def queue(tools: Path, *lines: str) -> None:
    """A queue with these lines, until something is cancelled."""
    said = "; ".join(f"echo '{line}'" for line in lines)
    command(tools, "squeue", f"[ -e cancelled ] || {{ {said}; }}")
    command(tools, "scancel", 'echo "$@" >> cancelled')


def left(*numbers: str, name: str = "slurm", status: str = "", cancel: str = "") -> Path:
    """What a killed run has noted."""
    file = Path("submitted")
    file.write_text("\n".join([json.dumps([name, status, cancel]), *numbers, ""]))
    return file


def test_what_a_killed_run_left_is_cancelled_and_nothing_else(
    tools: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = Path.cwd()
    queue(tools, f"7 {here}", f"8 {here}", "9 /another/folder", f"10 {here}")
    clusters.release(file := left("7", "9", "10", "11"))
    assert Path("cancelled").read_text().split() == ["10", "7"]
    assert "cancelled 2 submissions that a killed run of this study left" in capsys.readouterr().err
    assert not file.exists()


def test_where_nothing_is_left_nothing_is_cancelled(tools: Path) -> None:
    queue(tools, "9 /another/folder")
    clusters.release(left("9"))
    clusters.release(left())
    clusters.release(Path("none"))
    Path("damaged").write_text("9\n")
    clusters.release(Path("damaged"))
    assert not Path("cancelled").exists()


def test_another_scheduler_is_asked_by_its_own_commands(tools: Path) -> None:
    state = 'if [ -e gone ] || [ "$1" = 2 ]; then echo failed; else echo running; fi'
    command(tools, "state", state)
    command(tools, "remove", 'echo "$@" > gone')
    clusters.release(left("1", "2", name="cluster-generic", status="state", cancel="remove -f"))
    assert Path("gone").read_text().split() == ["-f", "1"]


def test_submissions_that_do_not_end_are_an_error(
    tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command(tools, "squeue", f"echo '7 {Path.cwd()}'")
    monkeypatch.setattr(clusters.time, "monotonic", iter([0.0, 1e3, 2e3]).__next__)
    with pytest.raises(MinifiedError, match=r"^7: submissions of a killed run"):
        clusters.release(left("7"))


def test_numbers_are_noted_as_jobs_are_sent(tmp_path: Path) -> None:
    sent: list[Any] = []
    executor = SimpleNamespace(report_job_submission=lambda *a, **k: sent.append((a, k)))
    file = tmp_path / "submitted"
    file.write_text("1\n")
    settings = SimpleNamespace(status_cmd="state -x", cancel_cmd=None)
    clusters.note("cluster-generic", executor, settings, file)
    for number in ("12", "13_4", None):
        executor.report_job_submission(SimpleNamespace(external_jobid=number), register_job=True)
    first, *numbers = file.read_text().splitlines()
    assert json.loads(first) == ["cluster-generic", "state -x", ""]
    assert numbers == ["12", "13_4"]
    assert [options for _, options in sent] == [{"register_job": True}] * 3


def test_files_that_are_done_are_not_incomplete() -> None:
    async def incomplete(job: Any) -> list[str]:
        return list(job)

    persistence = SimpleNamespace(incomplete=incomplete)
    for _ in range(2):
        clusters.believe(persistence, {"a", "b"}.__contains__)
    assert asyncio.run(persistence.incomplete(["a", "c", "b"])) == ["c"]


@pytest.mark.parametrize(
    ("command", "jobs"),
    [
        (["snakemake", "--cores", "2"], 0),
        (["snakemake", "--target-jobs", "train:where="], 1),
        (["snakemake", "--target-jobs", "train:where=", "score:method=a", "--cores", "2"], 2),
    ],
)
def test_the_command_on_a_node_names_its_jobs(command: list[str], jobs: int) -> None:
    assert clusters.jobs_of(command) == jobs
