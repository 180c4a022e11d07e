"""Do inherited weights help? Paired differences per criterion and sparsity, a panel per level."""

import numpy as np
from matplotlib.figure import Figure

from minified.analysis import results
from minified.analysis.figures import axes as scales
from minified.analysis.figures import curves, style
from minified.analysis.statistics import interval
from minified.study.paths import Paths
from minified.study.studies import Study

RECORD = {
    "tables": ["results.csv"],
    "regimes": ["fine_tune", "scratch"],
    "settings": ["claims"],
}


def height(study: Study) -> float:
    """Inches."""
    return 4.8


def draw(figure: Figure, study: Study, paths: Paths) -> None:
    """Paired differences, per criterion and sparsity, a panel per level."""
    rows = results.read(paths.table("results.csv"))
    levels = [
        level
        for level in study.levels
        if {"fine_tune", "scratch"} <= set(study.pruning(level).regimes)
    ]
    panels = figure.subplots(len(levels), 1, squeeze=False)[:, 0]
    for axes, level in zip(panels, levels, strict=True):
        grid = study.pruning(level)
        here = rows[rows["level"] == level].set_index(["criterion", "sparsity", "replicate"])
        here = here.sort_index()
        offsets = np.linspace(-0.32, 0.32, len(grid.criteria))
        for offset, criterion in zip(offsets, grid.criteria, strict=True):
            look = style.look(study, criterion)
            differences = []
            for sparsity in grid.sparsities:
                cell = here.loc[(criterion, sparsity)]
                accuracy = {
                    regime: cell[cell["regime"] == regime]["accuracy_test"]
                    for regime in ("fine_tune", "scratch")
                }
                points = 100 * (accuracy["fine_tune"] - accuracy["scratch"])
                differences.append(interval(list(points)))
            curves.bars(axes, np.arange(len(differences)) + offset, differences, look)
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
        axes.set_title(f"{scales.LEVEL_TITLES[level]}: fine-tuned minus scratch", loc="left")
    curves.criteria_legend(figure, study, study.criteria_names, baseline=False)
