"""E2, our extension: OBD-SD against OBD."""

from collections.abc import Iterator

from minified.analysis.claims import readings
from minified.analysis.claims.cells import Cells
from minified.analysis.claims.record import Claim, Comparison
from minified.study.settings import ClaimOptions


def _compare(cells: Cells, options: ClaimOptions) -> Iterator[Comparison]:
    def obd(level: str) -> list[str]:
        return [criterion for criterion in cells.criteria(level) if criterion == "obd"]

    return readings.against(
        cells,
        options,
        lambda level: options.confidence,
        obd,
        second="obd",
        rival="OBD",
        without="criterion obd",
    )


CLAIM = Claim(
    "E2",
    "Our extension: OBD-SD improves on OBD itself",
    _compare,
    readings.LABELS,
    by_place=True,
)
