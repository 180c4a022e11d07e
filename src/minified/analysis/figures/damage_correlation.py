"""Predicted against measured damage: Spearman's rho per criterion; replicates as dots, mean and
interval as a bar.
"""

from matplotlib.figure import Figure

from minified.analysis import results
from minified.analysis.figures import curves, style
from minified.analysis.records import CORRELATION_COLUMNS
from minified.analysis.statistics import interval
from minified.study.paths import Paths
from minified.study.studies import Study

RECORD = {"tables": ["damage.csv"], "needs": ["pruning"]}


def height(study: Study) -> float:
    """Inches."""
    return 3.4


def draw(figure: Figure, study: Study, paths: Paths) -> None:
    """Spearman's rho per criterion: replicates as dots, mean and interval as a bar."""
    table = results.read_csv(paths.table("damage.csv"), columns=CORRELATION_COLUMNS)
    levels = list(dict.fromkeys(table["level"]))
    heights = [table[table["level"] == level]["criterion"].nunique() for level in levels]
    panels = figure.subplots(
        len(levels), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )[:, 0]
    for axes, level in zip(panels, levels, strict=True):
        here = table[table["level"] == level]
        criteria = list(dict.fromkeys(here["criterion"]))
        for position, criterion in enumerate(criteria):
            values = here[here["criterion"] == criterion]["spearman"].dropna().tolist()
            if not values:
                continue
            look = style.look(study, criterion)
            axes.plot(
                values,
                [position] * len(values),
                linestyle="none",
                marker=".",
                color=look.colour,
                alpha=0.5,
            )
            rho = interval(values)
            axes.errorbar(
                rho.mean,
                position,
                xerr=curves.arms([rho]),
                color=look.colour,
                marker=look.marker,
                markersize=4.5,
                capsize=2,
                elinewidth=1,
            )
        axes.axvline(0, color=style.GREY, linewidth=0.8)
        axes.set_yticks(
            range(len(criteria)),
            [style.look(study, criterion).short for criterion in criteria],
        )
        axes.invert_yaxis()
        axes.margins(y=0.1)
        axes.set_title(f"single {level}s removed", loc="left")
    panels[-1].set_xlabel("Spearman's ρ")
