"""One regime against another at one level, over the abstract's criteria but the random control."""

from collections.abc import Iterator

from minified.analysis.claims import lacking
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
    criteria = f"the abstract's criteria but {' and '.join(_CONTROLS)}"

    def compare(cells: Cells, options: ClaimOptions) -> Iterator[Comparison]:
        counted = [name for name in cells.criteria(level) if name not in _CONTROLS]
        columns, differences, places = [], [], []
        for sparsity in cells.sparsities(level):
            for criterion in counted:
                if cells.has(level, criterion, sparsity, first) and cells.has(
                    level, criterion, sparsity, second
                ):
                    columns.append(f"{sparsity:g}")
                    places.append((criterion, sparsity))
                    differences.append(
                        cells.points(level, criterion, sparsity, first)
                        - cells.points(level, criterion, sparsity, second)
                    )
        none = [] if counted else [f"criterion of {criteria}"]
        yield Comparison(
            part=part,
            level=level,
            first=first,
            second=second,
            columns=tuple(columns),
            seconds=(second,) * len(columns),
            differences=stack(differences),
            lacking="" if columns else lacking.at(cells, level, [first, second], more=none),
            confidence=options.confidence,
            difference=part,
            eligible=f"{level} level, {criteria}",
            subject=REGIMES[first].doing,
            rival=REGIMES[second].doing,
            place=f" at {level} level",
            regimes=(first, second),
            criteria=tuple(counted),
            budgets=(cells.budget(level, places, first), cells.budget(level, places, second)),
        )

    label = f"{REGIMES[first].label} − {REGIMES[second].label}"
    return Claim(id, statement, compare, {(part, level): label}, size_word)
