"""Each reading of OBD-SD against another criterion, after fine-tuning, at substantial pruning."""

from collections.abc import Callable, Iterator

from minified.analysis.claims.cells import Cells, stack
from minified.analysis.claims.record import Comparison
from minified.criteria.record import CRITERIA, LEVELS, READINGS
from minified.study.regimes import FINE_TUNE, REGIMES
from minified.study.settings import ClaimOptions

REGIME = FINE_TUNE

LABELS: dict[tuple[str, str | None], str] = {
    (reading, level): f"{level}: {CRITERIA[reading].reading}"
    for level in LEVELS
    for reading in READINGS
}


def against(
    cells: Cells,
    options: ClaimOptions,
    confidence: float,
    rival_at: Callable[[str, float], str | None],
    second: str,
    rival: str,
) -> Iterator[Comparison]:
    """Each reading, at each level, against the criterion that `rival_at` names per sparsity.

    `second` is the name of that criterion in the tables, `rival` in sentences.
    """
    for level in LEVELS:
        boundary: float = getattr(options, f"substantial_{level}_sparsity")
        eligible = f"{level} sparsity >= {boundary:g}"
        for reading in READINGS:
            columns, seconds, differences = [], [], []
            for sparsity in cells.sparsities(level, boundary):
                other = rival_at(level, sparsity)
                if other is None or not cells.has(level, reading, sparsity, REGIME):
                    continue
                columns.append(f"{sparsity:g}")
                seconds.append(other)
                differences.append(
                    cells.points(level, reading, sparsity, REGIME)
                    - cells.points(level, other, sparsity, REGIME)
                )
            yield Comparison(
                part=reading,
                level=level,
                first=reading,
                second=second,
                columns=tuple(columns),
                seconds=tuple(seconds),
                differences=stack(differences),
                cells=len(columns),
                confidence=confidence,
                difference=f"{reading} - {second}, {REGIME}",
                eligible=eligible,
                subject=f"OBD-SD read as {CRITERIA[reading].reading}",
                rival=rival,
                place=f" after {REGIMES[REGIME].doing} at {eligible}",
            )
