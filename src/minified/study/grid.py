"""The keys of `grid`: what is compared."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from minified.criteria.record import LEVELS, SCOPES
from minified.foundations.rounds import MOST_ROUNDS
from minified.study.recipes import RecipeChanges
from minified.study.refusals import RefusedError, Strict, refusal, unique
from minified.study.regimes import ROUNDINGS

if TYPE_CHECKING:
    Level = str
    Scope = str
    RoundingName = str
else:
    Level = Literal[LEVELS]
    Scope = Literal[SCOPES]
    RoundingName = Literal[tuple(ROUNDINGS)]

MOST_JOBS = 100_000
"""A study with more than this is a mistake: it is far above what any study needs."""

# + 0.0 turns -0.0 into 0.0, since a sparsity is also the name of a folder.
Sparsity = Annotated[float, Field(ge=0.0, lt=1.0), AfterValidator(lambda sparsity: sparsity + 0.0)]
# At most 8, since a zero point is stored in one byte.
Bits = Annotated[int, Field(ge=1, le=8)]


class PruningGrid(Strict):
    """Every criterion x sparsity x regime of one level.

    `scope`: which units are ranked together; `scopes`: the same for single criteria. `recipes`: per
    regime, what its recipe has differently at this level. `rounds`: in how many rounds of scoring
    and removing a sparsity is reached; 1 is one-shot. Between them, and after the last, the
    networks are trained for `round_epochs`, by default the recipe's epochs.
    """

    criteria: Annotated[list[str], Field(min_length=1, max_length=1000)]
    sparsities: Annotated[list[Sparsity], Field(min_length=1, max_length=1000)]
    regimes: Annotated[list[str], Field(min_length=1, max_length=1000)]
    scope: Scope
    scopes: dict[str, Scope] = Field({})
    recipes: dict[str, RecipeChanges] = Field({})
    rounds: Annotated[int, Field(ge=1, le=MOST_ROUNDS)] = 1
    round_epochs: Annotated[int, Field(ge=1, le=100_000)] | None = None

    @model_validator(mode="after")
    def _trains_between_rounds(self) -> "PruningGrid":
        if self.round_epochs is not None and self.rounds == 1:
            allowed = "needs rounds above 1; with 1 a regime trains once, as its recipe says"
            raise refusal(("round_epochs",), self.round_epochs, allowed)
        return self

    @model_validator(mode="after")
    def _no_duplicates(self) -> "PruningGrid":
        for key in ("criteria", "sparsities", "regimes"):
            unique(getattr(self, key), key)
        return self

    def scope_of(self, criterion: str) -> str:
        """Which units are ranked together by the scores of a criterion."""
        return self.scopes.get(criterion, self.scope)


class QuantizationGrid(Strict):
    """Every number of bits x regime."""

    bits: Annotated[list[Bits], Field(min_length=1)]
    regimes: Annotated[list[RoundingName], Field(min_length=1)]

    @model_validator(mode="after")
    def _no_duplicates(self) -> "QuantizationGrid":
        for key in ("bits", "regimes"):
            unique(getattr(self, key), key)
        return self


class Grid(Strict):
    """What is compared; a part that is left out is not run, and its claims are `not tested`."""

    parameter: PruningGrid | None = None
    neuron: PruningGrid | None = None
    quantization: QuantizationGrid | None = None

    @model_validator(mode="after")
    def _compares_something(self) -> "Grid":
        if not self.levels and self.quantization is None:
            raise refusal((), {}, f"needs at least one of {', '.join(type(self).model_fields)}")
        return self

    @model_validator(mode="after")
    def _is_not_huge(self) -> "Grid":
        if self.jobs > MOST_JOBS:
            raise RefusedError((), f"{self.jobs:,} jobs", f"must be at most {MOST_JOBS:,} jobs")
        return self

    @property
    def jobs(self) -> int:
        """How many jobs the grid has, each with all replicates."""
        jobs = 0
        for level in self.levels:
            grid = getattr(self, level)
            jobs += len(grid.criteria) * len(grid.sparsities) * len(grid.regimes)
        if self.quantization is not None:
            jobs += len(self.quantization.bits) * len(self.quantization.regimes)
        return jobs

    @property
    def levels(self) -> list[str]:
        """The levels at which the study prunes."""
        return [level for level in LEVELS if getattr(self, level) is not None]
