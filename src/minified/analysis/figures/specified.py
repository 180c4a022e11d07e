"""Specification curves: effects under all specifications, sorted, and the choices beneath.

One dot per specification with its interval; below it a dot for its option of each axis, or for the
single variant that it is (Simonsohn, Simmons & Nelson 2020).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minified.analysis import results
from minified.analysis.figures import axes as scales
from minified.analysis.figures import style
from minified.analysis.records import SPECIFIED_COLUMNS
from minified.study.paths import Paths
from minified.study.specifications import BASE
from minified.study.studies import Study

ROW = 0.105
"""Height of a row of the choices, inches."""


def table(paths: Paths) -> pd.DataFrame:
    """tables/specifications.csv, without what was not tested."""
    every = results.read_csv(paths.table("specifications.csv"), columns=SPECIFIED_COLUMNS)
    return every[every["ci_low"].notna()]


def rows(study: Study) -> list[tuple[str, str]]:
    """The rows of the choices: axis and option; of single variants the axis is empty."""
    chosen = [(axis, o) for axis, options in study.specifications.axes.items() for o in options]
    singles = [name for name, one in study.specified.items() if not one.choices]
    return chosen + [("", name) for name in singles]


def panel(
    above: Axes, below: Axes, study: Study, effects: pd.DataFrame, shown: Sequence[tuple[str, str]]
) -> None:
    """Draw the effects of one comparison in one axes, and beneath them the choices `shown`."""
    order = curve(above, study, effects)
    above.set_ylabel("points")
    choices(below, study, order, shown)


def legend(figure: Figure, effects: pd.DataFrame) -> None:
    """Explain the verdicts that there are, below all panels."""
    said = [word for word in style.VERDICTS if (effects["verdict"] == word).any()]
    handles = [style.verdict_handle(word) for word in said if word != "reported"]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)


def curve(axes: Axes, study: Study, effects: pd.DataFrame) -> list[str]:
    """Draw the effects of one comparison, the lowest first; return the specifications in order."""
    sorted_ = effects.sort_values(["effect_points", "specification"], kind="stable")
    places = np.arange(len(sorted_))
    colours = [style.VERDICTS[verdict].colour for verdict in sorted_["verdict"]]
    axes.vlines(places, sorted_["ci_low"], sorted_["ci_high"], colors=colours, linewidth=0.6)
    for word, look in style.VERDICTS.items():
        here = (sorted_["verdict"] == word).to_numpy()
        axes.plot(
            places[here],
            sorted_["effect_points"][here],
            linestyle="none",
            marker=look.marker,
            color=look.colour,
            markerfacecolor=look.fill,
            markeredgewidth=0.5,
            markersize=2.2,
        )
    boundary = study.claims.size_boundary_points
    axes.axhline(0, color=style.GREY, linewidth=0.7)
    axes.set_yscale("symlog", linthresh=boundary, linscale=1.0)
    low, high = float(effects["ci_low"].min()), float(effects["ci_high"].max())
    axes.set_ylim(min(1.15 * low, -0.5), max(1.15 * high, 0.5))
    scales.points_axis(axes.yaxis, (-50, -20, -5, -boundary, -1, 0, 1, boundary, 5, 20, 50))
    axes.set_xlim(-1, len(sorted_))
    axes.set_xticks([])
    axes.grid(visible=False, axis="x")
    return list(sorted_["specification"])


def choices(
    axes: Axes, study: Study, order: Sequence[str], shown: Sequence[tuple[str, str]]
) -> None:
    """Draw a dot for each choice of each specification, in the `order` of the curve above."""
    for place, (axis, option) in enumerate(shown):
        has = [n for n, name in enumerate(order) if _has(study, name, axis, option)]
        axes.plot(
            has,
            [place] * len(has),
            linestyle="none",
            marker="s" if axis else "D",
            markersize=1.6,
            markeredgewidth=0,
            color="black",
        )
    groups = [axis for axis, _ in shown]
    for place in range(1, len(groups)):
        if groups[place] != groups[place - 1]:
            axes.axhline(place - 0.5, color="#c8c8c8", linewidth=0.5)
    labels = [f"{axis.replace('_', ' ')}: {o}" if axis else _variant(o) for axis, o in shown]
    axes.set_yticks(range(len(shown)), labels, fontsize=5)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(-1, len(order))
    axes.set_xticks([])
    axes.grid(visible=False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)


def _variant(name: str) -> str:
    return "the study's own settings" if name == BASE else f"variant: {name.replace('_', ' ')}"


def _has(study: Study, name: str, axis: str, option: str) -> bool:
    chosen: Mapping[str, str] = study.specified[name].choices
    return chosen.get(axis) == option if axis else name == option
