"""The rows of a study by cell of its grid, which claims compare."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from minified.study.regimes import REGIMES

Matrix = np.ndarray
"""Points of test accuracy, or differences of them: (replicates,) or (replicates, sparsities)."""


@dataclass
class Cells:
    """The rows, by cell: accuracies in points over replicates, in the replicates' order."""

    frame: pd.DataFrame
    quantized: dict[Any, pd.DataFrame] = field(init=False)
    """The rows of quantization, by bits and regime."""
    _groups: dict[Any, pd.DataFrame] = field(init=False)

    def __post_init__(self) -> None:
        frame = self.frame.sort_values("replicate", kind="stable")
        pruned = frame[frame["level"].notna()]
        self._groups = dict(
            iter(pruned.groupby(["level", "criterion", "sparsity", "regime"], sort=False))
        )
        quantized = frame[frame["method"] == "quantization"]
        self.quantized = dict(iter(quantized.groupby(["bits", "regime"], sort=False)))

    def criteria(self, level: str) -> list[str]:
        """The criteria of a level, in the order of the grid."""
        return list(dict.fromkeys(c for lev, c, _, _ in self._groups if lev == level))

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

    def pruned(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """Every pruning cell, with a name that a reader understands."""
        for (level, criterion, sparsity, regime), group in self._groups.items():
            done = REGIMES[regime].done if regime in REGIMES else regime.replace("_", " ")
            yield f"{100 * sparsity:.4g} % of {level}s removed by {criterion}, {done}", group


def points(group: pd.DataFrame, split: str = "test") -> Matrix:
    """Accuracies of a cell in points, (replicates,)."""
    return 100 * group[f"accuracy_{split}"].to_numpy(dtype=np.float64)


def validation(group: pd.DataFrame) -> float:
    """A cell's mean validation accuracy, in points."""
    return float(exact(points(group, "validation").mean()))


def exact(points: Matrix) -> Matrix:
    """Points without the last bits, so that equal counts of correct answers are equal."""
    return np.round(points, 9) + 0.0


def stack(differences: Sequence[Matrix]) -> Matrix:
    """Differences of several detail cells as (replicates, cells)."""
    return np.stack(differences, axis=1) if differences else np.zeros((0, 0))
