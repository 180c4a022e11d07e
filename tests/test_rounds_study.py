"""A small study of several rounds through Snakemake: its rows, and what an edit makes again."""

import csv
from pathlib import Path

import pytest

from conftest import begin, planned, snakemake

pytestmark = pytest.mark.slow

STUDY = """\
network: {name: mlp, widths: [16, 12]}
replicates: 2
recipes:
  baseline: &short {learning_rate: 0.01, epochs: 3, batch_size: 64}
  fine_tune: *short
  scratch: *short
grid:
  parameter:
    criteria: [obd, snip]
    sparsities: [0.9]
    regimes: [fine_tune, scratch]
    scope: global
    rounds: 3
  neuron:
    criteria: [magnitude, merging]
    sparsities: [0.5]
    regimes: [fine_tune, scratch]
    scope: layer
    rounds: 3
    round_epochs: 2
criteria:
  snip: {file: snip.py, levels: [parameter]}
damage: {units: 10}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = begin(tmp_path_factory.mktemp("rounds"), STUDY)
    run = snakemake(folder)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-6000:]
    return folder


def planned_after(folder: Path, old: str, new: str) -> dict[str, int]:
    file = folder / "config" / "small.yaml"
    assert old in STUDY
    file.write_text(STUDY.replace(old, new, 1))
    try:
        return planned(folder)
    finally:
        file.write_text(STUDY)


def test_rows_have_the_epochs_of_all_rounds_and_scratch_runs_are_shared(finished: Path) -> None:
    with open(finished / "results/small/tables/results.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    found = {(row["method"], row["regime"]): (row["rounds"], row["epochs"]) for row in rows}
    assert found == {
        ("baseline", "train"): ("", "3"),
        **{(f"parameter-{c}", "fine_tune"): ("3", "9") for c in ("obd", "snip")},
        **{(f"parameter-{c}", "scratch"): ("3", "3") for c in ("obd", "snip")},
        **{(f"neuron-{c}", "fine_tune"): ("3", "6") for c in ("magnitude", "merging")},
        **{(f"neuron-{c}", "scratch"): ("3", "3") for c in ("magnitude", "merging")},
    }
    shared = {
        (row["replicate"], row["accuracy_test"])
        for row in rows
        if row["level"] == "neuron" and row["regime"] == "scratch"
    }
    assert len(shared) == 2


def test_a_second_run_does_nothing(finished: Path) -> None:
    assert planned(finished) == {}


@pytest.mark.parametrize(
    ("old", "new", "iterated"),
    [("rounds: 3\n  neuron", "rounds: 2\n  neuron", 2), ("round_epochs: 2", "round_epochs: 1", 2)],
)
def test_another_schedule_iterates_and_retrains_again_and_scores_nothing(
    finished: Path, old: str, new: str, iterated: int
) -> None:
    jobs = planned_after(finished, old, new)
    assert (jobs["iterate"], jobs["retrain"]) == (iterated, 4)
    assert not {"prepare", "train", "score", "derivatives", "scratch", "damage"} & set(jobs)


def test_one_shot_instead_retrains_that_level_and_iterates_nothing(finished: Path) -> None:
    jobs = planned_after(finished, "    rounds: 3\n  neuron", "  neuron")
    assert jobs["retrain"] == 4
    assert not {"iterate", "score", "train", "scratch"} & set(jobs)


def test_another_recipe_of_scratch_iterates_nothing(finished: Path) -> None:
    jobs = planned_after(
        finished, "scratch: *short", "scratch: {learning_rate: 0.02, epochs: 3, batch_size: 64}"
    )
    assert (jobs["retrain"], jobs["scratch"]) == (4, 1)
    assert "iterate" not in jobs


def test_an_edited_criterion_iterates_its_own_rounds_again(finished: Path) -> None:
    source = finished / "config" / "snip.py"
    before = source.read_text()
    source.write_text(before.replace("(w * g).abs()", "(w * g) ** 2"))
    try:
        jobs = planned(finished)
    finally:
        source.write_text(before)
    assert (jobs["score"], jobs["iterate"], jobs["retrain"]) == (1, 1, 2)


def test_a_run_that_ended_between_the_rounds_and_the_rows_goes_on_from_there(
    finished: Path,
) -> None:
    here = finished / "results/small/neuron-merging/0.5"
    rows, rounds = here / "fine_tune.csv", here / "rounds" / "fine_tune.safetensors"
    before = rows.read_bytes(), rounds.read_bytes()
    rows.unlink()
    jobs = planned(finished)
    assert jobs["retrain"] == 1
    assert "iterate" not in jobs
    rounds.unlink()
    assert planned(finished)["iterate"] == 1
    run = snakemake(finished)
    assert run.returncode == 0, run.stderr[-3000:]
    assert (rows.read_bytes(), rounds.read_bytes()) == before
    assert planned(finished) == {}
