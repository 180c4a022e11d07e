"""The optimiser of a group of networks: torch's fused Adam or SGD, and its learning rate."""

import math

import torch

# The functional forms do the same arithmetic as torch.optim.Adam and SGD, but do not import
# torch's compiler, which costs a job 2 s.
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from minified.training.models import Model
from minified.training.recipe import Recipe


def learning_rate(recipe: Recipe, epoch: float) -> float:
    """The learning rate at `epoch` (fractional: 1.5 is half-way through the second).

    Linear warm-up, then constant or half a cosine down to 0. A step uses the rate at its middle.
    """
    if epoch < recipe.warmup_epochs:
        return recipe.learning_rate * epoch / recipe.warmup_epochs
    if recipe.schedule == "constant":
        return recipe.learning_rate
    done = (epoch - recipe.warmup_epochs) / (recipe.epochs - recipe.warmup_epochs)
    return recipe.learning_rate * (1 + math.cos(math.pi * done)) / 2


class Optimiser:
    """torch.optim's fused Adam or SGD, over all parameters of a group that were not removed.

    Removed weights are never touched, which saves most of the work at high sparsities.
    """

    def __init__(self, model: Model, recipe: Recipe):
        self.recipe = recipe
        # Python's numbers: torch's functions take no others.
        self.momentum, self.weight_decay = float(recipe.momentum), float(recipe.weight_decay)
        self.flat, self.flat_gradient = model.flat.view(-1), model.gradient.view(-1)
        self.survivors = model.survivors
        self.values, self.gradient = self.flat, self.flat_gradient
        if self.survivors is not None:
            self.values = self.flat.index_select(0, self.survivors)
            self.gradient = torch.zeros_like(self.values)
            # Half the memory to read at each step; only `scatter_` takes no narrow indices.
            narrow = self.flat.numel() <= torch.iinfo(torch.int32).max
            self.places = self.survivors.int() if narrow else self.survivors
        self.first = torch.zeros_like(self.values)
        self.second = torch.zeros_like(self.values)
        self.steps = torch.zeros((), device=self.flat.device)

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Update the weights by the model's gradient."""
        if self.survivors is None:
            self._update(rate)
            return
        torch.index_select(self.flat_gradient, 0, self.places, out=self.gradient)
        self._update(rate)
        self.flat.scatter_(0, self.survivors, self.values)

    def _update(self, rate: float) -> None:
        rate = float(rate)
        if self.recipe.optimiser == "adam":
            adam(
                [self.values],
                [self.gradient],
                [self.first],
                [self.second],
                [],
                [self.steps],
                fused=True,
                amsgrad=False,
                beta1=self.momentum,
                beta2=0.999,
                lr=rate,
                weight_decay=self.weight_decay,
                eps=1e-8,
                maximize=False,
            )
        else:
            sgd(
                [self.values],
                [self.gradient],
                [self.first],
                fused=True,
                weight_decay=self.weight_decay,
                momentum=self.momentum,
                lr=rate,
                dampening=0.0,
                nesterov=False,
                maximize=False,
            )
