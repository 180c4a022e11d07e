"""C1 under every specification: each reading of OBD-SD against the best other criterion."""

from typing import Any

from matplotlib.figure import Figure

from minified.analysis import coinciding
from minified.analysis.claims.catalogue import CLAIMS
from minified.analysis.figures import specified, style
from minified.study.paths import Paths
from minified.study.studies import Study

RECORD = {
    "tables": ["specifications.csv"],
    "needs": ["specifications", "pruning"],
    "settings": ["claims", "specifications"],
}

WIDTH = style.PAGE
_CURVE = 1.2


def _rows(study: Study) -> list[tuple[str, str]]:
    """The choices that can touch this claim: it does not read scratch or rewound networks."""
    axes = study.specifications.axes
    touching = {
        axis
        for axis, options in axes.items()
        if not all(
            setting.startswith(("recipes.scratch", "recipes.rewind"))
            or ".recipes.scratch" in setting
            or ".recipes.rewind" in setting
            for changes in options.values()
            for setting in changes
        )
    }
    return [(axis, o) for axis, o in specified.rows(study) if not axis or axis in touching]


def height(study: Study) -> float:
    """Inches, for as many readings as the grid has."""
    parts = max(
        (
            sum(bool(study.registry[c].reading) for c in study.pruning(level).criteria)
            for level in study.levels
        ),
        default=1,
    )
    return 0.5 + max(parts, 1) * (_CURVE + 0.35 + specified.ROW * len(_rows(study)))


def draw(figure: Figure, study: Study, paths: Paths) -> None:
    """A column per level, a curve and its choices per reading."""
    table = specified.table(paths)
    table = table[table["claim"] == "C1"]
    levels = [level for level in study.levels if (table["level"] == level).any()]
    parts = list(dict.fromkeys(table["part"]))
    if not parts:
        figure.text(0.1, 0.5, "C1 was not tested", color=style.GREY)
        return
    shown = _rows(study)
    first = coinciding.specified(table)
    ratios = [_CURVE, specified.ROW * len(shown)] * len(parts)
    panels: Any = figure.subplots(2 * len(parts), len(levels), squeeze=False, height_ratios=ratios)
    for row, part in enumerate(parts):
        for column, level in enumerate(levels):
            above, below = panels[2 * row : 2 * row + 2, column]
            here = table[(table["part"] == part) & (table["level"] == level)]
            if here.empty:
                above.set_axis_off()
                below.set_axis_off()
                continue
            title = f"C1, {level}s: {CLAIMS['C1'].labels[part, level]}"
            if by := first.get(("C1", level, part)):
                above.set_axis_off()
                below.set_axis_off()
                label = CLAIMS["C1"].labels[by, level]
                above.set_title(f"{title}:\nthe same effects as {label}", loc="left")
                continue
            above.set_title(title, loc="left")
            specified.panel(above, below, study, here, shown)
    specified.legend(figure, table)
