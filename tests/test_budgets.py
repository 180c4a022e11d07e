"""The budgets over which the budget map is drawn are those that the runs had."""

from dataclasses import asdict
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from conftest import SMALL
from minified.analysis import budgets
from minified.analysis.catalogue import figure_names
from minified.analysis.figures import budget_map
from minified.analysis.records import SPECIFIED_COLUMNS, Specified
from minified.foundations import files
from minified.study import Paths, Study
from studies import load

AXES = """\
specifications:
  axes:
    fine_tune: {{short: {{{0}.fine_tune.epochs: 2}}, usual: {{}}}}
    scratch: {{long: {{{1}.scratch.epochs: 8}}, usual: {{}}}}
"""


def test_a_level_s_own_epochs_are_its_budget(tmp_path: Path) -> None:
    text = SMALL.replace("scope: layer", "scope: layer\n    recipes: {scratch: {epochs: 9}}")
    study = load(tmp_path, text + AXES.format("recipes", "recipes"))
    settings = study.specified["short-long"].settings
    assert budgets.epochs(settings, "parameter", "scratch") == 8
    assert budgets.epochs(settings, "neuron", "scratch") == 9
    assert budgets.epochs(settings, "neuron", "fine_tune") == 2


def test_the_epochs_of_all_rounds_are_counted(tmp_path: Path) -> None:
    text = SMALL.replace("scope: global", "scope: global\n    rounds: 3\n    round_epochs: 5")
    settings = load(tmp_path, text)
    assert budgets.epochs(settings, "parameter", "fine_tune") == 15
    assert budgets.epochs(settings, "parameter", "scratch") == 4


@pytest.mark.parametrize(
    ("fine_tune", "scratch", "drawn"),
    [
        ("recipes", "recipes", True),
        ("grid.neuron.recipes", "grid.neuron.recipes", True),
        ("grid.neuron.recipes", "grid.parameter.recipes", False),
    ],
)
def test_the_map_is_drawn_where_one_level_s_budgets_vary(
    tmp_path: Path, fine_tune: str, scratch: str, drawn: bool
) -> None:
    study = load(tmp_path, SMALL + AXES.format(fine_tune, scratch))
    assert ("budget_map" in figure_names(study)) == drawn


def drawn(study: Study, folder: Path, ends: float | None) -> Figure:
    """The map of a study whose every effect is 1 point, `ends` away from those of its interval."""
    low, high = (None, None) if ends is None else (1 - ends, 1 + ends)
    values = (2, 3, 1.0, low, high, 0.95, 0.01, 1.0, 1.0, "supported", "no")
    lines = [Specified("C3", "x", "neuron", name, None, *values) for name in study.specified]
    paths = Paths(study.name, folder)
    file = paths.table("specifications.csv")
    file.parent.mkdir(parents=True)
    files.write_rows(file, SPECIFIED_COLUMNS, [asdict(one) for one in lines])
    figure = plt.figure()
    budget_map.draw(figure, study, paths)
    return figure


def test_the_map_of_neurons_has_the_budgets_of_neurons(tmp_path: Path) -> None:
    text = SMALL.replace("scope: layer", "scope: layer\n    recipes: {scratch: {epochs: 9}}")
    study = load(tmp_path, text + AXES.format("recipes", "recipes"))
    figure = drawn(study, tmp_path, 0.5)
    (axes,) = figure.axes
    plt.close(figure)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2", "4"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["9"]


def test_a_map_of_claims_that_were_not_tested_says_so(tmp_path: Path) -> None:
    study = load(tmp_path, SMALL + AXES.format("recipes", "recipes"))
    figure = drawn(study, tmp_path, None)
    plt.close(figure)
    assert not figure.axes
    assert ["tested" in text.get_text() for text in figure.texts] == [True]
