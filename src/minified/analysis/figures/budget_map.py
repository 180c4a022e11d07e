"""Who wins at which budgets: C2's and C3's effect by epochs of fine-tuning and of scratch."""

from statistics import mean

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure

from minified.analysis import budgets
from minified.analysis.figures import specified, style
from minified.study.paths import Paths
from minified.study.specifications import Specification
from minified.study.studies import Study

RECORD = {
    "tables": ["specifications.csv"],
    "needs": ["budgets"],
    "settings": ["claims", "recipes", "specifications"],
}

WIDTH = style.PAGE
# Sign so that red is where fine-tuning is ahead.
_CLAIMS = {"C2": ("parameter", 1), "C3": ("neuron", -1)}


def height(study: Study) -> float:
    """Inches."""
    return 0.6 + 2.35 * len(_CLAIMS)


def draw(figure: Figure, study: Study, paths: Paths) -> None:
    """A row of panels per level, a panel per learning rate of fine-tuning."""
    table = specified.table(paths).set_index(["claim", "specification"])["effect_points"]
    product = [one for one in study.specified.values() if one.choices]
    axis = _rate_axis(study)
    options = list(study.specifications.axes[axis]) if axis else [""]
    claims = [claim for claim in _CLAIMS if claim in table.index.get_level_values("claim")]
    if not claims:
        text = f"neither {' nor '.join(_CLAIMS)} was tested"
        figure.text(0.1, 0.5, text, color=style.GREY)
        return
    panels = figure.subplots(len(claims), len(options), squeeze=False)
    reach = max(float(table[claim].abs().max()) for claim in claims)
    norm = SymLogNorm(study.claims.size_boundary_points, vmin=-reach, vmax=reach, base=10)
    for row, claim in zip(panels, claims, strict=False):
        level, sign = _CLAIMS[claim]
        for axes, option in zip(row, options, strict=True):
            chosen = [one for one in product if not axis or one.choices[axis] == option]
            effects = sign * _map(table[claim], chosen, level)
            _panel(axes, effects, norm)
            rate = f", learning rate: {option.replace('_', ' ')}" if axis else ""
            axes.set_title(f"{claim}, {level}s{rate}", loc="left")
            axes.set_xlabel("epochs of fine-tuning")
            axes.set_ylabel("epochs of scratch")
    figure.supxlabel(
        "fine-tuning minus scratch (points): positive, red: fine-tuning is ahead; line: neither is",
        fontsize=7,
    )


def _rate_axis(study: Study) -> str | None:
    """The axis that changes the learning rate of fine-tuning and no number of epochs."""
    for axis, options in study.specifications.axes.items():
        settings = {setting for changes in options.values() for setting in changes}
        rates = any(s.endswith("recipes.fine_tune.learning_rate") for s in settings)
        if rates and not any(s.endswith(".epochs") for s in settings):
            return axis
    return None


def _map(effects: pd.Series, chosen: list[Specification], level: str) -> pd.DataFrame:
    """Effects by epochs of scratch (rows, most first) and of fine-tuning, means over what else
    varies; those that are spent at `level`, in all rounds.
    """
    cells: dict[tuple[int | None, ...], list[float]] = {}
    for one in chosen:
        scratch, fine_tune = (
            budgets.epochs(one.settings, level, regime) for regime in ("scratch", "fine_tune")
        )
        if one.name in effects.index and scratch and fine_tune:
            cells.setdefault((scratch, fine_tune), []).append(float(effects[one.name]))
    means = {key: mean(values) for key, values in cells.items()}
    frame = pd.Series(means).unstack()
    return frame.sort_index(ascending=False).sort_index(axis=1)


def _panel(axes: Axes, effects: pd.DataFrame, norm: SymLogNorm) -> None:
    sns.heatmap(
        effects,
        ax=axes,
        norm=norm,
        cmap="RdBu_r",
        annot=True,
        fmt="+.1f",
        annot_kws={"fontsize": 6.5},
        cbar=False,
        linewidths=0.5,
        linecolor="white",
    )
    values = effects.to_numpy()
    if min(values.shape) > 1 and np.nanmin(values) < 0 < np.nanmax(values):
        x, y = np.arange(values.shape[1]) + 0.5, np.arange(values.shape[0]) + 0.5
        axes.contour(x, y, values, levels=[0.0], colors="black", linewidths=1.2)
    axes.tick_params(length=0)
