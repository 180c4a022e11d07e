"""Learning rates chosen by validation accuracy: the tool, and what the committed studies use."""

import csv
import subprocess
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from statistics import fmean
from string import ascii_lowercase
from typing import Any

import pytest

from conftest import REPOSITORY
from minified import study
from minified.jobs.derivatives import derivatives
from minified.jobs.prepare import prepare
from minified.jobs.retrain import retrain
from minified.jobs.score import score
from minified.jobs.scratch import scratch
from minified.jobs.train import train
from minified.study import Job, Paths

TOOLS = REPOSITORY / "tools"
COLUMNS = ["level", "regime", "epochs", "learning_rate", "accuracy_validation", "chosen"]
TINY = """\
network: {name: mlp, widths: [16, 12]}
replicates: 3
recipes:
  baseline: &short {learning_rate: 0.01, epochs: 4, batch_size: 64}
  fine_tune: *short
  scratch: *short
  rewind: *short
grid:
  parameter:
    criteria: [random, magnitude, obd]
    sparsities: [0.8, 0.9]
    regimes: [fine_tune, rewind]
    scope: global
  neuron:
    criteria: [magnitude, obd_sd, merging]
    sparsities: [0.5, 0.75]
    regimes: [fine_tune, scratch]
    scope: global
    scopes: {merging: layer, magnitude: layer}
    recipes: {scratch: {batch_size: 32}}
"""
AXES = ("fine_tune", "scratch")
METHODS = ["parameter-obd", "neuron-magnitude", "neuron-obd_sd", "neuron-merging"]
TRIED = [
    *("--budget", "3", "--budget", "1"),
    *("--learning-rate", "0.1", "--learning-rate", "0.01"),
]
SAMPLED = [word for method in METHODS for word in ("--criterion", method)]

# Runs the tool without test data, and says how many networks were trained, for which regime.
WATCHED = """\
import sys
from dataclasses import replace
from functools import cached_property

sys.path.insert(0, sys.argv.pop(1))
import trials
import typer
import choose_rates


class Watched(trials.FittingContext):
    @cached_property
    def data(self):
        return replace(super().data, test=None)

    def fit(self, name, networks, *others, **more):
        print("trained", name, sum(p.numel() for one in networks for p in one.parameters()))
        super().fit(name, networks, *others, **more)


trials.FittingContext = Watched
typer.run(choose_rates.main)
"""

Line = dict[str, Any]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, TOOLS / "choose_rates.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def read(file: Path) -> list[Line]:
    """The table's lines, with their numbers as numbers."""
    with open(file, newline="") as stream:
        reader = csv.DictReader(stream)
        assert reader.fieldnames == COLUMNS
        return [
            line
            | {
                "epochs": int(line["epochs"]),
                "learning_rate": float(line["learning_rate"]),
                "accuracy_validation": float(line["accuracy_validation"] or "nan"),
                "chosen": {"True": True, "False": False}[line["chosen"]],
            }
            for line in reader
        ]


def groups(table: list[Line]) -> Iterator[tuple[tuple[str, str, int], list[Line]]]:
    """The candidates for each level, regime and number of epochs."""
    for key, lines in groupby(table, lambda one: (one["level"], one["regime"], one["epochs"])):
        yield key, list(lines)


def chosen(table: list[Line]) -> dict[tuple[str, str, int], float]:
    return {key: one["learning_rate"] for key, (*_, one) in _chosen_lines(table)}


def _chosen_lines(table: list[Line]) -> Iterator[tuple[tuple[str, str, int], list[Line]]]:
    for key, lines in groups(table):
        mine = [line for line in lines if line["chosen"]]
        assert len(mine) == 1, key
        yield key, mine


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("rates") / "tiny.yaml"
    file.write_text(TINY)
    return file


@pytest.fixture(scope="module")
def table(tiny: Path) -> Path:
    """The tool's table of the tiny study."""
    output = tiny.parent / "rates.csv"
    done = run(tiny, output, *TRIED, *SAMPLED)
    assert done.returncode == 0, done.stderr
    return output


def test_each_level_regime_and_budget_tries_each_rate_once(table: Path) -> None:
    tried = [
        (*key, [line["learning_rate"] for line in lines]) for key, lines in groups(read(table))
    ]
    places = [
        *(("parameter", "fine_tune"), ("parameter", "rewind")),
        *(("neuron", "fine_tune"), ("neuron", "scratch")),
    ]
    assert tried == [(*place, epochs, [0.01, 0.1]) for place in places for epochs in (1, 3)]


def test_the_chosen_rate_has_the_highest_accuracy(table: Path) -> None:
    for _, lines in groups(read(table)):
        highest = max(line["accuracy_validation"] for line in lines)
        assert [line["chosen"] for line in lines] == [
            line["accuracy_validation"] == highest for line in lines
        ]


def test_without_test_data_the_same_table_is_made_again(table: Path, tiny: Path) -> None:
    again = tiny.parent / "again.csv"
    command = [sys.executable, "-c", WATCHED, TOOLS, tiny, again, *TRIED, *SAMPLED]
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert again.read_bytes() == table.read_bytes()

    # Of the three criteria for neurons two leave equal widths: those are trained once for both.
    # So per rate and budget: two sparsities of these, and two of the criterion ranked globally.
    scratch = [line for line in done.stdout.splitlines() if "trained regime scratch" in line]
    assert len(scratch) == 2 * 2 * (2 + 2)


@pytest.mark.parametrize(("level", "regime"), [("parameter", "rewind"), ("neuron", "fine_tune")])
def test_a_candidate_is_measured_as_the_studys_jobs_would(
    table: Path, tmp_path: Path, level: str, regime: str
) -> None:
    _agrees_with_jobs(table, tmp_path, level, regime)


def test_a_shared_run_counts_for_each_criterion(table: Path, tmp_path: Path) -> None:
    _agrees_with_jobs(table, tmp_path, "neuron", "scratch")


def _agrees_with_jobs(table: Path, folder: Path, level: str, regime: str) -> None:
    """Compare the candidate of 3 epochs at 0.1 with the rows of a study that has this recipe."""
    file = folder / "tiny.yaml"
    changed = "{learning_rate: 0.1, epochs: 3, batch_size: 64}"
    file.write_text(TINY.replace(f"{regime}: *short", f"{regime}: {changed}"))
    loaded = study.load(file)
    paths = Paths("tiny", folder)
    prepare(loaded, paths)
    train(loaded, paths)
    derivatives(loaded, paths, level)
    accuracies = []
    for method in (one for one in METHODS if one.startswith(level)):
        score(loaded, paths, method)
        for sparsity in map(str, loaded.pruning(level).sparsities):
            if loaded.shares_scratch(method, regime):
                scratch(loaded, paths, sparsity, regime)
            retrain(loaded, paths, method, sparsity, regime)
            with open(paths.rows(Job(method, sparsity, regime)), newline="") as stream:
                accuracies += [float(row["accuracy_validation"]) for row in csv.DictReader(stream)]
    line = next(
        line
        for (*place, epochs), lines in groups(read(table))
        for line in lines
        if (place, epochs, line["learning_rate"]) == ([level, regime], 3, 0.1)
    )
    assert line["accuracy_validation"] == pytest.approx(fmean(accuracies), abs=1e-9)


def test_of_equal_rates_the_lower_is_chosen_and_one_that_diverges_never(tmp_path: Path) -> None:
    file, output = tmp_path / "tiny.yaml", tmp_path / "rates.csv"
    file.write_text(TINY.replace("epochs: 4,", "epochs: 4, optimiser: sgd,"))
    # The first two are too small to change any weight; the last is too large for any network.
    rates = ["1e-29", "1e-30", "1e6"]
    options = [word for rate in rates for word in ("--learning-rate", rate)]
    done = run(file, output, "--budget", "2", "--criterion", "neuron-obd_sd", *options)
    assert done.returncode == 0, done.stderr
    lines = {line["learning_rate"]: line for line in read(output) if line["regime"] == "scratch"}
    assert lines[1e-30]["accuracy_validation"] == lines[1e-29]["accuracy_validation"]
    assert [rate for rate, line in lines.items() if line["chosen"]] == [1e-30]
    diverged = output.read_text().splitlines()[-1]
    assert diverged == "neuron,scratch,2,1000000.0,,False"
    # The user hears of it where the chosen rate is the last.
    assert "neuron scratch 2 epochs: 1e-30 is the last rate tried; try lower ones" in done.stderr


def test_no_rate_is_chosen_where_all_diverge(tmp_path: Path) -> None:
    file, output = tmp_path / "tiny.yaml", tmp_path / "rates.csv"
    file.write_text(TINY.replace("epochs: 4,", "epochs: 4, optimiser: sgd,"))
    options = ["--learning-rate", "1e6", "--criterion", "neuron-obd_sd"]
    done = run(file, output, "--budget", "2", *options)
    assert output.read_text().splitlines()[-1] == "neuron,scratch,2,1000000.0,,False"
    assert "neuron scratch 2 epochs: training diverged at every rate" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--budget", "0"], "choose_rates: candidate epochs 0,"),
        (["--budget", "2", "--learning-rate", "-1"], "candidate epochs 2, learning_rate -1.0: "),
        (["--budget", "2", "--criterion", "neuron-odb"], "unknown method 'neuron-odb'; known"),
    ],
)
def test_what_cannot_be_tried_is_refused(
    tiny: Path, tmp_path: Path, options: list[str], words: str
) -> None:
    done = run(tiny, tmp_path / "rates.csv", *options)
    assert done.returncode != 0
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "rates.csv").exists()


# What is committed: study, table, and the numbers of epochs.
COMMITTED = [
    ("digits_specifications", "rates-digits.csv", (2, 5, 20, 40)),
    ("fashion_specifications", "rates-fashion_mnist.csv", (2, 8)),
]
committed = pytest.mark.parametrize(("name", "file", "budgets"), COMMITTED)


@committed
def test_a_committed_table_chooses_as_the_tool_does(
    name: str, file: str, budgets: tuple[int, ...]
) -> None:
    tried = read(REPOSITORY / "docs" / file)
    loaded = study.load(name)
    assert list(chosen(tried)) == [
        (level, regime, epochs)
        for level in loaded.levels
        for regime in loaded.pruning(level).regimes
        for epochs in budgets
    ]
    for key, lines in groups(tried):
        finished = [line for line in lines if line["accuracy_validation"] >= 0]
        best = max(finished, key=lambda one: (one["accuracy_validation"], -one["learning_rate"]))
        assert best["chosen"], key
        rates = sorted(line["learning_rate"] for line in lines)
        assert rates[0] < best["learning_rate"] < rates[-1], f"{key}: widen the candidates"


@committed
def test_each_specification_has_the_rates_chosen_for_its_epochs(
    name: str, file: str, budgets: tuple[int, ...]
) -> None:
    rates = chosen(read(REPOSITORY / "docs" / file))
    loaded = study.load(name)
    assert {one.name for one in loaded.specified.values() if one.choices} == {
        f"fine{fine}-scratch{fresh}-{rate}-{scope}"
        for fine in budgets
        for fresh in budgets
        for rate in ("chosen", "tenth")
        for scope in ("global", "layer")
    }
    for one in loaded.specified.values():
        for level in loaded.levels:
            for regime in loaded.pruning(level).regimes:
                recipe = one.settings.recipe(regime, level)
                # An iterative schedule has the usual rate, whatever the epochs of a round.
                rounds = getattr(one.settings.grid, level).rounds
                usual = recipe if rounds == 1 else loaded.recipe(regime, level)
                right = rates[level, regime, usual.epochs]
                if regime == "fine_tune" and one.choices.get("learning_rate") == "tenth":
                    right = loaded.recipes.baseline.learning_rate / 10
                assert recipe.learning_rate == pytest.approx(right, rel=1e-12), one.name
        if one.choices:
            fine, fresh = (int(one.choices[axis].strip(ascii_lowercase)) for axis in AXES)
            recipes = one.settings.recipes
            assert recipes.fine_tune is not None
            assert recipes.scratch is not None
            assert recipes.fine_tune.epochs == fine
            assert recipes.scratch.epochs == fresh
            assert recipes.rewind == recipes.scratch.model_copy(
                update={"learning_rate": rates["parameter", "rewind", fresh]}
            )


@committed
def test_a_scope_means_the_same_at_both_levels_and_the_base_is_as_usual(
    name: str, file: str, budgets: tuple[int, ...]
) -> None:
    loaded = study.load(name)
    for one in loaded.specified.values():
        grid = one.settings.grid
        assert grid.parameter is not None
        assert grid.neuron is not None
        usual = {"parameter": "global", "neuron": "layer"}
        scopes = {level: one.choices.get("scope", usual[level]) for level in usual}
        assert {grid.parameter.scope_of(c) for c in grid.parameter.criteria} == {
            scopes["parameter"]
        }
        others = [c for c in grid.neuron.criteria if c != "merging"]
        assert {grid.neuron.scope_of(c) for c in others} == {scopes["neuron"]}
        assert grid.neuron.scope_of("merging") == "layer"


@committed
def test_a_study_of_specifications_has_the_baseline_of_its_namesake(
    name: str, file: str, budgets: tuple[int, ...]
) -> None:
    loaded, usual = study.load(name), study.load(file.removeprefix("rates-").removesuffix(".csv"))
    assert loaded.recipes.baseline == usual.recipes.baseline
    assert loaded.recipes.quantization == usual.recipes.quantization
    assert (loaded.seed, loaded.claims) == (usual.seed, usual.claims)
    for level in usual.levels:
        # All that the claims are about: extensions would only cost time.
        claimed = {c for c in usual.pruning(level).criteria if not usual.registry[c].extension}
        assert set(loaded.pruning(level).criteria) == claimed
        assert loaded.pruning(level).regimes == usual.pruning(level).regimes
    assert not loaded.keep_networks


def test_the_specifications_are_as_many_as_promised() -> None:
    assert len(study.load("digits_specifications").specified) >= 60
    assert len(study.load("fashion_specifications").specified) >= 12
