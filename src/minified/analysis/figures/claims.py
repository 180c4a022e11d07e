"""Every claim as a paired difference: effect, interval, verdict; the claimed side right of zero.

Claims about substantial pruning are also told sparsity by sparsity: a mean over sparsities can hide
that all of an effect comes from one of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from minified.analysis import results, verdict_sheets
from minified.analysis.claims.catalogue import CLAIMS
from minified.analysis.figures import axes as scales
from minified.analysis.figures import style
from minified.analysis.records import DETAIL_COLUMNS, VERDICT_COLUMNS
from minified.criteria.record import READINGS
from minified.study.paths import Paths
from minified.study.studies import Study

RECORD = {"tables": ["claims.csv", "claims_detail.csv"], "settings": ["claims"]}

WIDTH = style.PAGE
_ROW = 0.135
_SLIGHTLY, _NO_INTEREST = "#f0f0f0", "#d8d8d8"
# Two columns of claims, those with many lines above. Claims that are added later stand beside those
# that are told sparsity by sparsity, or beside those about regimes.
_ADDED = [claim for claim in CLAIMS if claim not in ("C1", "C2", "C3", "C4", "E1", "E2")]
_BY_PLACE = ("E2", *(claim for claim in _ADDED if CLAIMS[claim].by_place))
_REGIMES = ("C2", "C3", "E1", *(claim for claim in _ADDED if not CLAIMS[claim].by_place))
_PANELS = ((("C1",), _BY_PLACE), (_REGIMES, ("C4",)))
_TITLES = {
    "C1": "C1: OBD-SD minus the best other criterion",
    "E2": "E2: OBD-SD minus OBD" if len(_BY_PLACE) == 1 else ", ".join(_BY_PLACE),
    "C2": f"{', '.join(_REGIMES)}: regimes",
    "C4": "C4: pruned minus quantized",
}


@dataclass(frozen=True)
class _Line:
    """A line of a panel: a comparison, or one sparsity of it; a heading has no row."""

    label: str
    row: Any = None
    pooled: bool = True


def height(study: Study) -> float:
    """Inches, for the readings and sparsities that the grid has."""
    claims = study.claims
    upper = 0
    for level in study.levels:
        grid = study.pruning(level)
        boundary = getattr(claims, f"substantial_{level}_sparsity")
        places = sum(sparsity >= boundary for sparsity in grid.sparsities)
        readings = [name for name in grid.criteria if name in READINGS] or [""]
        upper += 1 + len(readings) * (1 + places)
    quantized = study.grid.quantization
    lower = max(
        2 * len(_REGIMES), 1 + (len(quantized.bits) * len(quantized.regimes) if quantized else 1)
    )
    return 1.6 + _ROW * (max(upper, 4) + lower)


def draw(figure: Figure, study: Study, paths: Paths) -> None:
    """A forest plot per group of claims, the claimed side right of zero."""
    table = results.read_csv(paths.table("claims.csv"), columns=VERDICT_COLUMNS)
    detail = results.read_csv(paths.table("claims_detail.csv"), columns=DETAIL_COLUMNS)
    lines = [[_lines(study, table, detail, ids) for ids in row] for row in _PANELS]
    ratios = [max(map(len, row)) + 1 for row in lines]
    panels = figure.subplots(2, 2, squeeze=False, height_ratios=ratios)
    for row, shown, claims in zip(panels, lines, _PANELS, strict=True):
        for axes, own, ids in zip(row, shown, claims, strict=True):
            _panel(axes, study, own, max(map(len, shown)))
            axes.set_title(_TITLES[ids[0]], loc="left")
    for axes in panels[1]:
        axes.set_xlabel("effect (points; linear, then log)")
    said = [word for word in style.VERDICTS if (table["verdict"] == word).any()]
    handles: list[Artist] = [style.verdict_handle(word) for word in said]
    handles.append(_handle("o", "white", "one sparsity", 2.2))
    handles.append(_handle("|", "black", "median over cells", 5.0))
    boundary, small = study.claims.size_boundary_points, study.claims.no_interest_points
    handles.append(Patch(color=_SLIGHTLY, label=f"slightly: up to {boundary:g}"))
    if small > 0:
        handles.append(Patch(color=_NO_INTEREST, label=f"of no interest: within {small:g}"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4)


def _lines(
    study: Study, table: pd.DataFrame, detail: pd.DataFrame, ids: Sequence[str]
) -> list[_Line]:
    """The lines of a panel; parts that coincide are one, and a claim that lacks its level none.

    Raises:
        ValueError: the table lacks a claim altogether.
    """
    lines: list[_Line] = []
    for claim in ids:
        here = table[table["claim"] == claim].reset_index(drop=True)
        if here.empty:
            raise ValueError(f"there is no line of claim {claim}")
        level = None
        for place, names in verdict_sheets.shown_once(here):
            row = here.iloc[place]
            if CLAIMS[claim].by_place:
                if row["level"] not in study.levels or not _in_grid(study, row):
                    continue
                if row["level"] != level:
                    level = row["level"]
                    lines.append(_Line(f"{level}s"))
                lines.append(_Line(verdict_sheets.label(names), row))
                own = detail[
                    (detail["claim"] == claim)
                    & (detail["part"] == row["part"])
                    & (detail["level"] == level)
                ]
                lines += [_Line(f"at {one.place}", one, pooled=False) for one in own.itertuples()]
            else:
                own_level = None if pd.isna(row["level"]) else row["level"]
                label = CLAIMS[claim].labels[row["part"], own_level]
                named = f"{claim}, {own_level}s: {label}" if own_level else label
                lines.append(_Line(named, row))
    return lines or [_Line("not in this study")]


def _in_grid(study: Study, row: pd.Series) -> bool:
    return row["part"] in study.pruning(row["level"]).criteria


def _panel(axes: Axes, study: Study, lines: Sequence[_Line], room: int) -> None:
    claims = study.claims
    axes.axvspan(0, claims.size_boundary_points, color=_SLIGHTLY, linewidth=0, zorder=0)
    small = claims.no_interest_points
    if small > 0:
        axes.axvspan(-small, small, color=_NO_INTEREST, linewidth=0, zorder=0.5)
    axes.axvline(0, color=style.GREY, linewidth=0.8, zorder=1)
    ends: list[float] = [2 * claims.size_boundary_points]
    untested = []
    for place, line in enumerate(lines):
        if line.row is None:
            continue
        if pd.isna(line.row.effect_points) or pd.isna(line.row.ci_low):
            untested.append(place)
            continue
        ends += [abs(line.row.ci_low), abs(line.row.ci_high)]
        _mark(axes, place, line)
    axes.set_yticks(range(len(lines)), [line.label for line in lines], fontsize=6)
    for line, text in zip(lines, axes.get_yticklabels(), strict=True):
        if line.row is None:
            text.set_fontweight("bold")
        elif not line.pooled:
            text.set_fontsize(5)
            text.set_color(style.GREY)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_ylim(room - 0.4, -0.7)
    reach = 1.25 * max(ends)
    boundary = claims.size_boundary_points
    axes.set_xscale("symlog", linthresh=boundary, linscale=1.0)
    axes.set_xlim(-reach, reach)
    near = (1.0,) if boundary >= 2 else ()
    ticks = [*near, boundary, *(tick for tick in (5, 20, 50) if tick > 2 * boundary)]
    scales.points_axis(axes.xaxis, (*(-tick for tick in reversed(ticks)), 0, *ticks))
    axes.tick_params(axis="x", labelsize=6)
    for place in untested:
        axes.annotate(
            "not tested",
            (0, place),
            fontsize=5.5,
            va="center",
            ha="center",
            color=style.GREY,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )


def _mark(axes: Axes, place: int, line: _Line) -> None:
    row = line.row
    if not line.pooled:
        axes.hlines(place, row.ci_low, row.ci_high, color=style.GREY, linewidth=0.5)
        axes.plot(
            row.effect_points,
            place,
            marker="o",
            markersize=2.2,
            color=style.GREY,
            markerfacecolor="white",
            markeredgewidth=0.6,
        )
        return
    look = style.VERDICTS[row.verdict]
    axes.errorbar(
        row.effect_points,
        place,
        xerr=np.array([[row.effect_points - row.ci_low], [row.ci_high - row.effect_points]]),
        color=look.colour,
        marker=look.marker,
        markerfacecolor=look.fill,
        markersize=3.4,
        elinewidth=1.2,
        capsize=2,
    )
    axes.plot(row.median_points, place, marker="|", markersize=6, color="black")


def _handle(marker: str, fill: str, label: str, size: float) -> Line2D:
    colour = "black" if marker == "|" else style.GREY
    return Line2D(
        [],
        [],
        color=colour,
        marker=marker,
        markerfacecolor=fill,
        markersize=size,
        linestyle="none",
        label=label,
    )
