"""C2, C3 and E1 under every specification of the study: a specification curve each."""

from matplotlib.figure import Figure

from minified.analysis.figures import specified, style
from minified.study.paths import Paths
from minified.study.studies import Study

RECORD = {
    "tables": ["specifications.csv"],
    "needs": ["specifications"],
    "settings": ["claims", "specifications"],
}

_CLAIMS = ("C2", "C3", "E1")
_TITLES = {
    "C2": "C2, parameters: fine-tuning minus scratch",
    "C3": "C3, neurons: scratch minus fine-tuning",
    "E1": "E1, parameters: rewinding minus scratch",
}
WIDTH = style.PAGE
_CURVE = 1.4
_COLUMNS = 2


def height(study: Study) -> float:
    """Inches."""
    lines = -(-len(_CLAIMS) // _COLUMNS)
    return 0.5 + lines * (_CURVE + 0.35 + specified.ROW * len(specified.rows(study)))


def draw(figure: Figure, study: Study, paths: Paths) -> None:
    """Per claim, the effects in order, and beneath them the choices that they belong to."""
    table = specified.table(paths)
    claims = [claim for claim in _CLAIMS if (table["claim"] == claim).any()]
    if not claims:
        figure.text(0.1, 0.5, "no claim about regimes was tested", color=style.GREY)
        return
    shown = specified.rows(study)
    columns = min(len(claims), _COLUMNS)
    lines = -(-len(claims) // columns)
    ratios = [_CURVE, specified.ROW * len(shown)] * lines
    panels = figure.subplots(2 * lines, columns, squeeze=False, height_ratios=ratios)
    for number in range(lines * columns):
        line, column = divmod(number, columns)
        above, below = panels[2 * line : 2 * line + 2, column]
        if number >= len(claims):
            above.set_axis_off()
            below.set_axis_off()
            continue
        here = table[table["claim"] == claims[number]]
        above.set_title(_TITLES[claims[number]], loc="left")
        specified.panel(above, below, study, here, shown)
    specified.legend(figure, table)
