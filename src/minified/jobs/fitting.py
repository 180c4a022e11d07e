"""What the jobs that train have besides: training under the job's name, with its curve."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from minified.foundations.errors import DivergenceError
from minified.jobs import curves
from minified.jobs.context import Context
from minified.jobs.curves import Curve, Watch
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
    ) -> Curve:
        """`training.fit` on the training split, with the validation accuracy of each epoch.

        If it diverges, the error names the job: `name`.
        """
        watch = Watch(networks, self.data.validation, recipe.epochs, bits)
        try:
            losses = loop.fit(
                networks, self.data.training, recipe, masks, seeds, bits=bits, observe=watch
            )
        except DivergenceError as error:
            raise DivergenceError(
                self.replicates[error.replicate],
                error.epoch,
                f"{error.detail}; study {self.study.name}, {name}; a lower learning rate in its"
                " recipe usually fixes it",
            ) from None
        return Curve(losses, watch.accuracy)

    def write_curves(self, path: Path, rounds: Sequence[Curve]) -> None:
        """Write the curves of the job's trainings: one per round."""
        curves.write(path, rounds, self.replicates if self.study.block else None)
