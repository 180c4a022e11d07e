"""Ranks of measured damage against ranks of scores, a panel per method, one dot per unit of the
first replicates.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from minified.analysis import results
from minified.analysis.figures import style
from minified.analysis.records import CORRELATION_COLUMNS, SCATTER_COLUMNS
from minified.foundations.errors import ArtefactError
from minified.study.paths import Paths
from minified.study.studies import Study

_COLUMNS = 4

RECORD = {"tables": ["damage_scatter.csv", "damage.csv"], "needs": ["pruning"]}


def height(study: Study) -> float:
    """Inches."""
    return 0.5 + 1.15 * len(_panel_rows(study))


def draw(figure: Figure, study: Study, paths: Paths) -> None:
    """Ranks of measured damage against ranks of scores, a panel per method, one dot per unit."""
    file = paths.table("damage_scatter.csv")
    ranks = results.read_csv(file, {"score_ranks": "str", "damage_ranks": "str"}, SCATTER_COLUMNS)
    table = results.read_csv(paths.table("damage.csv"), columns=CORRELATION_COLUMNS)
    rows = _panel_rows(study)
    panels = figure.subplots(len(rows), _COLUMNS, sharex=True, sharey=True, squeeze=False)
    for row, methods in zip(panels, rows, strict=True):
        for axes in row[len(methods) :]:
            axes.set_visible(False)
        for axes, method in zip(row, methods, strict=False):
            look = style.look(study, method.partition("-")[2])
            here = ranks[ranks["method"] == method]
            axes.plot(
                _numbers(file, here["score_ranks"]),
                _numbers(file, here["damage_ranks"]),
                linestyle="none",
                marker=".",
                markersize=1.2,
                color=look.colour,
                rasterized=True,
            )
            rho = table[table["method"] == method]["spearman"].mean()
            shown = "undefined" if pd.isna(rho) else f"{rho:+.2f}"
            axes.set_title(f"{_stacked(look)}\nρ = {shown}", fontsize=6, pad=2)
            axes.set_xticks([0, 50, 100])
            axes.set_yticks([0, 50, 100])
            axes.tick_params(labelsize=6)
        row[0].set_ylabel(f"{methods[0].partition('-')[0]}s")
    figure.supxlabel("rank of the score (%)", fontsize=7.5)
    figure.supylabel("rank of the measured damage (%)", fontsize=7.5)


def _numbers(file: Path, lists: Iterable[str]) -> np.ndarray:
    """The numbers of all replicates."""
    try:
        return np.array([float(word) for words in lists for word in words.split()])
    except (AttributeError, ValueError):
        raise ArtefactError(file, "has ranks that are not numbers") from None


def _panel_rows(study: Study) -> list[list[str]]:
    """The methods in rows of panels; a level starts a new row."""
    rows = []
    for level in study.levels:
        here = [method for method in study.methods if method.startswith(f"{level}-")]
        rows += [here[i : i + _COLUMNS] for i in range(0, len(here), _COLUMNS)]
    return rows


def _stacked(look: style.Look) -> str:
    """A title over two lines, for narrow panels."""
    return look.short.replace(" (", "\n(") if " (" in look.title else f"\n{look.title}"
