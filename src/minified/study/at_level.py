"""What a level has differently in scopes and recipes, and whether its rounds can be trained."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import ValidationError

from minified.study.grid import PruningGrid
from minified.study.recipes import Recipe, RecipeChanges, changed
from minified.study.refusals import RefusedError, refusal
from minified.study.regimes import FINE_TUNE, Regime

if TYPE_CHECKING:
    from minified.study.settings import Settings


def recipe(study: "Settings", level: str, regime: str) -> Recipe:
    """A regime's recipe at a level that the study prunes; with rounds, that of each round.

    Raises:
        RefusedError: the study has no recipe of the regime.
        ValidationError: the recipe and what the level has differently do not fit together.
    """
    grid = getattr(study.grid, level)
    own = study.recipe(regime)
    changes = grid.recipes.get(regime, RecipeChanges())
    if grid.round_epochs and study.known_regimes[regime].start == "trained":
        changes = changes.model_copy(update={"epochs": grid.round_epochs})
    return changed(own, changes)


def check(study: "Settings", level: str, known: Mapping[str, Regime]) -> None:
    """Refuse, by its key, what a level has differently if it fits no recipe, or cannot be trained.

    Args:
        known: the regimes that the study knows.

    Raises:
        RefusedError: key, value and what is allowed.
    """
    grid: PruningGrid = getattr(study.grid, level)
    in_grid(level, "recipes", grid.recipes, grid.regimes)
    trained = [name for name in grid.regimes if known[name].start == "trained"]
    if grid.rounds > 1 and not trained:
        raise refusal(
            ("grid", level, "rounds"),
            grid.rounds,
            f"must be 1, or grid.{level}.regimes have a regime that starts from the trained"
            f" network, such as {FINE_TUNE}, to train between the rounds",
        )
    for name in trained if grid.round_epochs else ():
        _outlasts_warmup(study, level, name)
    for name in grid.recipes:
        try:
            recipe(study, level, name)
        except ValidationError as error:
            refused = error.errors()[0]["ctx"]["error"]
            key = ("grid", level, "recipes", name, *refused.key)
            raise RefusedError(key, refused.value, refused.allowed) from None


def _outlasts_warmup(study: "Settings", level: str, regime: str) -> None:
    """Refuse rounds that end before the warm-up does."""
    grid: PruningGrid = getattr(study.grid, level)
    assert grid.round_epochs is not None
    warmup = study.recipe(regime).warmup_epochs
    where = f"regimes.{regime}.recipe" if regime in study.regimes else f"recipes.{regime}"
    changes = grid.recipes.get(regime, RecipeChanges()).model_dump()
    if changes["warmup_epochs"] is not None:
        warmup, where = changes["warmup_epochs"], f"grid.{level}.recipes.{regime}"
    if warmup >= grid.round_epochs:
        raise refusal(
            ("grid", level, "round_epochs"),
            grid.round_epochs,
            f"must be above {where}.warmup_epochs ({warmup})",
        )


def in_grid(level: str, key: str, names: Iterable[str], known: Sequence[str]) -> None:
    """Refuse what a level says of something that its grid does not have."""
    for name in names:
        if name not in known:
            allowed = f"not in this grid; allowed: {', '.join(known)}"
            raise refusal(("grid", level, key, name), name, allowed)
