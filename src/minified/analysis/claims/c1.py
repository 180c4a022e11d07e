"""C1: OBD-SD against the best of all other criteria."""

from collections.abc import Iterator

from minified.analysis.claims import readings
from minified.analysis.claims.cells import Cells
from minified.analysis.claims.record import Claim, Comparison
from minified.criteria.record import READINGS
from minified.study.settings import ClaimOptions


def _compare(cells: Cells, options: ClaimOptions) -> Iterator[Comparison]:
    def best_other(level: str, sparsity: float) -> str | None:
        others = [
            criterion
            for criterion in cells.criteria(level)
            if criterion not in READINGS and cells.has(level, criterion, sparsity, readings.REGIME)
        ]
        # max() keeps the first of equals: the order of the grid decides a tie.
        return max(
            others,
            key=lambda c: cells.validation(level, c, sparsity, readings.REGIME),
            default=None,
        )

    # Three readings of one claim share its error rate (Bonferroni).
    confidence = 1 - (1 - options.confidence) / len(READINGS)
    return readings.against(
        cells,
        options,
        confidence,
        best_other,
        second="best other criterion",
        rival="the best other criterion",
    )


CLAIM = Claim(
    "C1",
    "OBD-SD slightly outperforms all other selection methods with substantial pruning",
    _compare,
    readings.LABELS,
    size_word="slightly",
)
