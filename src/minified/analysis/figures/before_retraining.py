"""The accuracy after pruning, before any retraining; a panel per level."""

from matplotlib.figure import Figure

from minified.analysis import results
from minified.analysis.figures import axes as scales
from minified.analysis.figures import curves
from minified.study.paths import Paths
from minified.study.studies import Study

RECORD = {"tables": ["results.csv"], "needs": ["trained"]}


def height(study: Study) -> float:
    """Inches."""
    return 4.8


def draw(figure: Figure, study: Study, paths: Paths) -> None:
    """The accuracy after pruning, before any retraining; a panel per level."""
    rows = results.read(paths.table("results.csv"))
    levels = [level for level in study.levels if study.trained_regime(level)]
    panels = figure.subplots(len(levels), 1, squeeze=False)[:, 0]
    for axes, level in zip(panels, levels, strict=True):
        here = rows[(rows["level"] == level) & (rows["regime"] == study.trained_regime(level))]
        curves.curves(axes, study, here, "parameters_kept", "accuracy_test_before")
        scales.baseline(axes, rows)
        axes.set_title(f"{scales.LEVEL_TITLES[level]}, before any retraining", loc="left")
        scales.accuracy_axis([axes])
        scales.kept_axis([axes], rows, level)
    curves.criteria_legend(figure, study, study.criteria_names)
