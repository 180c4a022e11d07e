"""The map of budgets: its axes are the epochs that the networks of a level were trained for."""

from dataclasses import asdict
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from conftest import SMALL
from minified import study
from minified.analysis.catalogue import FIGURES
from minified.analysis.figures import budget_map
from minified.analysis.records import SPECIFIED_COLUMNS, Specified
from minified.foundations import files
from minified.study import Paths, Study

# SMALL trains for 4 epochs everywhere.
PLAIN = """\
specifications:
  axes:
    fine: {short: {recipes.fine_tune.epochs: 2}, usual: {}}
    anew: {long: {recipes.scratch.epochs: 6}, usual: {}}
"""
# The budgets of neurons alone, the same epochs of scratch in other words.
OF_NEURONS = """\
specifications:
  axes:
    fine: {short: {grid.neuron.recipes.fine_tune.epochs: 3}, usual: {}}
    anew: {long: {grid.neuron.recipes.scratch.epochs: 7}, usual: {}}
"""
# Two rounds of 4 epochs, or one.
ROUNDS = """\
specifications:
  axes:
    fine: {two: {grid.parameter.rounds: 2}, usual: {}}
    anew: {long: {recipes.scratch.epochs: 6}, usual: {}}
"""


def loaded(folder: Path, specifications: str) -> Study:
    (folder / "small.yaml").write_text(SMALL + specifications)
    return study.load(folder / "small.yaml")


def drawn(one: Study, folder: Path) -> dict[str, tuple[list[str], list[str], list[str]]]:
    """Per claim, the epochs of fine-tuning and of scratch, and the numbers in the cells."""
    lines = [
        Specified(
            *(claim, part, level),
            specification=name,
            choices=" ".join(f"{a}={o}" for a, o in specification.choices.items()),
            cells=1,
            replicates=3,
            effect_points=float(number),
            ci_low=number - 1.0,
            ci_high=number + 1.0,
            confidence=0.95,
            p=0.5,
            detectable_points=1.0,
            median_points=0.0,
            verdict="inconclusive",
            within_no_interest="no",
        )
        for claim, part, level in (
            ("C2", "fine_tune - scratch", "parameter"),
            ("C3", "scratch - fine_tune", "neuron"),
        )
        for number, (name, specification) in enumerate(one.specified.items(), start=1)
    ]
    paths = Paths("small", folder)
    paths.table("x").parent.mkdir(parents=True, exist_ok=True)
    table = paths.table("specifications.csv")
    files.write_rows(table, SPECIFIED_COLUMNS, [asdict(line) for line in lines])
    figure = plt.figure()
    budget_map.draw(figure, one, paths)
    found = {}
    for axes in figure.axes:
        ticks = (axes.get_xticklabels(), axes.get_yticklabels())
        fine, scratch = ([label.get_text() for label in labels] for labels in ticks)
        numbers = [text.get_text() for text in axes.texts]
        found[axes.get_title(loc="left").partition(",")[0]] = (fine, scratch, numbers)
    plt.close(figure)
    return found


def test_cells_are_the_effects_at_their_budgets(tmp_path: Path) -> None:
    one = loaded(tmp_path, PLAIN)
    assert list(one.specified) == ["short-long", "short-usual", "usual-long", "usual-usual"]
    assert drawn(one, tmp_path) == {
        "C2": (["2", "4"], ["6", "4"], ["+1.0", "+3.0", "+2.0", "+4.0"]),
        # Fine-tuning minus scratch, so that the sign is the other one.
        "C3": (["2", "4"], ["6", "4"], ["-1.0", "-3.0", "-2.0", "-4.0"]),
    }


def test_each_level_has_its_own_budgets(tmp_path: Path) -> None:
    one = loaded(tmp_path, OF_NEURONS)
    assert FIGURES["budget_map"].drawn_for(one)
    assert drawn(one, tmp_path) == {
        "C2": (["4"], ["4"], ["+2.5"]),
        "C3": (["3", "4"], ["7", "4"], ["-1.0", "-3.0", "-2.0", "-4.0"]),
    }


def test_the_epochs_of_all_rounds_count(tmp_path: Path) -> None:
    one = loaded(tmp_path, ROUNDS)
    assert FIGURES["budget_map"].drawn_for(one)
    found = drawn(one, tmp_path)
    assert found["C2"] == (["4", "8"], ["6", "4"], ["+3.0", "+1.0", "+4.0", "+2.0"])
    assert found["C3"] == (["4"], ["6", "4"], ["-2.0", "-3.0"])


@pytest.mark.parametrize(
    "specifications",
    [
        PLAIN.replace("recipes.fine_tune.epochs: 2", "recipes.fine_tune.learning_rate: 0.02"),
        OF_NEURONS.replace("neuron.recipes.scratch", "parameter.recipes.scratch"),
        "",
    ],
)
def test_nothing_is_mapped_if_no_level_varies_both_budgets(
    tmp_path: Path, specifications: str
) -> None:
    assert not FIGURES["budget_map"].drawn_for(loaded(tmp_path, specifications))
