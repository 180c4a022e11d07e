"""Pruning of parameters: accuracy against parameters kept, a panel per regime."""

from matplotlib.figure import Figure

from minified.analysis.figures import pruning_panels
from minified.study.paths import Paths
from minified.study.studies import Study

RECORD = {"tables": ["results.csv", "overlap.csv"], "needs": ["parameter"]}


def height(study: Study) -> float:
    """Inches."""
    return 0.9 + 1.7 * len(study.pruning("parameter").regimes)


def draw(figure: Figure, study: Study, paths: Paths) -> None:
    """Draw it from tables/results.csv and tables/overlap.csv."""
    pruning_panels.draw_level(figure, study, paths, "parameter")
