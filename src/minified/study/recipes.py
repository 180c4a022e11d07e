"""The keys of a recipe, of `recipes`, and of a regime that a study defines itself."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, create_model, model_validator

from minified.study.refusals import Strict, refusal
from minified.study.regimes import REGIMES, Regime, Start, own

Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Rate = Annotated[float, Field(gt=0.0, le=1e6)]
# Titles are shown in figures, tables and LaTeX. No braces: Snakemake would read them as wildcards.
TITLE = r"^[\w(][\w .,:()/+-]{0,59}$"
TITLE_SPELLING = (
    "must be 1 to 60 letters, digits, spaces, _ . , : ( ) / + -, and not start with a space"
)
Title = Annotated[str, Field(pattern=TITLE)]


class Recipe(Strict):
    """The hyper-parameters of one training run; the learning rate is that of the first epoch.

    `augmentation`: `crop_flip` moves each training image by up to 4 pixels and flips half of them.
    `batch_norm`: `train` keeps the running averages of training as the statistics; `re_estimate`
    computes them again, from the training examples with the final weights.
    """

    optimiser: Literal["adam", "sgd"] = "adam"
    learning_rate: Rate
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    weight_decay: Annotated[float, Field(ge=0.0, le=1e3)] = 0.0
    epochs: Annotated[int, Field(ge=1, le=100_000)]
    batch_size: Count = 32
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup_epochs: Annotated[int, Field(ge=0, le=100_000)] = 0
    augmentation: Literal["none", "crop_flip"] = "none"
    batch_norm: Literal["train", "re_estimate"] = "train"

    @model_validator(mode="after")
    def _warmup_ends(self) -> "Recipe":
        if self.warmup_epochs >= self.epochs and self.warmup_epochs > 0:
            raise refusal(
                ("warmup_epochs",), self.warmup_epochs, f"must be below epochs ({self.epochs})"
            )
        return self


if TYPE_CHECKING:

    class RecipeChanges(Strict):
        """What a recipe has differently at one level, as created below."""

else:
    RecipeChanges = create_model(
        "RecipeChanges",
        __base__=Strict,
        __doc__="What a regime's recipe has differently at one level.",
        **{
            name: (
                Annotated[one.annotation, *one.metadata] | None
                if one.metadata
                else one.annotation | None,
                None,
            )
            for name, one in Recipe.model_fields.items()
        },
    )


def changed(recipe: Recipe, changes: RecipeChanges) -> Recipe:
    """`recipe` with what is different at one level.

    Raises:
        ValidationError: the two do not fit together.
    """
    return Recipe.model_validate(recipe.model_dump() | changes.model_dump(exclude_none=True))


class RegimeOptions(Strict):
    """A regime that the study defines itself: where it starts, and its recipe.

    `seeds`: the built-in regime whose fresh weights and data order it shares, by default the one
    with the same start; its own name for draws of its own. `title`: what figures call it.
    """

    start: Start
    recipe: Recipe
    seeds: str | None = None
    title: Title | None = None

    def record(self, name: str) -> Regime:
        return own(name, self.start, self.seeds, self.title)


if TYPE_CHECKING:

    class Recipes(Strict):
        """One recipe per regime, as created below."""

        baseline: Recipe
        fine_tune: Recipe | None = None
        scratch: Recipe | None = None
        rewind: Recipe | None = None
        quantization: Recipe | None = None

else:
    _BY_REGIME: dict[str, Any] = dict.fromkeys(REGIMES, (Recipe | None, None))
    Recipes = create_model(
        "Recipes",
        __base__=Strict,
        __doc__="One recipe for the baseline and one per built-in regime that the grid names;"
        " `quantization` is quantization-aware fine-tuning.",
        baseline=(Recipe, ...),
        **_BY_REGIME,
        quantization=(Recipe | None, None),
    )
