"""Accuracy against parameters kept at one level, a panel per regime: shared by two figures."""

import pandas as pd
from matplotlib.figure import Figure

from minified.analysis import coinciding, results
from minified.analysis.figures import axes as scales
from minified.analysis.figures import curves, style
from minified.analysis.records import OVERLAP_COLUMNS
from minified.study.paths import Paths
from minified.study.studies import Study

_SHARED = style.Look("black", "o", "all criteria", "all criteria")


def draw_level(figure: Figure, study: Study, paths: Paths, level: str) -> None:
    """Draw the panels of `level`; criteria that coincide there are one curve."""
    rows = results.read(paths.table("results.csv"))
    overlap = results.read_csv(paths.table("overlap.csv"), columns=OVERLAP_COLUMNS)
    alike = coinciding.shown(rows, overlap, level)
    rows = rows[rows["level"].ne(level).fillna(True) | rows["criterion"].isin(alike)]
    regimes = study.pruning(level).regimes
    panels = figure.subplots(len(regimes), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, regime in zip(panels, regimes, strict=True):
        here = rows[(rows["level"] == level) & (rows["regime"] == regime)]
        title = f"{scales.LEVEL_TITLES[level]}, {study.regime(regime).title}"
        if _all_alike(here):
            title += "\n(all criteria leave the same widths: one run)"
            curves.line(axes, here[here["criterion"] == here["criterion"].iloc[0]], _SHARED)
        else:
            title = "\n".join([title, *curves.same_units(study, level, alike)])
            curves.curves(axes, study, here, "parameters_kept", "accuracy_test")
        scales.baseline(axes, rows)
        axes.set_title(title, loc="left")
    scales.accuracy_axis(panels)
    scales.kept_axis(panels, rows, level)
    curves.criteria_legend(figure, study, list(alike))


def _all_alike(rows: pd.DataFrame) -> bool:
    """Whether every criterion has the same accuracies, as scratch runs of equal widths have."""
    wide = rows.pivot(
        index=["sparsity", "replicate"], columns="criterion", values="accuracy_test"
    ).to_numpy(float)
    return wide.shape[1] > 1 and bool((wide == wide[:, :1]).all())
