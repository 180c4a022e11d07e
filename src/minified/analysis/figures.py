"""`minified figures`: every figure of a study, from its tables.

Lines are means over replicates, bands and bars 95 % t intervals over replicates. A figure is one
function in `_DRAWINGS`; its look comes from `minified.analysis.style`.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from minified.analysis import FORMATS, results, style
from minified.analysis.records import CORRELATION_COLUMNS, UNIT_COLUMNS, VERDICT_COLUMNS
from minified.analysis.statistics import interval
from minified.paths import Paths
from minified.study import Study

REGIME_TITLES = {
    "fine_tune": "fine-tuned",
    "scratch": "retrained from scratch",
    "rewind": "rewound to the initial weights",
}
LEVEL_TITLES = {"parameter": "parameter pruning", "neuron": "neuron pruning"}


def draw(study: Study, paths: Paths, name: str) -> None:
    """Draw one figure in every format."""
    width, height, drawing = _DRAWINGS[name]
    if callable(height):
        height = height(study)
    with style.figure(width, height) as figure:
        drawing(figure, study, paths)
        for kind in FORMATS:
            style.save(figure, paths.figure(name, kind))


def _parameter_pruning(figure: Figure, study: Study, paths: Paths) -> None:
    _pruning(figure, study, paths, "parameter")


def _neuron_pruning(figure: Figure, study: Study, paths: Paths) -> None:
    _pruning(figure, study, paths, "neuron")


def _pruning(figure: Figure, study: Study, paths: Paths, level: str) -> None:
    """Accuracy against parameters kept, a panel per regime."""
    rows = results.read(paths.table("results.csv"))
    regimes = study.pruning(level).regimes
    panels = figure.subplots(len(regimes), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, regime in zip(panels, regimes, strict=True):
        here = rows[(rows["level"] == level) & (rows["regime"] == regime)]
        title = f"{LEVEL_TITLES[level]}, {REGIME_TITLES[regime]}"
        if _all_alike(here):
            title += "\n(all criteria leave the same widths: one run)"
            _line(axes, here[here["criterion"] == here["criterion"].iloc[0]], _SHARED)
        else:
            _curves(axes, study, here, "parameters_kept", "accuracy_test")
        _baseline(axes, rows)
        axes.set_title(title, loc="left")
    _accuracy_axis(panels)
    _kept_axis(panels, rows, level)
    _criteria_legend(figure, study, study.pruning(level).criteria)


def _before_retraining(figure: Figure, study: Study, paths: Paths) -> None:
    """What pruning alone leaves of the accuracy, a panel per level."""
    rows = results.read(paths.table("results.csv"))
    panels = figure.subplots(len(study.levels), 1, squeeze=False)[:, 0]
    for axes, level in zip(panels, study.levels, strict=True):
        here = rows[(rows["level"] == level) & (rows["regime"] == "fine_tune")]
        _curves(axes, study, here, "parameters_kept", "accuracy_test_before")
        _baseline(axes, rows)
        axes.set_title(f"{LEVEL_TITLES[level]}, before any retraining", loc="left")
        _accuracy_axis([axes])
        _kept_axis([axes], rows, level)
    _criteria_legend(figure, study, _all_criteria(study))


def _fine_tune_minus_scratch(figure: Figure, study: Study, paths: Paths) -> None:
    """Paired differences, per criterion and sparsity, a panel per level."""
    rows = results.read(paths.table("results.csv"))
    levels = [
        level
        for level in study.levels
        if {"fine_tune", "scratch"} <= set(study.pruning(level).regimes)
    ]
    panels = figure.subplots(len(levels), 1, squeeze=False)[:, 0]
    for axes, level in zip(panels, levels, strict=True):
        grid = study.pruning(level)
        here = rows[rows["level"] == level].set_index(["criterion", "sparsity", "replicate"])
        here = here.sort_index()
        offsets = np.linspace(-0.32, 0.32, len(grid.criteria))
        for offset, criterion in zip(offsets, grid.criteria, strict=True):
            look = style.look(study, criterion)
            found = []
            for sparsity in grid.sparsities:
                cell = here.loc[(criterion, sparsity)]
                accuracy = {
                    regime: cell[cell["regime"] == regime]["accuracy_test"]
                    for regime in ("fine_tune", "scratch")
                }
                found.append(interval(list(100 * (accuracy["fine_tune"] - accuracy["scratch"]))))
            _bars(axes, np.arange(len(found)) + offset, found, look)
        axes.axhline(0, color=style.GREY, linewidth=0.8)
        axes.set_xticks(range(len(grid.sparsities)), [f"{s:g}" for s in grid.sparsities])
        axes.grid(visible=False, axis="x")
        for edge in range(1, len(grid.sparsities)):
            axes.axvline(edge - 0.5, color="#e4e4e4", linewidth=0.5)
        axes.set_xlim(-0.5, len(grid.sparsities) - 0.5)
        axes.set_xlabel(f"{level} sparsity")
        axes.set_yscale("symlog", linthresh=study.claims.size_boundary_points, linscale=1.0)
        _points_axis(axes.yaxis, (-50, -20, -10, -5, -2, -1, 0, 1, 2, 5, 10, 20, 50))
        axes.set_ylabel("points (linear, then log)")
        axes.set_title(f"{LEVEL_TITLES[level]}: fine-tuned minus scratch", loc="left")
    _criteria_legend(figure, study, _all_criteria(study), baseline=False)


def _pruning_against_quantization(figure: Figure, study: Study, paths: Paths) -> None:
    """Everything on one axis of stored bytes: fine-tuned pruning, and both quantizations."""
    rows = results.read(paths.table("results.csv"))
    axes = figure.subplots()
    lines = {"parameter": "-", "neuron": (0, (4, 2))}
    for level, dashes in lines.items():
        here = rows[(rows["level"] == level) & (rows["regime"] == "fine_tune")]
        _curves(axes, study, here, "bytes_stored", "accuracy_test", dashes, intervals=False)
    shapes = {"none": ("w", (0, (1, 1)), "rounded"), "fine_tune": ("k", "-", "trained")}
    handles = []
    regimes = study.grid.quantization.regimes if study.grid.quantization else []
    labelled = "fine_tune" if "fine_tune" in regimes else "none"
    for regime, (fill, dashes, word) in shapes.items():
        here = rows[(rows["method"] == "quantization") & (rows["regime"] == regime)]
        if here.empty:
            continue
        found = [
            (group["bytes_stored"].mean(), interval(list(100 * group["accuracy_test"])), bits)
            for bits, group in here.groupby("bits", sort=True)
        ]
        line = axes.errorbar(
            [x for x, _, _ in found],
            [one.mean for _, one, _ in found],
            yerr=_arms([one for _, one, _ in found]),
            color=style.QUANTIZATION,
            linestyle=dashes,
            marker="s",
            markersize=4.5,
            markerfacecolor=fill,
            elinewidth=0.8,
            zorder=5,
        )
        handles.append((line, f"quantization, {word}"))
        if regime == labelled:
            for i, (x, _, bits) in enumerate(found):
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
    axes.set_xscale("log")
    axes.set_xlabel("stored bytes")
    _accuracy_axis([axes])
    axes.xaxis.set_major_formatter(FuncFormatter(_bytes_label))
    axes.xaxis.set_minor_formatter(NullFormatter())
    style_handles: list[Any] = [
        Line2D([], [], color=style.GREY, linestyle="-"),
        Line2D([], [], color=style.GREY, linestyle=(0, (4, 2))),
    ]
    labels = ["parameters pruned", "neurons pruned"]
    criteria, names = _criteria_handles(study, _all_criteria(study))
    figure.legend(
        handles=[*style_handles, *(handle for handle, _ in handles), *criteria],
        labels=[*labels, *(label for _, label in handles), *names],
        loc="outside lower center",
        ncols=2,
    )


def _damage_correlation(figure: Figure, study: Study, paths: Paths) -> None:
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
            found = interval(values)
            axes.errorbar(
                found.mean,
                position,
                xerr=_arms([found]),
                color=look.colour,
                marker=look.marker,
                markersize=4.5,
                capsize=2,
                elinewidth=1,
            )
        axes.axvline(0, color=style.GREY, linewidth=0.8)
        axes.set_yticks(
            range(len(criteria)),
            [_short(style.look(study, criterion).title) for criterion in criteria],
        )
        axes.invert_yaxis()
        axes.margins(y=0.1)
        axes.set_title(f"single {level}s removed", loc="left")
    panels[-1].set_xlabel("Spearman's ρ")


def _damage_scatter(figure: Figure, study: Study, paths: Paths) -> None:
    """Ranks of measured damage against ranks of scores, a panel per method, one dot per unit."""
    units = results.read_csv(paths.table("damage_units.csv"), columns=UNIT_COLUMNS)
    table = results.read_csv(paths.table("damage.csv"), columns=CORRELATION_COLUMNS)
    rows = _scatter_rows(study)
    panels = figure.subplots(len(rows), _SCATTER_COLUMNS, sharex=True, sharey=True, squeeze=False)
    for row, methods in zip(panels, rows, strict=True):
        for axes in row[len(methods) :]:
            axes.set_visible(False)
        for axes, method in zip(row, methods, strict=False):
            look = style.look(study, method.partition("-")[2])
            here = units[units["method"] == method]
            ranks = here.groupby("replicate")[["score", "damage"]].rank(pct=True)
            axes.plot(
                100 * ranks["score"],
                100 * ranks["damage"],
                linestyle="none",
                marker=".",
                markersize=1.2,
                color=look.colour,
                rasterized=True,
            )
            rho = table[table["method"] == method]["spearman"].mean()
            shown = "undefined" if pd.isna(rho) else f"{rho:+.2f}"
            axes.set_title(f"{_stacked(look.title)}\nρ = {shown}", fontsize=6, pad=2)
            axes.set_xticks([0, 50, 100])
            axes.set_yticks([0, 50, 100])
            axes.tick_params(labelsize=6)
        row[0].set_ylabel(f"{methods[0].partition('-')[0]}s")
    figure.supxlabel("rank of the score (%)", fontsize=7.5)
    figure.supylabel("rank of the measured damage (%)", fontsize=7.5)


def _claims(figure: Figure, study: Study, paths: Paths) -> None:
    """A forest plot: effect and interval of every claim, the claimed side right of zero."""
    table = results.read_csv(paths.table("claims.csv"), columns=VERDICT_COLUMNS)
    axes = figure.subplots()
    # No criterion's colour: filled is decided, hollow is not.
    looks = {
        "supported": ("black", "o", "black"),
        "contradicted": ("black", "s", "black"),
        "inconclusive": (style.GREY, "o", "white"),
        "reported": (style.GREY, "d", style.GREY),
    }
    labels, position, ticks = [], 0.0, []
    previous = None
    for row in table.itertuples():
        position += 0.0 if previous is None else 1.0 if previous == row.claim else 1.7
        previous = row.claim
        labels.append(_claim_label(row))
        ticks.append(position)
        if row.verdict == "not tested":
            axes.annotate("not tested", (0, position), fontsize=6, va="center", color=style.GREY)
            continue
        axes.errorbar(
            row.effect_points,
            position,
            xerr=[[row.effect_points - row.ci_low], [row.ci_high - row.effect_points]],
            color=looks[row.verdict][0],
            marker=looks[row.verdict][1],
            markerfacecolor=looks[row.verdict][2],
            markersize=3.2,
            elinewidth=1.2,
            capsize=2.5,
        )
    boundary = study.claims.size_boundary_points
    axes.axvspan(0, boundary, color="#f0f0f0", linewidth=0, zorder=0)
    axes.axvline(0, color=style.GREY, linewidth=0.8)
    axes.set_yticks(ticks, labels, fontsize=6.5)
    axes.grid(visible=False, axis="y")
    axes.set_ylim(position + 0.8, -0.8)
    reach = np.nanmax(np.abs(table[["ci_low", "ci_high"]].to_numpy(float)), initial=2 * boundary)
    axes.set_xscale("symlog", linthresh=boundary, linscale=1.0)
    axes.set_xlim(-1.25 * reach, 1.25 * reach)
    # Ticks on both sides of the boundary, as far as they are clear of it.
    far = [tick for tick in (5, 20, 50) if tick > 2 * boundary]
    _points_axis(axes.xaxis, (*(-tick for tick in reversed(far)), -boundary, 0, boundary, *far))
    axes.set_xlabel("effect (points; linear, then log)")
    handles = [
        Line2D([], [], color=colour, marker=marker, markerfacecolor=fill, label=word)
        for word, (colour, marker, fill) in looks.items()
        if (table["verdict"] == word).any()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)


def _claim_label(row: object) -> str:
    claim, part, level = row.claim, row.part, row.level  # type: ignore[attr-defined]
    names = {
        "obd_sd": "standard deviation",
        "obd_signed": "signed damage",
        "obd_absolute": "absolute damage",
        "fine_tune - scratch": "fine-tune − scratch",
        "scratch - fine_tune": "scratch − fine-tune",
        "rewind - scratch": "rewind − scratch",
    }
    where = "" if pd.isna(level) else f"{level}: "
    if claim == "C4" and part != "-":
        part = part.replace(", fine_tune", ", trained").replace(", none", ", rounded")
    return f"{claim}  {where}{names.get(part, part)}"


_SCATTER_COLUMNS = 4


def _scatter_rows(study: Study) -> list[list[str]]:
    """The methods in rows of panels; a level starts a new row."""
    rows = []
    for level in study.levels:
        here = [method for method in study.methods if method.startswith(f"{level}-")]
        rows += [here[i : i + _SCATTER_COLUMNS] for i in range(0, len(here), _SCATTER_COLUMNS)]
    return rows


def _scatter_height(study: Study) -> float:
    return 0.5 + 1.15 * len(_scatter_rows(study))


def _claims_height(study: Study) -> float:
    quantized = study.grid.quantization
    return 3.1 + (0.17 * len(quantized.bits) * len(quantized.regimes) if quantized else 0.0)


_Drawing = Callable[[Figure, Study, Paths], None]

_DRAWINGS: dict[str, tuple[float, float | Callable[[Study], float], _Drawing]] = {
    "parameter_pruning": (
        style.COLUMN,
        lambda study: 0.9 + 1.7 * len(study.pruning("parameter").regimes),
        _parameter_pruning,
    ),
    "neuron_pruning": (
        style.COLUMN,
        lambda study: 1.0 + 1.7 * len(study.pruning("neuron").regimes),
        _neuron_pruning,
    ),
    "fine_tune_minus_scratch": (style.COLUMN, 4.8, _fine_tune_minus_scratch),
    "before_retraining": (style.COLUMN, 4.8, _before_retraining),
    "pruning_against_quantization": (style.COLUMN, 4.2, _pruning_against_quantization),
    "damage_correlation": (style.COLUMN, 3.4, _damage_correlation),
    "damage_scatter": (style.COLUMN, _scatter_height, _damage_scatter),
    "claims": (style.COLUMN, _claims_height, _claims),
}


def _all_criteria(study: Study) -> list[str]:
    return list(dict.fromkeys(c for level in study.levels for c in study.pruning(level).criteria))


_SHARED = style.Look("black", "o", "all criteria")
# So many intervals still read as bands; more become bars, side by side.
_MOST_BANDS = 6


def _all_alike(rows: pd.DataFrame) -> bool:
    """Whether every criterion has the same accuracies, as scratch runs of equal widths have."""
    wide = rows.pivot(
        index=["sparsity", "replicate"], columns="criterion", values="accuracy_test"
    ).to_numpy(float)
    return wide.shape[1] > 1 and bool((wide == wide[:, :1]).all())


def _curves(
    axes: Axes,
    study: Study,
    rows: pd.DataFrame,
    x: str,
    y: str,
    dashes: Any = "-",
    intervals: bool = True,
) -> None:
    """One line per criterion through the means over replicates, with its intervals."""
    criteria = list(dict.fromkeys(rows["criterion"]))
    bands = len(criteria) <= _MOST_BANDS
    apart = intervals and not bands
    shifts = np.geomspace(0.95, 1.05, len(criteria)) if apart else [1.0] * len(criteria)
    for criterion, shift in zip(criteria, shifts, strict=True):
        group = rows[rows["criterion"] == criterion]
        shown = ("band" if bands else "bars") if intervals else None
        _line(axes, group, style.look(study, str(criterion)), x, y, dashes, shown, float(shift))


def _line(
    axes: Axes,
    rows: pd.DataFrame,
    look: style.Look,
    x: str = "parameters_kept",
    y: str = "accuracy_test",
    dashes: Any = "-",
    intervals: str | None = "band",
    shift: float = 1.0,
) -> None:
    """One criterion's line; intervals as a `band`, as `bars` (`shift` sets them apart) or None."""
    cells = list(rows.groupby("sparsity", sort=True))
    places = [shift * float(cell[x].astype(float).mean()) for _, cell in cells]
    found = [interval(list(100 * cell[y])) for _, cell in cells]
    edge_width = 0.8 if look.marker == "x" else 0
    axes.plot(
        places,
        [one.mean for one in found],
        color=look.colour,
        marker=look.marker,
        linestyle=dashes,
        markeredgewidth=edge_width,
    )
    lows, highs = [one.low for one in found], [one.high for one in found]
    if intervals == "band":
        axes.fill_between(places, lows, highs, color=look.colour, alpha=0.09, linewidth=0)
        for edge in (lows, highs):
            axes.plot(places, edge, color=look.colour, alpha=0.35, linewidth=0.4, label="edge")
    elif intervals == "bars":
        axes.vlines(places, lows, highs, color=look.colour, linewidth=0.7, alpha=0.8)


# In the order in which they are wanted: as many are shown as have room.
_ACCURACY_TICKS = (90, 99, 98, 95, 80, 50, 97, 96, 0, 20, 60, 99.5, 98.5, 97.5, 94, 92, 70, 96.5)


def _spaced(accuracy: Any) -> Any:
    return -np.log10(np.clip(100 - np.asarray(accuracy, dtype=float), 0.1, None))


def _accuracy_axis(panels: Iterable[Axes]) -> None:
    """Accuracy spaced by the logarithm of the error: 90, 99 and 99.9 % are equally far apart.

    On a linear axis everything above 95 % would be one line. The range is that of the lines; an
    interval may run out of it.
    """
    panels = list(panels)
    values = np.concatenate(
        [
            line.get_ydata()
            for axes in panels
            for line in axes.get_lines()
            if line.get_label() != "edge"
        ]
    )
    low = max(100 - 1.25 * (100 - float(values.min())), 0.0)
    high = 100 - (100 - float(values.max())) / 1.8
    ticks: list[float] = []
    room = 0.07 * (_spaced(high) - _spaced(low))
    for tick in _ACCURACY_TICKS:
        near = [abs(_spaced(tick) - _spaced(other)) < room for other in ticks]
        if low <= tick <= high and not any(near):
            ticks.append(tick)
    for axes in panels:
        axes.set_yscale("function", functions=(_spaced, lambda spaced: 100 - 10**-spaced))
        axes.set_ylim(low, high)
        axes.yaxis.set_major_locator(FixedLocator(sorted(ticks)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        axes.set_ylabel("test accuracy (%),\nlog error scale")


def _baseline(axes: Axes, rows: pd.DataFrame) -> None:
    dense = 100 * rows[rows["method"] == "baseline"]["accuracy_test"].mean()
    axes.axhline(dense, color="black", linewidth=0.8, linestyle=(0, (3, 2)), zorder=1)


def _kept_axis(panels: Iterable[Axes], rows: pd.DataFrame, level: str) -> None:
    """A log axis of parameters kept; sparsities along the top where they all agree on x."""
    here = rows[rows["level"] == level]
    cells = here.groupby("sparsity", sort=True)["parameters_kept"]
    places = cells.mean().astype(float)
    panels = list(panels)
    for axes in panels:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(list(places)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    labels = [f"{place:,.0f}\n({sparsity:g})" for sparsity, place in places.items()]
    panels[-1].set_xticks(list(places), labels)
    panels[-1].set_xlabel(f"parameters kept ({level} sparsity)")


def _points_axis(axis: XAxis | YAxis, ticks: Sequence[float]) -> None:
    """Signed ticks for a difference on a symlog axis.

    Near zero is where claims are decided, far out is only far: linear within, log beyond.
    """
    low, high = axis.get_view_interval()
    axis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:+g}" if x else "0"))


def _bars(axes: Axes, x: np.ndarray, found: Sequence, look: style.Look) -> None:
    axes.errorbar(
        x,
        [one.mean for one in found],
        yerr=_arms(found),
        color=look.colour,
        marker=look.marker,
        linestyle="none",
        elinewidth=0.9,
        markeredgewidth=0.8 if look.marker == "x" else 0,
    )


def _arms(found: Sequence) -> np.ndarray:
    """Error bars as matplotlib wants them; one replicate has none."""
    arms = [[one.mean - one.low for one in found], [one.high - one.mean for one in found]]
    return np.nan_to_num(np.array(arms), nan=0.0).clip(min=0.0)


def _criteria_handles(study: Study, criteria: Sequence[str]) -> tuple[list[Line2D], list[str]]:
    looks = [style.look(study, criterion) for criterion in criteria]
    handles = [Line2D([], [], color=look.colour, marker=look.marker) for look in looks]
    return handles, [_short(look.title) for look in looks]


def _criteria_legend(
    figure: Figure, study: Study, criteria: Sequence[str], baseline: bool = True
) -> None:
    handles, labels = _criteria_handles(study, criteria)
    if baseline:
        handles.append(Line2D([], [], color="black", linewidth=0.8, linestyle=(0, (3, 2))))
        labels.append("dense baseline")
    figure.legend(handles, labels, loc="outside lower center", ncols=2)


def _stacked(title: str) -> str:
    """A title over two lines, for narrow panels."""
    return _short(title).replace(" (", "\n(") if " (" in title else f"\n{title}"


def _short(title: str) -> str:
    return title.replace("standard deviation", "st. dev.").replace(" damage)", ")")


def _bytes_label(value: float, _: object) -> str:
    return f"{value / 1000:g} kB" if value >= 1000 else f"{value:g} B"
