"""The columns of the tables that one verb writes and others read: claims, their detail, damage.

They are separate from the code that computes the tables. Code that only needs the columns then does
not import that code, and its results do not become stale when that code is edited.
"""

from dataclasses import dataclass

UNIT_COLUMNS = ("method", "replicate", "layer", "unit", "score", "damage")
"""Of damage_units.csv: one line per method, replicate and unit removed singly."""

CORRELATION_COLUMNS = ("method", "level", "criterion", "replicate", "units", "spearman")
"""Of damage.csv: one line per method and replicate."""


@dataclass(frozen=True)
class Verdict:
    """A row of tables/claims.csv. Effects are percentage points of test accuracy."""

    claim: str
    part: str
    level: str | None
    statement: str
    difference: str
    eligible: str
    cells: int
    replicates: int
    effect_points: float | None
    ci_low: float | None
    ci_high: float | None
    confidence: float
    p: float | None
    verdict: str
    size_word: str | None
    size_holds: str | None
    meaning: str


@dataclass(frozen=True)
class Detail:
    """A row of tables/claims_detail.csv: one sparsity (or bits) of a claim; no verdict."""

    claim: str
    part: str
    level: str | None
    place: str
    first: str
    second: str
    replicates: int
    effect_points: float
    ci_low: float | None
    ci_high: float | None
    confidence: float
    p: float | None
    p_holm: float | None


VERDICT_COLUMNS = tuple(Verdict.__dataclass_fields__)
DETAIL_COLUMNS = tuple(Detail.__dataclass_fields__)
