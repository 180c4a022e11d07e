"""One regime against another at one level, over every criterion but the random control."""

from collections.abc import Iterator

import numpy as np

from minified.analysis.claims.cells import Cells, stack
from minified.analysis.claims.record import Claim, Comparison
from minified.criteria.record import CRITERIA
from minified.study.regimes import REGIMES
from minified.study.settings import ClaimOptions

_CONTROLS = [name for name, criterion in CRITERIA.items() if criterion.control]


def claim(
    id: str,
    statement: str,
    level: str,
    first: str,
    second: str,
    size_word: str | None = None,
) -> Claim:
    """The claim that regime `first` is more accurate than `second` at `level`."""
    part = f"{first} - {second}"

    def compare(cells: Cells, options: ClaimOptions) -> Iterator[Comparison]:
        columns, differences, count = [], [], 0
        for sparsity in cells.sparsities(level):
            here = [
                cells.points(level, criterion, sparsity, first)
                - cells.points(level, criterion, sparsity, second)
                for criterion in cells.criteria(level)
                if criterion not in _CONTROLS
                and cells.has(level, criterion, sparsity, first)
                and cells.has(level, criterion, sparsity, second)
            ]
            if here:
                columns.append(f"{sparsity:g}")
                differences.append(np.mean(here, axis=0))
                count += len(here)
        # A grid has every criterion at every sparsity, so the mean over columns is that over cells.
        yield Comparison(
            part=part,
            level=level,
            first=first,
            second=second,
            columns=tuple(columns),
            seconds=(second,) * len(columns),
            differences=stack(differences),
            cells=count,
            confidence=options.confidence,
            difference=part,
            eligible=f"{level} level, every criterion but {' and '.join(_CONTROLS)}",
            subject=REGIMES[first].doing,
            rival=REGIMES[second].doing,
            place=f" at {level} level",
        )

    label = f"{level}: {REGIMES[first].label} − {REGIMES[second].label}"
    return Claim(id, statement, compare, {(part, level): label}, size_word)
