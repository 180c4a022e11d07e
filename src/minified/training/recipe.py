"""What training needs from a recipe; `minified.study.Recipe` provides it."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal, Protocol, get_args

from minified.foundations import arguments
from minified.foundations.errors import ArgumentError

Optimiser = Literal["adam", "sgd"]
Schedule = Literal["constant", "cosine"]
Augmentation = Literal["none", "crop_flip"]
BatchNorm = Literal["train", "re_estimate"]


class Recipe(Protocol):
    """The hyper-parameters of one training run; `minified.study.Recipe` says what each means."""

    @property
    def optimiser(self) -> Optimiser: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def momentum(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def epochs(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def schedule(self) -> Schedule: ...
    @property
    def warmup_epochs(self) -> int: ...
    @property
    def augmentation(self) -> Augmentation: ...
    @property
    def batch_norm(self) -> BatchNorm: ...


_CHECKS: Mapping[str, Callable[[str, object], object]] = {
    "optimiser": partial(arguments.one_of, allowed=get_args(Optimiser)),
    "learning_rate": partial(arguments.real, least_too=False),
    "momentum": partial(arguments.real, below=1.0),
    "weight_decay": arguments.real,
    "epochs": partial(arguments.whole, least=1),
    "batch_size": partial(arguments.whole, least=1),
    "schedule": partial(arguments.one_of, allowed=get_args(Schedule)),
    "warmup_epochs": partial(arguments.whole, least=0),
    "augmentation": partial(arguments.one_of, allowed=get_args(Augmentation)),
    "batch_norm": partial(arguments.one_of, allowed=get_args(BatchNorm)),
}


def check(recipe: Recipe) -> None:
    """Raise ArgumentError, naming the value, if training cannot follow `recipe`."""
    for name, allowed in _CHECKS.items():
        if not hasattr(recipe, name):
            raise ArgumentError(
                f"recipe: {arguments.shown(recipe)} has no {name}; use minified.study.Recipe"
            )
        allowed(f"recipe.{name}", getattr(recipe, name))
    if 0 < recipe.warmup_epochs >= recipe.epochs:
        raise ArgumentError(
            f"recipe.warmup_epochs: must be below epochs ({recipe.epochs}), not"
            f" {recipe.warmup_epochs}"
        )
