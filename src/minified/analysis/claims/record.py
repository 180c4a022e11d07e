"""What a claim is: its statement, what it compares, and the words for that."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from minified.analysis.claims.cells import Budget, Cells, Matrix
from minified.study.settings import ClaimOptions


@dataclass(frozen=True)
class Comparison:
    """One tested difference: `first` minus `second`, per replicate and cell, in points.

    Attributes:
        part: which of a claim's comparisons it is, in claims.csv.
        level: the level that it is about; None if it is about no single one.
        first, second: what is compared, as claims_detail.csv names it.
        columns: the place of each cell (a sparsity, or bits), by which claims_detail.csv groups
            them; `seconds`: what each was compared with, the same within a place.
        differences: (replicates, cells), a cell being a criterion at a place.
        lacking: why it has no cells: what the grid lacks; empty if it has any.
        confidence: the confidence of its interval.
        difference, eligible: what is subtracted, and where, as written in claims.csv.
        regimes: the regimes whose rows it reads; empty for all, quantization's included.
        criteria: the criteria whose rows it reads; empty for all of the abstract's.
        subject, rival, place: the same in a sentence: `OBD`, `magnitude`, ` at parameter level`.
        budgets: what was spent on the networks of `first` and of `second`, if the rows say it.
    """

    part: str
    level: str | None
    first: str
    second: str
    columns: tuple[str, ...]
    seconds: tuple[str, ...]
    differences: Matrix
    lacking: str
    confidence: float
    difference: str
    eligible: str
    subject: str
    rival: str
    place: str
    regimes: tuple[str, ...] = ()
    criteria: tuple[str, ...] = ()
    budgets: tuple[Budget | None, Budget | None] = (None, None)

    @property
    def cells(self) -> int:
        """How many cells of the grid went into it; 0 if none was eligible."""
        return len(self.columns)


@dataclass(frozen=True)
class Claim:
    """One claim: that the differences of its comparisons are above 0, if it is `directed`.

    Attributes:
        id: `C1`; its file is c1.py.
        statement: what is claimed, without a full stop.
        compare: yields its comparisons, from a study's cells.
        labels: a short name of each comparison, by part and level, for the figure, which names
            claim and level above it.
        by_place: whether the figure shows its effects place by place, too.
        size_word: `slightly` or `much`, if the claim says how large the effect is.
        directed: whether it claims a direction; else its effect is reported without a verdict.
        note: a note below the table of claims.
    """

    id: str
    statement: str
    compare: Callable[[Cells, ClaimOptions], Iterator[Comparison]]
    labels: Mapping[tuple[str, str | None], str]
    size_word: str | None = None
    directed: bool = True
    note: str | None = None
    by_place: bool = False
