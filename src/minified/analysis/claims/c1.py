"""C1: OBD-SD against the best of all other criteria."""

from collections.abc import Iterator

from minified.analysis.claims import readings
from minified.analysis.claims.cells import Cells
from minified.analysis.claims.record import Claim, Comparison
from minified.study.settings import ClaimOptions


def _compare(cells: Cells, options: ClaimOptions) -> Iterator[Comparison]:
    def others(level: str) -> list[str]:
        known = readings.at(cells, level)
        return [criterion for criterion in cells.criteria(level) if criterion not in known]

    def confidence(level: str) -> float:
        # The readings that the grid has at a level are one claim, and share its error rate
        # (Bonferroni). Two that select the same units still count as two.
        return 1 - (1 - options.confidence) / max(1, len(readings.at(cells, level)))

    return readings.against(
        cells,
        options,
        confidence,
        others,
        second="best other criterion",
        rival="the best other criterion",
        without="other criterion of the abstract's",
    )


CLAIM = Claim(
    "C1",
    "OBD-SD slightly outperforms all other selection methods with substantial pruning",
    _compare,
    readings.LABELS,
    size_word="slightly",
    by_place=True,
)
