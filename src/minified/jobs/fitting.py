"""What the jobs that train have besides: training under the job's name."""

from collections.abc import Sequence

from torch import nn

from minified.foundations.errors import DivergenceError
from minified.jobs.context import Context
from minified.study.recipes import Recipe
from minified.training import loop
from minified.training.masks import Masks


class FittingContext(Context):
    """A `Context` that also trains its networks."""

    def fit(
        self,
        name: str,
        networks: Sequence[nn.Module],
        recipe: Recipe,
        seeds: Sequence[int],
        masks: Sequence[Masks] | None = None,
        bits: int | None = None,
    ) -> None:
        """`training.fit` on the training split; if it diverges, the error names the job: `name`."""
        try:
            loop.fit(networks, self.data.training, recipe, masks, seeds, bits=bits)
        except DivergenceError as error:
            raise DivergenceError(
                error.replicate,
                error.epoch,
                f"{error.detail}; study {self.study.name}, {name}; a lower learning rate in its"
                " recipe usually fixes it",
            ) from None
