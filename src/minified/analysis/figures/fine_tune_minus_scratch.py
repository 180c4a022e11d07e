"""Do inherited weights help? Paired differences per criterion and sparsity, a panel per level."""

from collections.abc import Callable, Sequence

import pandas as pd
from matplotlib.figure import Figure

from minified.analysis import coinciding, results
from minified.analysis.figures import axes as scales
from minified.analysis.figures import curves, style
from minified.analysis.records import OVERLAP_COLUMNS
from minified.study.paths import Paths
from minified.study.studies import Study

RECORD = {
    "tables": ["results.csv", "overlap.csv"],
    "regimes": ["fine_tune", "scratch"],
    "settings": ["claims"],
}


def height(study: Study) -> float:
    """Inches."""
    return 4.8


def draw(figure: Figure, study: Study, paths: Paths) -> None:
    """Paired differences, per criterion and sparsity, a panel per level."""
    rows = results.read(paths.table("results.csv"))
    overlap = results.read_csv(paths.table("overlap.csv"), columns=OVERLAP_COLUMNS)
    levels = [
        level
        for level in study.levels
        if {"fine_tune", "scratch"} <= set(study.pruning(level).regimes)
    ]
    panels = figure.subplots(len(levels), 1, squeeze=False)[:, 0]
    drawn: dict[str, None] = {}
    for axes, level in zip(panels, levels, strict=True):
        grid = study.pruning(level)
        alike = coinciding.shown(rows, overlap, level)
        drawn |= dict.fromkeys(alike)
        here = rows[(rows["level"] == level) & rows["criterion"].isin(alike)].pivot(
            index=["criterion", "sparsity", "replicate"], columns="regime", values="accuracy_test"
        )
        here["points"] = 100 * (here["fine_tune"] - here["scratch"])
        curves.means(
            axes,
            study,
            here.reset_index().sort_values("criterion", key=_in_order(grid.criteria)),
            x="sparsity",
            y="points",
            order=grid.sparsities,
            dodge=0.64 if len(alike) > 1 else False,
            markersize=3.6,
            err_kws={"linewidth": 0.9},
        )
        axes.axhline(0, color=style.GREY, linewidth=0.8)
        axes.set_xticks(range(len(grid.sparsities)), [f"{s:g}" for s in grid.sparsities])
        axes.grid(visible=False, axis="x")
        for edge in range(1, len(grid.sparsities)):
            axes.axvline(edge - 0.5, color="#e4e4e4", linewidth=0.5)
        axes.set_xlim(-0.5, len(grid.sparsities) - 0.5)
        axes.set_xlabel(f"{level} sparsity")
        axes.set_yscale("symlog", linthresh=study.claims.size_boundary_points, linscale=1.0)
        scales.points_axis(axes.yaxis, (-50, -20, -10, -5, -2, -1, 0, 1, 2, 5, 10, 20, 50))
        axes.set_ylabel("points (linear, then log)")
        title = f"{scales.LEVEL_TITLES[level]}: fine-tuned minus scratch"
        lines = [title, *curves.same_units(study, level, alike)]
        axes.set_title("\n".join(lines), loc="left")
    curves.criteria_legend(
        figure, study, [c for c in study.criteria_names if c in drawn], baseline=False
    )


def _in_order(names: Sequence[str]) -> Callable[[pd.Series], pd.Series]:
    """Sorts a column as `names` are."""
    places = {name: place for place, name in enumerate(names)}
    return lambda column: column.map(places)
