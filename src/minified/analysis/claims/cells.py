"""The rows of a study by cell of its grid, which claims compare."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from minified.criteria.record import CLAIMED
from minified.foundations.errors import MinifiedError
from minified.study.regimes import REGIMES

Matrix = np.ndarray
"""Points of test accuracy, or differences of them: (replicates,) or (replicates, sparsities)."""


@dataclass(frozen=True)
class Budget:
    """What the training of some networks took: means over replicates and cells."""

    epochs: float
    flops: float


@dataclass
class Cells:
    """The rows, by cell: accuracies in points over replicates, in the replicates' order.

    Of the criteria only the abstract's (`CLAIMED`) are here, so that no extension enters a claim.

    Raises:
        MinifiedError: cells have different replicates, so that they cannot be paired.
    """

    frame: pd.DataFrame
    quantized: dict[Any, pd.DataFrame] = field(init=False)
    """The rows of quantization, by bits and regime."""
    _groups: dict[Any, pd.DataFrame] = field(init=False)
    _regimes: dict[str, list[str]] = field(init=False)

    def __post_init__(self) -> None:
        frame = self.frame.sort_values("replicate", kind="stable")
        pruned = frame[frame["level"].notna()]
        self._regimes = {
            str(level): list(dict.fromkeys(rows["regime"]))
            for level, rows in pruned.groupby("level", sort=False)
        }
        pruned = pruned[pruned["criterion"].isin(CLAIMED)]
        self._groups = dict(
            iter(pruned.groupby(["level", "criterion", "sparsity", "regime"], sort=False))
        )
        quantized = frame[frame["method"] == "quantization"]
        self.quantized = dict(iter(quantized.groupby(["bits", "regime"], sort=False)))
        _check_pairs([*self._groups.values(), *self.quantized.values()])

    def criteria(self, level: str) -> list[str]:
        """The abstract's criteria of a level, in the order of the grid."""
        return list(dict.fromkeys(c for lev, c, _, _ in self._groups if lev == level))

    def regimes(self, level: str) -> list[str]:
        """The regimes of a level; none if the grid lacks the level."""
        return self._regimes.get(level, [])

    def sparsities(self, level: str, at_least: float = 0.0) -> list[float]:
        """The sparsities of a level, from the lowest."""
        sparsities = {s for lev, _, s, _ in self._groups if lev == level and s >= at_least}
        return sorted(sparsities)

    def has(self, level: str, criterion: str, sparsity: float, regime: str) -> bool:
        return (level, criterion, sparsity, regime) in self._groups

    def points(self, level: str, criterion: str, sparsity: float, regime: str) -> Matrix:
        """Test accuracies in points, (replicates,)."""
        return points(self._groups[level, criterion, sparsity, regime])

    def validation(self, level: str, criterion: str, sparsity: float, regime: str) -> float:
        """A cell's mean validation accuracy, by which the best cell is chosen."""
        return validation(self._groups[level, criterion, sparsity, regime])

    def budget(self, level: str, places: Iterable[tuple[str, float]], regime: str) -> Budget | None:
        """What a regime spent at these criteria and sparsities."""
        return spent([self._groups[level, *place, regime] for place in places])

    def pruned(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """Every pruning cell, with a name that a reader understands."""
        for (level, criterion, sparsity, regime), group in self._groups.items():
            done = REGIMES[regime].done if regime in REGIMES else regime.replace("_", " ")
            yield f"{100 * sparsity:.4g} % of {level}s removed by {criterion}, {done}", group


def _check_pairs(groups: Sequence[pd.DataFrame]) -> None:
    """Refuse cells that differ in their replicates: they are paired by their places."""
    for group in groups:
        first, own = (list(one["replicate"]) for one in (groups[0], group))
        if own != first:
            row = group.iloc[0]
            place = row["bits"] if pd.isna(row["sparsity"]) else row["sparsity"]
            raise MinifiedError(
                f"{row['method']} {place:g} {row['regime']} has replicates"
                f" {', '.join(map(str, own))}, not {', '.join(map(str, first))} as the first cell"
                " has: aggregate the study's rows again"
            )


def points(group: pd.DataFrame, split: str = "test") -> Matrix:
    """Accuracies of a cell in points, (replicates,)."""
    return 100 * group[f"accuracy_{split}"].to_numpy(dtype=np.float64)


def validation(group: pd.DataFrame) -> float:
    """A cell's mean validation accuracy, in points."""
    return float(exact(points(group, "validation").mean()))


def spent(groups: Sequence[pd.DataFrame]) -> Budget | None:
    """What the networks of these cells were trained for; None if the rows do not say it."""
    rows = pd.concat(groups) if groups else pd.DataFrame(columns=["epochs", "training_flops"])
    epochs, flops = (pd.to_numeric(rows[name]) for name in ("epochs", "training_flops"))
    if rows.empty or epochs.isna().any() or flops.isna().any():
        return None
    return Budget(float(epochs.mean()), float(flops.mean()))


def exact(points: Matrix) -> Matrix:
    """Points without the last bits, so that equal counts of correct answers are equal."""
    return np.round(points, 9) + 0.0


def stack(differences: Sequence[Matrix]) -> Matrix:
    """Differences of several cells as (replicates, cells)."""
    return np.stack(differences, axis=1) if differences else np.zeros((0, 0))
