"""Each reading of OBD-SD against another criterion, after fine-tuning, at substantial pruning."""

from collections.abc import Callable, Iterator

from minified.analysis.claims import lacking
from minified.analysis.claims.cells import Cells, stack
from minified.analysis.claims.record import Comparison
from minified.criteria.record import CRITERIA, LEVELS, READINGS
from minified.study.regimes import FINE_TUNE, REGIMES
from minified.study.settings import ClaimOptions

REGIME = FINE_TUNE

LABELS: dict[tuple[str, str | None], str] = {
    (reading, level): str(CRITERIA[reading].reading) for level in LEVELS for reading in READINGS
}


def at(cells: Cells, level: str) -> list[str]:
    """The readings of OBD-SD that the grid has at a level, in the order of the grid."""
    return [criterion for criterion in cells.criteria(level) if criterion in READINGS]


def against(
    cells: Cells,
    options: ClaimOptions,
    confidence: Callable[[str], float],
    rivals: Callable[[str], list[str]],
    second: str,
    rival: str,
    without: str,
) -> Iterator[Comparison]:
    """Each reading, at each level, against the best of the criteria that `rivals` names there.

    The best is chosen by mean validation accuracy, at each sparsity anew. `confidence` is that of
    the intervals at a level. `second` is the name of that criterion in the tables, `rival` in
    sentences; `without` is what the grid lacks if there is none.
    """
    for level in LEVELS:
        boundary: float = getattr(options, f"substantial_{level}_sparsity")
        eligible = f"{level} sparsity >= {boundary:g}"
        for reading in READINGS:
            columns, seconds, differences = [], [], []
            for sparsity in cells.sparsities(level, boundary):
                other = _best(cells, level, rivals(level), sparsity)
                if other is None or not cells.has(level, reading, sparsity, REGIME):
                    continue
                columns.append(f"{sparsity:g}")
                seconds.append(other)
                differences.append(
                    cells.points(level, reading, sparsity, REGIME)
                    - cells.points(level, other, sparsity, REGIME)
                )
            none = [] if rivals(level) else [without]
            reason = lacking.at(cells, level, [REGIME], [reading], boundary, none)
            yield Comparison(
                part=reading,
                level=level,
                first=reading,
                second=second,
                columns=tuple(columns),
                seconds=tuple(seconds),
                differences=stack(differences),
                lacking="" if columns else reason,
                confidence=confidence(level),
                difference=f"{reading} - {second}, {REGIME}",
                eligible=eligible,
                subject=f"OBD-SD read as {CRITERIA[reading].reading}",
                rival=rival,
                place=f" after {REGIMES[REGIME].doing} at {eligible}",
                regimes=(REGIME,),
                criteria=(reading, *rivals(level)),
            )


def _best(cells: Cells, level: str, criteria: list[str], sparsity: float) -> str | None:
    """The criterion with the best mean validation accuracy; None if no cell is there."""
    return max(
        (one for one in criteria if cells.has(level, one, sparsity, REGIME)),
        # max() keeps the first of equals: the order of the grid decides a tie.
        key=lambda one: cells.validation(level, one, sparsity, REGIME),
        default=None,
    )
