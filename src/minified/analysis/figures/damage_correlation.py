"""Predicted against measured damage: Spearman's rho per criterion; replicates as dots, mean and
interval as a bar.
"""

from typing import Any

import seaborn as sns
from matplotlib.figure import Figure

from minified.analysis import results
from minified.analysis.figures import curves, style
from minified.analysis.records import CORRELATION_COLUMNS
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
        looks = [style.look(study, criterion) for criterion in criteria]
        here = here.dropna(subset=["spearman"])
        places: dict[str, Any] = {"x": "spearman", "y": "criterion", "order": criteria}
        if not here.empty:
            sns.stripplot(
                here,
                **places,
                hue="criterion",
                palette={name: one.colour for name, one in zip(criteria, looks, strict=True)},
                hue_order=criteria,
                jitter=False,  # which is random
                size=2.6,
                alpha=0.45,
                legend=False,
                ax=axes,
            )
            curves.means(
                axes, study, here, **places, markersize=4.5, capsize=0.25, err_kws={"linewidth": 1}
            )
        axes.axvline(0, color=style.GREY, linewidth=0.8)
        axes.set_yticks(range(len(criteria)), [look.short for look in looks])
        axes.set_ylim(len(criteria) - 0.5, -0.5)
        axes.set_ylabel("")
        axes.set_title(f"single {level}s removed", loc="left")
    panels[-1].set_xlabel("Spearman's ρ")
