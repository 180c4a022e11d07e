"""The workflow on a real Slurm, and what happens to a cluster's user there.

Without Debian's packages slurmctld, slurmd and slurm-client these tests are skipped. All runs of
the campaign go on at once: most of their time is waiting.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from conftest import STUDY, begin, minified, published
from minified import study
from minified.run import submissions
from minified.study.paths import Paths
from on_slurm import FIRST, REPOSITORY, SECOND, Run, Slurm

_PATH = f"{os.environ['PATH']}:/usr/sbin"
LACKING = [name for name in ("slurmctld", "slurmd", "sbatch") if not shutil.which(name, path=_PATH)]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(LACKING), reason=f"no Slurm: {', '.join(LACKING)} not installed"),
]

Start = Callable[..., Run]
Campaign = dict[str, Future[Run]]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    made = Slurm(tmp_path_factory.mktemp("slurm"))
    made.start()
    yield made
    made.stop()


def clean(start: Start) -> Run:
    """A whole study, as a user runs it."""
    return start(targets=()).end()


def memory(start: Start) -> Run:
    """A job takes more memory than was asked for at first, and less than at the next attempt."""
    hold = "held = b'x' * ($first + 300) * 1000 * 1000; import time; time.sleep(5)"
    return start(
        targets=(FIRST,),
        mishap=rf"""
            if [ "$1" = train ]; then
                scontrol show job $SLURM_JOB_ID |
                    sed -n 's/.*MinMemoryNode=\([0-9]*\)M.*/\1/p' >> $marks/asked
                read first < $marks/asked
                python3 -c "{hold}" || exit 1
            fi""",
    ).end()


def late(start: Start) -> Run:
    """A job hangs at its first attempt, and its time runs out."""
    run = start(
        targets=(SECOND,),
        mishap=r"""
            if [ "$1" = evaluate ]; then
                scontrol show job $SLURM_JOB_ID |
                    sed -n 's/.*TimeLimit=\([^ ]*\).*/\1/p' >> $marks/asked
                mkdir $marks/hung && sleep 900
            fi""",
    )
    run.wait_for(lambda: run.begun("evaluate"))
    for line in run.slurm.queue(run.folder):
        run.slurm.call("scontrol", "update", f"JobId={line.split()[0]}", "TimeLimit=1")
    return run.end()


def cancelled(start: Start) -> Run:
    """An administrator cancels a submission that runs, and later restarts the controller."""
    run = start(targets=(SECOND,), mishap='[ "$1" = train ] && mkdir $marks/hung && sleep 900')
    run.wait_for(lambda: run.begun("train"))
    for line in run.slurm.queue(run.folder):
        run.slurm.call("scancel", line.split()[0])
    run.wait_for(lambda: run.begun("evaluate"))
    run.slurm.restart()
    return run.end()


def killed(start: Start) -> Run:
    """The head process is killed while a submission runs, and the same command is given again."""
    run = start(mishap='[ "$1" = quantize ] && mkdir $marks/hung && sleep 900')
    run.wait_for(
        lambda: run.begun("quantize") and any(n.startswith("retrain") for n in run.recorded())
    )
    run.kill()
    (run.folder / "before").write_text("\n".join(run.recorded()))
    (run.folder / "begun").write_text("\n".join(run.verbs))
    return run.start().end()


def broken(start: Start) -> Run:
    """A job fails at each attempt."""
    say = "echo 'minified: the disk is upside down' >&2"
    return start(
        targets=(SECOND, "results/small/derivatives/parameter.safetensors"),
        mishap=f'[ "$1" = evaluate ] && {{ {say}; exit 1; }}',
        options=("--retries", "1"),
    ).end()


def generic(start: Start) -> Run:
    """By the profile for other schedulers, in blocks of replicates, of which one is cancelled."""
    run = start(
        text=f"{STUDY}replicates_per_job: 2\n",
        mishap='[ "$1" = train ] && mkdir $marks/hung && sleep 900',
        profile="generic",
    )
    run.wait_for(lambda: run.begun("train"))
    for line in run.slurm.queue(run.folder):
        run.slurm.call("scancel", line.split()[0])
    return run.end()


MISHAPS = (clean, memory, late, cancelled, killed, broken, generic)


@pytest.fixture(scope="module")
def campaign(slurm: Slurm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    """What became of each run; they have all begun when the first of them is asked for."""

    def start(folder: Path, text: str = STUDY, **how: Any) -> Run:
        return Run(slurm, folder, text, **how).start()

    with ThreadPoolExecutor(len(MISHAPS)) as pool:
        yield {
            mishap.__name__: pool.submit(
                mishap, partial(start, tmp_path_factory.mktemp(mishap.__name__))
            )
            for mishap in MISHAPS
        }


def ended(campaign: Campaign, name: str, status: int = 0) -> Run:
    run = campaign[name].result()
    assert run.status == status, run.said[-6000:]
    return run


def jobs(verbs: list[str]) -> list[frozenset[str]]:
    """The begun jobs, each as the words of its name, whatever their order is."""
    found = []
    for line in verbs:
        verb, _, *options = line.split()
        values = [
            v for o, v in zip(options[::2], options[1::2], strict=True) if o != "--specification"
        ]
        found.append(frozenset([verb, *values]))
    return found


def test_a_study_has_the_same_bytes_through_slurm_as_on_two_cores(
    campaign: Campaign, finished: Path
) -> None:
    run = ended(campaign, "clean")
    assert published(run.folder) == published(finished)
    for file in (finished / "results").rglob("*.csv"):
        assert (run.folder / file.relative_to(finished)).read_bytes() == file.read_bytes(), file
    for file in (finished / "results").rglob("*.safetensors"):
        assert (run.folder / file.relative_to(finished)).read_bytes() == file.read_bytes(), file


def test_the_queue_sees_as_many_submissions_as_the_check_says(campaign: Campaign) -> None:
    run = ended(campaign, "clean")
    loaded = study.load(run.folder / "config" / "small.yaml")
    expected = submissions.sizing(loaded, Paths("small")).submissions
    assert run.said.count("has been submitted with SLURM jobid") == expected == 3
    assert f"on a cluster {expected} submissions" in minified(run.folder, "check", "small").stdout


def test_the_jobs_of_a_submission_share_one_warm_interpreter(campaign: Campaign) -> None:
    run = ended(campaign, "clean")
    logs = {log: log.read_text() for log in (run.folder / "results/small/logs").rglob("*.log")}
    assert len(logs) > 20
    cold = [str(log) for log, text in logs.items() if "imports included" in text]
    assert not cold


def test_every_job_is_done_once(campaign: Campaign) -> None:
    done = jobs(ended(campaign, "clean").verbs)
    assert len(done) == len(set(done))


def test_the_standing_is_told_as_plain_lines_and_to_another_terminal(campaign: Campaign) -> None:
    run = ended(campaign, "clean")
    assert "minified: small: 35 of 35 jobs done\n" in run.said
    told = minified(run.folder, "status", "small").stdout
    assert told == "small: 35 of 35 jobs done; finished\n"


def test_a_job_killed_for_memory_is_tried_again_with_more(
    campaign: Campaign, finished: Path
) -> None:
    run = ended(campaign, "memory")
    assert "exceeded memory limit" in run.said
    first, second = (run.folder / "tools" / "asked").read_text().split()[:2]
    assert int(second) == pytest.approx(2 * int(first), abs=9)
    assert run.made_as(finished)


def test_a_job_out_of_time_is_tried_again_with_more(campaign: Campaign, finished: Path) -> None:
    run = ended(campaign, "late")
    assert "DUE TO TIME LIMIT" in run.said
    first, second = (run.folder / "tools" / "asked").read_text().split()[:2]
    hours, minutes, seconds = first.split(":")
    assert second == f"{int(hours):02}:{2 * int(minutes):02}:{seconds}"
    assert run.made_as(finished)


def test_a_cancelled_job_is_reported_and_tried_again_and_a_restarted_controller_loses_nothing(
    campaign: Campaign, finished: Path
) -> None:
    run = ended(campaign, "cancelled")
    assert "CANCELLED" in run.said
    assert sorted(line.split()[0] for line in run.verbs) == [
        "evaluate",
        "prepare",
        "train",
        "train",
    ]
    assert run.made_as(finished)


def test_a_killed_run_goes_on_and_repeats_no_finished_job(
    campaign: Campaign, finished: Path
) -> None:
    run = ended(campaign, "killed")
    assert "minified: cancelled 1 submission that a killed run of this study left" in run.said
    before = {frozenset(n.split("/")) for n in (run.folder / "before").read_text().split("\n")}
    begun = (run.folder / "begun").read_text().split("\n")
    assert frozenset(["train"]) in before
    assert not before & set(jobs(run.verbs[len(begun) :]))
    assert run.made_as(finished)


def test_a_failure_names_the_jobs_log_and_the_schedulers(campaign: Campaign) -> None:
    run = ended(campaign, "broken", status=1)
    (line,) = [line for line in run.said.splitlines() if line.startswith("  evaluate: ")]
    assert line.startswith("  evaluate: minified: the disk is upside down (log: ")
    own, _, schedulers = (
        line.removesuffix(")").partition("(log: ")[2].partition(", and the scheduler's: ")
    )
    assert (run.folder / own).is_file()
    assert Path(schedulers).is_file()
    assert run.said.count("minified: the disk is upside down") >= 1
    assert jobs(run.verbs).count(frozenset(["evaluate"])) == 2


def test_of_a_submission_that_failed_the_finished_jobs_are_kept(campaign: Campaign) -> None:
    run = ended(campaign, "broken", status=1)
    assert {"train", "derivatives/parameter"} <= run.recorded()
    assert (run.folder / "results/small/derivatives/parameter.safetensors").is_file()


def test_the_generic_profile_gives_the_same_rows_in_blocks_after_a_cancelled_submission(
    campaign: Campaign, finished: Path
) -> None:
    run = ended(campaign, "generic")
    begun = jobs(run.verbs)
    assert begun.count(frozenset(["train", "0-1"])) + begun.count(frozenset(["train", "2-2"])) > 2
    assert run.made_as(finished)


def test_runs_of_different_folders_do_not_meet(campaign: Campaign) -> None:
    """All of the above went on at the same time, under one name and in one queue."""
    for name in campaign:
        run = campaign[name].result()
        assert ("left in the queue" in run.said) == (name == "killed")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            ("--default-resources", "slurm_partition=nowhere"),
            "minified: slurm_partition nowhere: the cluster has no such partition (it has main);"
            " set it in workflow/profiles/slurm/config.yaml",
        ),
        (
            ("--default-resources", "slurm_account=nobodys"),
            "minified: slurm_account nobodys: Slurm does not confirm this account (",
        ),
        (
            ("--set-resources", "train:mem_mb=90000000"),
            "minified: Slurm refuses the largest submission of the study (--mem=90001",
        ),
    ],
    ids=["partition", "account", "memory"],
)
def test_a_setting_that_slurm_does_not_know_is_one_line_before_the_first_job(
    slurm: Slurm, given: tuple[str, ...], line: str, tmp_path: Path
) -> None:
    run = Run(slurm, tmp_path, STUDY, options=given).start().end()
    assert run.status == 1
    said = [one for one in run.said.splitlines() if one.startswith("minified: ")]
    assert said[-1].startswith(line), run.said
    assert "Traceback" not in run.said
    assert not run.verbs


def test_where_slurm_is_not_installed_one_line_says_so(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("which", "sh", "bash", "env"):
        (tools / name).symlink_to(shutil.which(name) or "")
    begin(tmp_path, STUDY)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")),
            *("--directory", str(tmp_path)),
            *("--workflow-profile", str(REPOSITORY / "workflow" / "profiles" / "slurm")),
            *("--config", "study=config/small.yaml"),
        ],
        cwd=REPOSITORY,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{tools}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if line.startswith("minified: ")]
    assert "executor slurm: there is no sbatch on the PATH" in said[-1], done.stderr
    assert "Traceback" not in done.stderr
