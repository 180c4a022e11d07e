"""The accuracy after pruning, before any retraining; a panel per level."""

from matplotlib.figure import Figure

from minified.analysis import coinciding, results
from minified.analysis.figures import axes as scales
from minified.analysis.figures import curves
from minified.analysis.records import OVERLAP_COLUMNS
from minified.study.paths import Paths
from minified.study.studies import Study

RECORD = {"tables": ["results.csv", "overlap.csv"], "needs": ["trained"]}


def height(study: Study) -> float:
    """Inches."""
    return 4.8


def draw(figure: Figure, study: Study, paths: Paths) -> None:
    """The accuracy after pruning, before any retraining; a panel per level."""
    rows = results.read(paths.table("results.csv"))
    overlap = results.read_csv(paths.table("overlap.csv"), columns=OVERLAP_COLUMNS)
    levels = [level for level in study.levels if study.trained_regime(level)]
    panels = figure.subplots(len(levels), 1, squeeze=False)[:, 0]
    drawn: dict[str, None] = {}
    for axes, level in zip(panels, levels, strict=True):
        alike = coinciding.shown(rows, overlap, level)
        drawn |= dict.fromkeys(alike)
        here = rows[(rows["level"] == level) & (rows["regime"] == study.trained_regime(level))]
        here = here[here["criterion"].isin(alike)]
        curves.curves(axes, study, here, "parameters_kept", "accuracy_test_before")
        scales.baseline(axes, rows)
        title = f"{scales.LEVEL_TITLES[level]}, before any retraining"
        lines = [title, *curves.same_units(study, level, alike)]
        axes.set_title("\n".join(lines), loc="left")
        scales.accuracy_axis([axes])
        scales.kept_axis([axes], rows, level)
    curves.criteria_legend(figure, study, [c for c in study.criteria_names if c in drawn])
