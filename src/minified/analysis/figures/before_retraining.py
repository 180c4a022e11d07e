"""The accuracy after pruning, before any retraining; a panel per level."""

from matplotlib.figure import Figure

from minified.analysis import results
from minified.analysis.figures import axes as scales
from minified.analysis.figures import curves
from minified.study.paths import Paths
from minified.study.studies import Study

RECORD = {"tables": ["results.csv"], "regimes": ["fine_tune"]}


def height(study: Study) -> float:
    """Inches."""
    return 4.8


def draw(figure: Figure, study: Study, paths: Paths) -> None:
    """The accuracy after pruning, before any retraining; a panel per level."""
    rows = results.read(paths.table("results.csv"))
    panels = figure.subplots(len(study.levels), 1, squeeze=False)[:, 0]
    for axes, level in zip(panels, study.levels, strict=True):
        here = rows[(rows["level"] == level) & (rows["regime"] == "fine_tune")]
        curves.curves(axes, study, here, "parameters_kept", "accuracy_test_before")
        scales.baseline(axes, rows)
        axes.set_title(f"{scales.LEVEL_TITLES[level]}, before any retraining", loc="left")
        scales.accuracy_axis([axes])
        scales.kept_axis([axes], rows, level)
    curves.criteria_legend(figure, study, study.criteria_names)
