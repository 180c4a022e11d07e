"""Curves that figures share: one line per criterion with its intervals, error bars, legends.

Lines are means over replicates, bands and bars 95 % t intervals over replicates.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from minified.analysis.figures import style
from minified.analysis.statistics import interval
from minified.study.studies import Study

# Up to this many intervals are legible as bands; more are drawn as bars, side by side.
_MOST_BANDS = 6
# A title of more letters does not fit above a panel of one column.
_TITLE = 42


def curves(
    axes: Axes,
    study: Study,
    rows: pd.DataFrame,
    x: str,
    y: str,
    dashes: Any = "-",
    intervals: bool = True,
) -> None:
    """One line per criterion through the means over replicates, with its intervals."""
    criteria = list(dict.fromkeys(rows["criterion"]))
    bands = len(criteria) <= _MOST_BANDS
    apart = intervals and not bands
    shifts = np.geomspace(0.95, 1.05, len(criteria)) if apart else [1.0] * len(criteria)
    for criterion, shift in zip(criteria, shifts, strict=True):
        group = rows[rows["criterion"] == criterion]
        shown = ("band" if bands else "bars") if intervals else None
        line(axes, group, style.look(study, str(criterion)), x, y, dashes, shown, float(shift))


def line(
    axes: Axes,
    rows: pd.DataFrame,
    look: style.Look,
    x: str = "parameters_kept",
    y: str = "accuracy_test",
    dashes: Any = "-",
    intervals: str | None = "band",
    shift: float = 1.0,
) -> None:
    """One criterion's line; intervals as a `band`, as `bars` (`shift` moves them apart) or None."""
    cells = list(rows.groupby("sparsity", sort=True))
    places = [shift * float(cell[x].astype(float).mean()) for _, cell in cells]
    means = [interval(list(100 * cell[y])) for _, cell in cells]
    edge_width = 0.8 if look.marker == "x" else 0
    axes.plot(
        places,
        [one.mean for one in means],
        color=look.colour,
        marker=look.marker,
        linestyle=dashes,
        markeredgewidth=edge_width,
    )
    lows, highs = [one.low for one in means], [one.high for one in means]
    if intervals == "band":
        axes.fill_between(places, lows, highs, color=look.colour, alpha=0.09, linewidth=0)
        for edge in (lows, highs):
            axes.plot(places, edge, color=look.colour, alpha=0.35, linewidth=0.4, label="edge")
    elif intervals == "bars":
        axes.vlines(places, lows, highs, color=look.colour, linewidth=0.7, alpha=0.8)


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """The ends of the 95 % t interval, for seaborn; the value itself with one replicate."""
    one = interval(list(values))
    return (one.low, one.high) if one.replicates > 1 else (one.mean, one.mean)


def means(axes: Axes, study: Study, rows: pd.DataFrame, **options: Any) -> None:
    """Means of the replicates with their intervals, a colour and a marker per criterion.

    `options` are those of seaborn's pointplot: `x` and `y` name columns of `rows`.
    """
    criteria = list(dict.fromkeys(rows["criterion"]))
    looks = [style.look(study, str(criterion)) for criterion in criteria]
    sns.pointplot(
        rows,
        hue="criterion",
        hue_order=criteria,
        palette=[look.colour for look in looks],
        markers=[look.marker for look in looks],
        linestyles="none",
        errorbar=t_interval,
        markeredgewidth=0.7,
        legend=False,
        ax=axes,
        **options,
    )


def arms(means: Sequence) -> np.ndarray:
    """The lengths of error bars, (below or above, bars), for matplotlib; 0 with one replicate."""
    below = [one.mean - one.low for one in means]
    above = [one.high - one.mean for one in means]
    return np.nan_to_num(np.array([below, above]), nan=0.0).clip(min=0.0)


def same_units(study: Study, level: str, shown: Mapping[str, Sequence[str]]) -> list[str]:
    """Which criteria one curve stands for, as short lines; `shown` is as `coinciding.shown` returns
    it.
    """
    lines: list[str] = []
    for names in shown.values():
        if len(names) > 1:
            shorts = " = ".join(style.look(study, name).short for name in names)
            lines += textwrap.wrap(f"({shorts}: the same {level}s)", _TITLE)
    return lines


def criteria_handles(study: Study, criteria: Sequence[str]) -> tuple[list[Line2D], list[str]]:
    """The lines and names of criteria, for a legend."""
    looks = [style.look(study, criterion) for criterion in criteria]
    handles = [Line2D([], [], color=look.colour, marker=look.marker) for look in looks]
    return handles, [look.short for look in looks]


def criteria_legend(
    figure: Figure, study: Study, criteria: Sequence[str], baseline: bool = True
) -> None:
    """A legend of criteria, and of the dense baseline, below the figure."""
    handles, labels = criteria_handles(study, criteria)
    if baseline:
        handles.append(Line2D([], [], color="black", linewidth=0.8, linestyle=(0, (3, 2))))
        labels.append("dense baseline")
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
