"""Axes that figures share: accuracy by the logarithm of the error, parameters kept, points."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from minified.criteria.record import LEVELS

LEVEL_TITLES = {level: f"{level} pruning" for level in LEVELS}

# In order of preference: as many are shown as there is room for.
_ACCURACY_TICKS = (90, 99, 98, 95, 80, 50, 97, 96, 0, 20, 60, 99.5, 98.5, 97.5, 94, 92, 70, 96.5)


def _spaced(accuracy: Any) -> Any:
    return -np.log10(np.clip(100 - np.asarray(accuracy, dtype=float), 0.1, None))


def accuracy_axis(panels: Iterable[Axes]) -> None:
    """Accuracy spaced by the logarithm of the error: 90, 99 and 99.9 % are equally far apart.

    On a linear axis all curves above 95 % would merge into one. The range is that of the lines; an
    interval may extend beyond it.
    """
    panels = list(panels)
    values = np.concatenate(
        [
            line.get_ydata()
            for axes in panels
            for line in axes.get_lines()
            if line.get_label() != "edge"
        ]
    )
    low = max(100 - 1.25 * (100 - float(values.min())), 0.0)
    high = 100 - (100 - float(values.max())) / 1.8
    ticks: list[float] = []
    room = 0.07 * (_spaced(high) - _spaced(low))
    for tick in _ACCURACY_TICKS:
        near = [abs(_spaced(tick) - _spaced(other)) < room for other in ticks]
        if low <= tick <= high and not any(near):
            ticks.append(tick)
    for axes in panels:
        axes.set_yscale("function", functions=(_spaced, lambda spaced: 100 - 10**-spaced))
        axes.set_ylim(low, high)
        axes.yaxis.set_major_locator(FixedLocator(sorted(ticks)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        axes.set_ylabel("test accuracy (%),\nlog error scale")


def baseline(axes: Axes, rows: pd.DataFrame) -> None:
    """A line at the dense baseline's mean accuracy."""
    dense = 100 * rows[rows["method"] == "baseline"]["accuracy_test"].mean()
    axes.axhline(dense, color="black", linewidth=0.8, linestyle=(0, (3, 2)), zorder=1)


def kept_axis(panels: Iterable[Axes], rows: pd.DataFrame, level: str) -> None:
    """A log axis of parameters kept, each tick labelled with its sparsity as well."""
    here = rows[rows["level"] == level]
    cells = here.groupby("sparsity", sort=True)["parameters_kept"]
    places = cells.mean().astype(float)
    panels = list(panels)
    for axes in panels:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(list(places)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    labels = [f"{place:,.0f}\n({sparsity:g})" for sparsity, place in places.items()]
    panels[-1].set_xticks(list(places), labels)
    panels[-1].set_xlabel(f"parameters kept ({level} sparsity)")


def points_axis(axis: XAxis | YAxis, ticks: Sequence[float]) -> None:
    """Signed ticks for a difference on a symlog axis.

    The axis is linear near zero, where claims are decided, and logarithmic beyond.
    """
    low, high = axis.get_view_interval()
    axis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:+g}" if x else "0"))
