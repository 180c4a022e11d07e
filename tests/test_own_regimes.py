"""A small study with regimes of its own through Snakemake, one for each start."""

import csv
from collections.abc import Mapping
from pathlib import Path

import pytest

from conftest import begin, planned, snakemake

pytestmark = pytest.mark.slow

# Each but `again` and `longer` has the start, the recipe and the seeds of a built-in one.
STUDY = """\
network: {name: mlp, widths: [16, 12]}
replicates: 2
recipes:
  baseline: &short {learning_rate: 0.01, epochs: 3, batch_size: 64}
  fine_tune: *short
  scratch: *short
  rewind: *short
regimes:
  tune_too: {start: trained, recipe: *short}
  scratch_too: {start: fresh, recipe: *short, title: Trained on its own}
  rewind_too: {start: initial, recipe: *short}
  again: {start: fresh, recipe: *short, seeds: again}
  longer: {start: fresh, recipe: {learning_rate: 0.01, epochs: 6, batch_size: 64}}
grid:
  parameter:
    criteria: [magnitude]
    sparsities: [0.9]
    regimes: [scratch, scratch_too, rewind, rewind_too]
    scope: global
  neuron:
    criteria: [magnitude, merging]
    sparsities: [0.5]
    regimes: [fine_tune, tune_too, scratch, scratch_too, again, longer]
    scope: layer
damage: {units: 10}
"""
COLUMNS = (
    "accuracy_test",
    "loss_training",
    "loss_test_before",
    "seed",
    "epochs",
    "parameters_kept",
)

Rows = Mapping[tuple[str, str], list[dict[str, str]]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = begin(tmp_path_factory.mktemp("regimes"), STUDY)
    run = snakemake(folder)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-6000:]
    return folder


@pytest.fixture(scope="module")
def rows(finished: Path) -> Rows:
    """The rows by method and regime, in the order of the replicates."""
    found: dict[tuple[str, str], list[dict[str, str]]] = {}
    with open(finished / "results/small/tables/results.csv", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault((row["method"], row["regime"]), []).append(row)
    return found


def numbers(rows: Rows, method: str, regime: str) -> list[tuple[str, ...]]:
    return [tuple(row[column] for column in COLUMNS) for row in rows[method, regime]]


def test_every_regime_has_its_rows(rows: Rows) -> None:
    pruned = {key: len(group) for key, group in rows.items() if key[0] != "baseline"}
    parameter = ("scratch", "scratch_too", "rewind", "rewind_too")
    neuron = ("fine_tune", "tune_too", "scratch", "scratch_too", "again", "longer")
    assert pruned == {
        **{("parameter-magnitude", regime): 2 for regime in parameter},
        **{(f"neuron-{c}", regime): 2 for c in ("magnitude", "merging") for regime in neuron},
    }
    assert {row["epochs"] for row in rows["neuron-merging", "longer"]} == {"6"}
    assert {row["epochs"] for row in rows["neuron-merging", "again"]} == {"3"}


@pytest.mark.parametrize(
    ("method", "built_in", "own"),
    [
        ("parameter-magnitude", "scratch", "scratch_too"),
        ("parameter-magnitude", "rewind", "rewind_too"),
        ("neuron-magnitude", "fine_tune", "tune_too"),
        ("neuron-merging", "fine_tune", "tune_too"),
        ("neuron-magnitude", "scratch", "scratch_too"),
        ("neuron-merging", "scratch", "scratch_too"),
    ],
)
def test_the_same_start_recipe_and_seeds_give_the_same_numbers(
    rows: Rows, method: str, built_in: str, own: str
) -> None:
    assert numbers(rows, method, own) == numbers(rows, method, built_in)


def test_seeds_of_its_own_give_other_numbers(rows: Rows) -> None:
    for one, other in zip(
        rows["neuron-magnitude", "again"], rows["neuron-magnitude", "scratch"], strict=True
    ):
        assert one["seed"] != other["seed"]
        assert one["loss_test_before"] != other["loss_test_before"]


def test_fresh_networks_are_trained_once_per_regime_and_width(finished: Path, rows: Rows) -> None:
    folder = finished / "results" / "small" / "scratch"
    shared = {file.relative_to(folder) for file in folder.rglob("*.safetensors")}
    regimes = ("again", "longer", "scratch", "scratch_too")
    assert shared == {Path(regime, "0.5.safetensors") for regime in regimes}
    for regime in regimes:
        assert numbers(rows, "neuron-magnitude", regime) == numbers(rows, "neuron-merging", regime)


def test_every_regime_has_its_panel_in_the_figures(finished: Path) -> None:
    # Text is drawn as outlines, with the words in a comment beside them.
    neuron = (finished / "figures" / "small" / "neuron_pruning.svg").read_text()
    assert "<!-- neuron pruning, tune too -->" in neuron
    for title in ("retrained from scratch", "Trained on its own", "again", "longer"):
        assert f"<!-- neuron pruning, {title} -->" in neuron
    parameter = (finished / "figures" / "small" / "parameter_pruning.svg").read_text()
    assert "<!-- parameter pruning, rewind too -->" in parameter


def test_the_tables_list_every_regime(finished: Path) -> None:
    table = (finished / "figures" / "small" / "tables" / "accuracy.md").read_text()
    for regime in ("tune_too", "scratch_too", "rewind_too", "again", "longer"):
        assert f"| {regime} " in table


def test_an_edited_recipe_retrains_its_own_regime_and_nothing_else(finished: Path) -> None:
    file = finished / "config" / "small.yaml"
    file.write_text(STUDY.replace("epochs: 6", "epochs: 5"))
    try:
        jobs = planned(finished)
    finally:
        file.write_text(STUDY)
    assert (jobs["scratch"], jobs["retrain"]) == (1, 2)
    assert not {"prepare", "train", "score", "damage"} & set(jobs)
    assert planned(finished) == {}
