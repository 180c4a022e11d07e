"""How figures look: one colour, marker and name per criterion everywhere; column width; no dates.

seaborn's theme, with sizes for a print column.

The colours are Okabe and Ito's (2008), one of Tol's and four that are dark or violet, which readers
with any colour vision can distinguish; in grey print the markers distinguish the criteria.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from minified.foundations import files
from minified.study.studies import Study

COLUMN = 3.5
"""Width of one print column, inches."""

PAGE = 7.16
"""Width of two print columns, inches."""

GREY = "#6e6e6e"
QUANTIZATION = "#000000"

# What seaborn draws for a screen is too large for a column; the rest is its own.
RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same on every machine
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.title_fontsize": 7,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.major.pad": 2.5,
    "ytick.major.pad": 2.5,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.6,
    "legend.frameon": False,
    "figure.dpi": 100,
    "savefig.dpi": 300,
    "svg.hashsalt": "minified",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
    "pdf.compression": 6,
    "path.simplify": False,
}

# No date, no version: the same figure has the same bytes.
_METADATA: dict[str, dict[str, str | None]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}


@dataclass(frozen=True)
class Look:
    """How one criterion is drawn, and what it is called; `short` where there is little room."""

    colour: str
    marker: str
    title: str
    short: str


# For a user's own criteria, in the order of their names.
_SPARE = (("#999933", "h"), ("#332288", "X"), ("#661100", "8"), ("#44AA99", "H"))


def look(study: Study, criterion: str) -> Look:
    """Colour, marker and title of a criterion, the same in every figure."""
    shown = study.registry[criterion]
    own = sorted(name for name, other in study.registry.items() if other.look is None)
    colour, marker = shown.look or _SPARE[own.index(criterion) % len(_SPARE)]
    return Look(colour, marker, shown.title, shown.short_title)


@dataclass(frozen=True)
class VerdictLook:
    """How a verdict is drawn; the marker alone tells it from the others."""

    colour: str
    marker: str
    fill: str


# No criterion has these colours. A filled marker is a decided claim, a hollow one undecided.
VERDICTS = {
    "supported": VerdictLook("black", "o", "black"),
    "contradicted": VerdictLook("#a50f15", "s", "#a50f15"),
    "negligible": VerdictLook("#6e6e6e", "d", "#6e6e6e"),
    "inconclusive": VerdictLook("#6e6e6e", "o", "white"),
    "reported": VerdictLook("#6e6e6e", "v", "#6e6e6e"),
}


def verdict_handle(word: str) -> Line2D:
    """A verdict's entry in a legend."""
    look = VERDICTS[word]
    return Line2D(
        [],
        [],
        color=look.colour,
        marker=look.marker,
        markerfacecolor=look.fill,
        linestyle="none",
        label=word,
    )


@contextmanager
def figure(width: float, height: float) -> Iterator[Figure]:
    """A figure in the house style, drawn without any display."""
    with mpl.rc_context():
        mpl.rcdefaults()  # the user's own matplotlibrc must have no effect
        for part in (sns.axes_style("ticks"), sns.plotting_context("paper"), RC):
            mpl.rcParams.update(part)  # type: ignore[arg-type]
        yield Figure(figsize=(width, height), layout="constrained")


def _settle(drawn: Figure) -> None:
    """Lay a figure out once, for all formats, in rounded places.

    The last bits of what the solver finds depend on where its variables lie in memory, and so on
    what else the process has drawn.
    """
    if not isinstance(drawn.get_layout_engine(), ConstrainedLayoutEngine):
        return
    drawn.set_dpi(RC["savefig.dpi"])  # as the png has: text is hinted to whole dots
    drawn.draw_without_rendering()
    drawn.set_layout_engine("none")
    for axes in drawn.axes:
        left, bottom, width, height = axes.get_position(original=True).bounds
        axes.set_position((round(left, 5), round(bottom, 5), round(width, 5), round(height, 5)))


def save(drawn: Figure, path: Path) -> None:
    """Write a figure in the format of its suffix, with the same bytes each time."""
    kind = path.suffix.removeprefix(".")
    _settle(drawn)
    with files.replacing(path) as temporary:
        drawn.savefig(temporary, format=kind, metadata=_METADATA[kind])
