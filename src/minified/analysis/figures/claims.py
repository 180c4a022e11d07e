"""Every claim as a paired difference: effect, interval, verdict; the claimed side right of zero."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from minified.analysis import results
from minified.analysis.claims.catalogue import CLAIMS
from minified.analysis.figures import axes as scales
from minified.analysis.figures import style
from minified.analysis.records import VERDICT_COLUMNS
from minified.study.paths import Paths
from minified.study.studies import Study

RECORD = {"tables": ["claims.csv"], "settings": ["claims"]}


def height(study: Study) -> float:
    """Inches."""
    quantized = study.grid.quantization
    return 3.1 + (0.17 * len(quantized.bits) * len(quantized.regimes) if quantized else 0.0)


def draw(figure: Figure, study: Study, paths: Paths) -> None:
    """A forest plot: effect and interval of every claim, the claimed side right of zero."""
    table = results.read_csv(paths.table("claims.csv"), columns=VERDICT_COLUMNS)
    axes = figure.subplots()
    # No criterion has these colours. A filled marker is a decided claim, a hollow one undecided.
    looks = {
        "supported": ("black", "o", "black"),
        "contradicted": ("black", "s", "black"),
        "inconclusive": (style.GREY, "o", "white"),
        "reported": (style.GREY, "d", style.GREY),
    }
    labels, position, ticks = [], 0.0, []
    previous = None
    for row in table.itertuples():
        position += 0.0 if previous is None else 1.0 if previous == row.claim else 1.7
        previous = row.claim
        labels.append(_label(row))
        ticks.append(position)
        if row.verdict == "not tested":
            axes.annotate("not tested", (0, position), fontsize=6, va="center", color=style.GREY)
            continue
        axes.errorbar(
            row.effect_points,
            position,
            xerr=[[row.effect_points - row.ci_low], [row.ci_high - row.effect_points]],
            color=looks[row.verdict][0],
            marker=looks[row.verdict][1],
            markerfacecolor=looks[row.verdict][2],
            markersize=3.2,
            elinewidth=1.2,
            capsize=2.5,
        )
    boundary = study.claims.size_boundary_points
    axes.axvspan(0, boundary, color="#f0f0f0", linewidth=0, zorder=0)
    axes.axvline(0, color=style.GREY, linewidth=0.8)
    axes.set_yticks(ticks, labels, fontsize=6.5)
    axes.grid(visible=False, axis="y")
    axes.set_ylim(position + 0.8, -0.8)
    reach = np.nanmax(np.abs(table[["ci_low", "ci_high"]].to_numpy(float)), initial=2 * boundary)
    axes.set_xscale("symlog", linthresh=boundary, linscale=1.0)
    axes.set_xlim(-1.25 * reach, 1.25 * reach)
    # Further ticks on both sides, if they are not too close to the boundary.
    far = [tick for tick in (5, 20, 50) if tick > 2 * boundary]
    scales.points_axis(
        axes.xaxis, (*(-tick for tick in reversed(far)), -boundary, 0, boundary, *far)
    )
    axes.set_xlabel("effect (points; linear, then log)")
    handles = [
        Line2D([], [], color=colour, marker=marker, markerfacecolor=fill, label=word)
        for word, (colour, marker, fill) in looks.items()
        if (table["verdict"] == word).any()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)


def _label(row: Any) -> str:
    level = None if pd.isna(row.level) else row.level
    return f"{row.claim}  {CLAIMS[row.claim].labels[row.part, level]}"
