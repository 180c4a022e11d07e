"""The columns of the tables that one verb writes and others read: claims, damage, overlap.

They are separate from the code that computes the tables. Code that only needs the columns then does
not import that code, and its results do not become stale when that code is edited.
"""

from dataclasses import dataclass

from minified.study.rows import EPOCH_COLUMNS
from minified.study.rows import KEPT_COLUMNS as KEPT_COLUMNS
from minified.study.rows import OVERLAP_COLUMNS as OVERLAP_COLUMNS

UNIT_COLUMNS = ("method", "replicate", "layer", "unit", "score", "damage")
"""Of damage_units.csv: one line per method, replicate and unit removed singly."""

SCATTER_COLUMNS = ("method", "replicate", "score_ranks", "damage_ranks")
"""Of damage_scatter.csv: one line per method and replicate of the first `SCATTER_REPLICATES`. Ranks
are in percent of the units, one per unit, separated by spaces.
"""

SCATTER_REPLICATES = 5

CURVE_COLUMNS = ("stage", "method", "sparsity", "bits", "regime", *EPOCH_COLUMNS)
"""Of curves.csv: one line per epoch of each training."""

CORRELATION_COLUMNS = ("method", "level", "criterion", "replicate", "units", "spearman")
"""Of damage.csv: one line per method and replicate."""


@dataclass(frozen=True)
class Verdict:
    """A row of tables/claims.csv. Effects are percentage points of test accuracy.

    Attributes:
        median_points: the median over cells of the mean over replicates; it has no verdict.
        detectable_points: the smallest effect that these replicates could have found.
        within_no_interest: whether the whole interval is within the boundary of no interest.
        coincides_with: the criteria that select the same units as this part does.
    """

    claim: str
    part: str
    level: str | None
    statement: str
    difference: str
    eligible: str
    cells: int
    replicates: int
    effect_points: float | None
    median_points: float | None
    ci_low: float | None
    ci_high: float | None
    confidence: float
    p: float | None
    detectable_points: float | None
    verdict: str
    within_no_interest: str | None
    size_word: str | None
    size_holds: str | None
    coincides_with: str | None
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
    detectable_points: float | None


@dataclass(frozen=True)
class Specified:
    """A row of tables/specifications.csv: one comparison of a claim under one specification.

    `choices`: its option of each axis, `axis=option axis=option`; empty for a single variant. The
    other columns are those of claims.csv.
    """

    claim: str
    part: str
    level: str | None
    specification: str
    choices: str | None
    cells: int
    replicates: int
    effect_points: float | None
    ci_low: float | None
    ci_high: float | None
    confidence: float
    p: float | None
    detectable_points: float | None
    median_points: float | None
    verdict: str
    within_no_interest: str | None


@dataclass(frozen=True)
class Summary:
    """A row of tables/specifications_summary.csv: one comparison over all specifications.

    `moved_most_by`: the axis that explains the largest `share` of the variance of the effects.
    """

    claim: str
    part: str
    level: str | None
    specifications: int
    supported: int
    contradicted: int
    negligible: int
    inconclusive: int
    reported: int
    not_tested: int
    median_points: float | None
    lowest_points: float | None
    highest_points: float | None
    moved_most_by: str | None
    share: float | None


@dataclass(frozen=True)
class OfOption:
    """A row of tables/specifications_axes.csv: one comparison under one option of an axis.

    `share`: of the axis, not of the option: the share of the variance of the effects between the
    combinations of all axes that the axis explains by itself; empty if it cannot touch the claim.
    """

    claim: str
    part: str
    level: str | None
    axis: str
    option: str
    specifications: int
    supported: int
    contradicted: int
    negligible: int
    inconclusive: int
    median_points: float | None
    share: float | None


SPECIFIED_COLUMNS = tuple(Specified.__dataclass_fields__)
SUMMARY_COLUMNS = tuple(Summary.__dataclass_fields__)
OPTION_COLUMNS = tuple(OfOption.__dataclass_fields__)

SPECIFICATION_ROW_COLUMNS = (
    *("specification", "method", "sparsity", "bits", "regime", "replicate", "epochs"),
    *("accuracy_validation", "accuracy_test"),
)
"""Of specification_rows.csv: the rows of all specifications; those that several share are there
once, under the first of them.
"""

VERDICT_COLUMNS = tuple(Verdict.__dataclass_fields__)
DETAIL_COLUMNS = tuple(Detail.__dataclass_fields__)
