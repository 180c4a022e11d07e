"""What jobs are expected to cost, against every measured job of the committed studies; and the
submissions that follow from it.
"""

import csv
import importlib
import itertools
from pathlib import Path

import pytest

from conftest import COMMITTED, REPOSITORY, SMALL
from minified import study
from minified.run import costs, submissions, tasks
from minified.run.stages import STAGES
from minified.run.tasks import Task
from minified.study.paths import Paths
from studies import travelling

OPTIONS = ("method", "sparsity", "bits", "regime", "level", "removal", "figure")
LONG = 30.0


def measured(name: str) -> list[tuple[study.Study, Task, dict[str, str]]]:
    """Each measured job of a committed study, as a job of today's study."""
    loaded = study.load(REPOSITORY / "config" / f"{name}.yaml")
    with (REPOSITORY / "figures" / name / "machine" / "jobs.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["stage"] in STAGES]
    found = []
    for row in rows:
        options = {key: row[key] for key in OPTIONS if row[key]}
        job = Task(row["stage"], options, {}, [], specification=row["specification"])
        found.append((loaded, job, row))
    assert len(found) > 100
    return found


@pytest.mark.parametrize("name", COMMITTED)
def test_no_measured_job_took_more_than_would_have_been_asked_for(name: str) -> None:
    for loaded, job, row in measured(name):
        asked = costs.asked(loaded, job)
        assert float(row["memory_mb"]) < asked.mem_mb - costs.BESIDE, row
        assert float(row["wall_seconds"]) + costs.START < 60 * asked.runtime, row
        assert asked.threads == loaded.threads
        assert asked.mem_mb >= 600, "two Snakemake processes run inside a job"


@pytest.mark.parametrize("name", COMMITTED)
def test_what_a_long_job_is_expected_to_take_is_within_a_factor_of_4(name: str) -> None:
    for loaded, job, row in measured(name):
        if max(float(row["wall_seconds"]), float(row["cpu_seconds"])) > LONG:
            expected = costs.cost(loaded, job).seconds
            assert expected / 4 < float(row["cpu_seconds"]) < 4 * expected, row
            assert expected / 4 < float(row["wall_seconds"]) < 4 * expected, row


@pytest.mark.parametrize("name", COMMITTED)
def test_what_a_study_is_expected_to_take_is_within_a_factor_of_2(name: str) -> None:
    jobs = measured(name)
    expected = sum(costs.cost(loaded, job).seconds for loaded, job, _ in jobs)
    spent = sum(float(row["cpu_seconds"]) for _, _, row in jobs)
    assert expected / 2 < spent < 2 * expected


def small(folder: Path, text: str = SMALL) -> study.Study:
    file = folder / "small.yaml"
    file.write_text(text)
    return study.load(file)


def test_each_attempt_asks_for_more(tmp_path: Path) -> None:
    loaded = small(tmp_path)
    job = tasks.task(loaded, Paths("small"), "train")
    first, second, third = (costs.asked(loaded, job, attempt) for attempt in (1, 2, 3))
    assert first.mem_mb < second.mem_mb < third.mem_mb
    assert (second.runtime, third.runtime) == (2 * first.runtime, 4 * first.runtime)


@pytest.mark.parametrize(
    ("key", "more"),
    [
        ("epochs: 4", "epochs: 400"),
        ("replicates: 3", "replicates: 300"),
        ("widths: [16, 12]", "widths: [1600, 1200]"),
        ("replicates: 3", "replicates: 3\ndata: {name: mnist}"),
    ],
    ids=["epochs", "replicates", "parameters", "examples"],
)
def test_a_job_costs_more_with_more(key: str, more: str, tmp_path: Path) -> None:
    assert key in SMALL
    before = small(tmp_path)
    cheap = costs.cost(before, tasks.task(before, Paths("small"), "train"))
    after = small(tmp_path, SMALL.replace(key, more))
    dear = costs.cost(after, tasks.task(after, Paths("small"), "train"))
    assert dear.seconds > 1.3 * cheap.seconds
    assert dear.memory >= cheap.memory


def test_only_a_study_on_a_gpu_asks_for_one_and_only_where_it_computes(tmp_path: Path) -> None:
    on_cpu, on_gpu = small(tmp_path), small(tmp_path, f"{SMALL}device: cuda\n")
    paths = Paths("small")
    assert costs.asked(on_cpu, tasks.task(on_cpu, paths, "train")).gpu == 0
    assert costs.asked(on_gpu, tasks.task(on_gpu, paths, "train")).gpu == 1
    assert costs.asked(on_gpu, tasks.task(on_gpu, paths, "claims")).gpu == 0


@pytest.mark.parametrize("name", COMMITTED)
def test_submissions_never_wait_for_each_other_in_a_circle(name: str) -> None:
    travelling(study.load(REPOSITORY / "config" / f"{name}.yaml"))


def test_a_study_takes_at_least_as_long_as_its_longest_chain_of_jobs(tmp_path: Path) -> None:
    sized = submissions.sizing(small(tmp_path), Paths("small"))
    assert 0.1 * sized.seconds < sized.chain < sized.seconds
    told = [sized.line(cores) for cores in (1, 1000)]
    assert f"about {submissions.duration(sized.seconds)} with 1 job at once" in told[0]
    assert f"about {submissions.duration(sized.chain)} with 1000 jobs at once" in told[1]


def test_what_computes_on_a_gpu_does_not_stay_where_none_may_be(tmp_path: Path) -> None:
    on_cpu, on_gpu = small(tmp_path), small(tmp_path, f"{SMALL}device: cuda\n")
    there = submissions.submissions(on_cpu, Paths("small"))
    assert set(submissions.submissions(on_gpu, Paths("small"))) == {*there, "selections"}
    assert list(submissions.submissions(on_gpu, Paths("small")))[-1] == "selections"


@pytest.mark.parametrize("name", COMMITTED)
def test_a_submission_is_one_long_job_or_ten_minutes_of_short_ones(name: str) -> None:
    loaded = study.load(REPOSITORY / "config" / f"{name}.yaml")
    paths = Paths(name)
    of = submissions.submissions(loaded, paths)
    jobs = {job.name: job for job in submissions.every(loaded, paths)}
    for _, members in itertools.groupby(of, key=of.__getitem__):
        seconds = [costs.cost(loaded, jobs[member]).seconds for member in members]
        assert len(seconds) == 1 or sum(seconds) <= submissions.TOGETHER
        assert len(seconds) <= submissions.MOST
    assert len(set(of.values())) < len(of) / 5


def test_a_job_comes_after_those_that_it_reads_from_and_once(tmp_path: Path) -> None:
    loaded, paths = small(tmp_path), Paths("small")
    jobs = submissions.every(loaded, paths)
    names = [job.name for job in jobs]
    assert len(set(names)) == len(names)
    made = {file: place for place, job in enumerate(jobs) for file in job.outputs}
    for place, job in enumerate(jobs):
        assert all(made[file] < place for file in job.read if file in made)
    assert {paths.rows(job) for job in loaded.jobs()} <= set(made)


def test_the_sizes_in_the_documents_are_those_of_today(monkeypatch: pytest.MonkeyPatch) -> None:
    """benchmarks/sizing.csv, its Markdown and docs/clusters.md; made by benchmarks/sizing.py."""
    file = REPOSITORY / "benchmarks" / "sizing.py"
    monkeypatch.syspath_prepend(str(file.parent))
    sizing = importlib.import_module("sizing")
    with file.with_suffix(".csv").open() as committed:
        rows = list(csv.DictReader(committed))
    assert rows == [sizing.row(name) for name in sizing.STUDIES]
    for document in (file.with_suffix(".md"), REPOSITORY / "docs" / "clusters.md"):
        text = document.read_text()
        for row in rows:
            assert f"| {' | '.join(row.values())} |" in text
        for sentence in sizing.imagenet():
            assert sentence in " ".join(text.split())
