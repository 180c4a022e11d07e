"""All methods on one axis of stored bytes: fine-tuned pruning, and both quantizations."""

from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from minified.analysis import coinciding, results
from minified.analysis.figures import axes as scales
from minified.analysis.figures import curves, style
from minified.analysis.records import OVERLAP_COLUMNS
from minified.analysis.statistics import interval
from minified.study.paths import Paths
from minified.study.regimes import ROUNDINGS
from minified.study.studies import Study

RECORD = {"tables": ["results.csv", "overlap.csv"], "needs": ["quantization"]}


def height(study: Study) -> float:
    """Inches."""
    return 4.2


def draw(figure: Figure, study: Study, paths: Paths) -> None:
    """Everything on one axis of stored bytes: fine-tuned pruning, and both quantizations."""
    rows = results.read(paths.table("results.csv"))
    overlap = results.read_csv(paths.table("overlap.csv"), columns=OVERLAP_COLUMNS)
    axes = figure.subplots()
    lines = {"parameter": "-", "neuron": (0, (4, 2))}
    shown: list[str] = []
    said: list[str] = []
    for level in study.levels:
        if (trained := study.trained_regime(level)) is None:
            continue
        alike = coinciding.shown(rows, overlap, level)
        said += curves.same_units(study, level, alike)
        shown += alike
        here = rows[(rows["level"] == level) & (rows["regime"] == trained)]
        here = here[here["criterion"].isin(alike)]
        dashes = lines[level]
        curves.curves(axes, study, here, "bytes_stored", "accuracy_test", dashes, intervals=False)
    handles = []
    regimes = study.grid.quantization.regimes if study.grid.quantization else []
    labelled = max(regimes, key=lambda name: ROUNDINGS[name].trains, default=None)
    for regime, rounding in ROUNDINGS.items():
        fill, dashes = ("k", "-") if rounding.trains else ("w", (0, (1, 1)))
        here = rows[(rows["method"] == "quantization") & (rows["regime"] == regime)]
        if here.empty:
            continue
        cells = [
            (group["bytes_stored"].mean(), interval(list(100 * group["accuracy_test"])), bits)
            for bits, group in here.groupby("bits", sort=True)
        ]
        line = axes.errorbar(
            [x for x, _, _ in cells],
            [one.mean for _, one, _ in cells],
            yerr=curves.arms([one for _, one, _ in cells]),
            color=style.QUANTIZATION,
            linestyle=dashes,
            marker="s",
            markersize=4.5,
            markerfacecolor=fill,
            elinewidth=0.8,
            zorder=5,
        )
        handles.append((line, f"quantization, {rounding.done}"))
        if regime == labelled:
            for i, (x, _, bits) in enumerate(cells):
                axes.annotate(
                    str(bits) if i else f"{bits} bits",
                    (x, 1.0),
                    xycoords=("data", "axes fraction"),
                    ha="center",
                    fontsize=6,
                )
    dense = rows[rows["method"] == "baseline"]
    axes.plot(
        dense["bytes_stored"].astype(float).mean(),
        100 * dense["accuracy_test"].mean(),
        marker="*",
        markersize=8,
        color=style.QUANTIZATION,
        linestyle="none",
    )
    axes.annotate(
        "dense",
        (dense["bytes_stored"].astype(float).mean(), 100 * dense["accuracy_test"].mean()),
        xytext=(0, -10),
        textcoords="offset points",
        ha="center",
        fontsize=6,
    )
    if said:
        axes.set_title("\n".join(said), loc="left", pad=14)
    axes.set_xscale("log")
    axes.set_xlabel("stored bytes")
    scales.accuracy_axis([axes])
    axes.xaxis.set_major_formatter(FuncFormatter(_bytes_label))
    axes.xaxis.set_minor_formatter(NullFormatter())
    style_handles: list[Any] = [
        Line2D([], [], color=style.GREY, linestyle="-"),
        Line2D([], [], color=style.GREY, linestyle=(0, (4, 2))),
    ]
    labels = ["parameters pruned", "neurons pruned"]
    criteria, names = curves.criteria_handles(study, list(dict.fromkeys(shown)))
    figure.legend(
        handles=[*style_handles, *(handle for handle, _ in handles), *criteria],
        labels=[*labels, *(label for _, label in handles), *names],
        loc="outside lower center",
        ncols=2,
    )


def _bytes_label(value: float, _: object) -> str:
    return f"{value / 1000:g} kB" if value >= 1000 else f"{value:g} B"
