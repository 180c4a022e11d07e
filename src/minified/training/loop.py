"""Training: one loop for every regime; replicates train together where that is faster.

`fit(networks, split, recipe, masks, seeds)` trains a list of networks in place. With the arithmetic
that the command line fixes, a replicate's bits do not depend on how many others train with it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from minified.data.dataset import Split
from minified.foundations import products
from minified.foundations import seeds as seeding
from minified.foundations.errors import DivergenceError
from minified.networks import chains, stacks
from minified.networks.examples import all_finite
from minified.training import augmentation, checks, models
from minified.training.batch_norm import re_estimate
from minified.training.masks import Masks, apply_masks, check_masks
from minified.training.optimiser import Optimiser, learning_rate
from minified.training.recipe import Recipe

Observer = Callable[[int, Sequence[nn.Module]], object]


class StackObserver(ABC):
    """An `Observer` that is spared the copies of a stack's weights into its networks."""

    @abstractmethod
    def __call__(self, epoch: int, networks: Sequence[nn.Module]) -> object: ...

    @abstractmethod
    def stacked(
        self, epoch: int, networks: Sequence[nn.Module], tensors: Mapping[str, Tensor]
    ) -> object:
        """Called instead for networks that train in a stack, which then do not have their current
        weights: `tensors` are these by name, (networks, ...) each.
        """


# Whatever the caller has switched off: networks that train alone need their gradients.
@torch.inference_mode(False)
@torch.enable_grad()
def fit(
    networks: Sequence[nn.Module],
    split: Split,
    recipe: Recipe,
    masks: Sequence[Masks] | None = None,
    seeds: Sequence[int] | None = None,
    *,
    bits: int | None = None,
    observe: Observer | None = None,
) -> Tensor:
    """Train `networks` in place on `split`, each with its own data order.

    Args:
        networks: the replicates of one job, each of them a chain.
        split: training examples, shared by all.
        recipe: optimiser, schedule, epochs; the result is that of the last epoch.
        masks: per network `{"0.weight": bool, True = stays}`; removed weights are set to zero and
            stay there. None: nothing is removed.
        seeds: per network, from 0, for its data order (and dropout); default 0, 1, ...
        bits: 1 to 8, to train quantization-aware; the networks keep full-precision weights, to be
            rounded by `quantization.quantize` afterwards.
        observe: called after each epoch as `observe(epoch, networks)`, epochs counted from 1, with
            the networks that train together, in eval mode, with their current weights. It must not
            change any of them or draw random numbers. A `StackObserver` reads a stack itself.

    Returns:
        Mean training loss per epoch and network, (epochs, networks), float64.

    Raises:
        DivergenceError: a loss that is not finite; gives the network's position and the epoch.
        MaskError: a mask that fits no weight, or a removed weight that is not zero at the end.
        ArgumentError: another argument that it does not take; no network was changed.
        UnsupportedNetworkError: a network that is no chain; names the module.
    """
    networks, masks, seeds = checks.check(networks, split, recipe, masks, seeds, bits, observe)
    for network, mask in zip(networks, masks, strict=True):
        apply_masks(network, mask)

    losses = torch.zeros(recipe.epochs, len(networks), dtype=torch.float64)
    with products.unchecked():
        for group in stacks.groups(networks):
            losses[:, group] = _fit_group(
                [networks[i] for i in group],
                split,
                recipe,
                [masks[i] for i in group],
                [seeds[i] for i in group],
                bits,
                group,
                observe,
            )
    for network, mask in zip(networks, masks, strict=True):
        check_masks(network, mask)
    return losses


def _fit_group(
    networks: list[nn.Module],
    split: Split,
    recipe: Recipe,
    masks: list[Masks],
    seeds: list[int],
    bits: int | None,
    members: list[int],
    observe: Observer | None,
) -> Tensor:
    """Train one group; `members` are the networks' positions, for the error message."""
    kind = models.Stack if stacks.stackable(networks[0]) else models.Single
    model = kind(networks, masks, bits)
    for network in networks:
        network.train()
    optimiser = Optimiser(model, recipe)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    augment = _augmented(recipe, seeds)
    examples = len(split)
    starts = range(0, examples, recipe.batch_size)
    history = torch.zeros(recipe.epochs, len(networks), dtype=torch.float64)

    # Dropout draws from the global generator: seed it for this group, and restore it afterwards.
    devices = [split.inputs.device] if split.inputs.is_cuda else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seeds[0])
        for epoch in range(recipe.epochs):
            orders = [torch.randperm(examples, generator=generator) for generator in generators]
            order = torch.stack(orders).to(split.targets.device)
            losses = torch.zeros_like(order, dtype=split.inputs.dtype)
            for step, start in enumerate(starts):
                batch = order[:, start : start + recipe.batch_size]
                inputs, targets = _take(split, batch)
                inputs = augment(inputs)
                losses[:, start : start + recipe.batch_size] = model.differentiate(inputs, targets)
                midpoint = epoch + (step + 0.5) / len(starts)
                optimiser.step(learning_rate(recipe, midpoint))
            history[epoch] = losses.double().mean(1)
            _check_finite(history[epoch], model.flat, members, epoch + 1, split)
            if isinstance(observe, StackObserver) and kind is models.Stack:
                observe.stacked(epoch + 1, networks, model.tensors)
            elif observe is not None:
                model.write_back()
                for network in networks:
                    network.eval()
                observe(epoch + 1, networks)
                for network in networks:
                    network.train()
    model.write_back()
    for network in networks:
        if recipe.batch_norm == "re_estimate":
            re_estimate(network, split, recipe.batch_size, bits)
        network.eval()
    return history


def _augmented(recipe: Recipe, seeds: Sequence[int]) -> Callable[[Tensor], Tensor]:
    """Return a function that augments a batch (networks, examples, ...) as the recipe says.

    Each network has its own generator.
    """
    if recipe.augmentation == "none":
        return lambda inputs: inputs
    # Separate generators, so that the data order is the same with and without augmentation.
    generators = [
        torch.Generator().manual_seed(seeding.derive(seed, "augmentation")) for seed in seeds
    ]
    return lambda inputs: torch.stack(
        [
            augmentation.crop_flip(images, generator)
            for images, generator in zip(inputs, generators, strict=True)
        ]
    )


def _take(split: Split, batch: Tensor) -> tuple[Tensor, Tensor]:
    """Inputs (networks, examples, ...) and targets (networks, examples) at the indices `batch`."""
    # index_select copies whole examples, in half the time that indexing with a matrix takes.
    chosen = batch.flatten()
    inputs = split.inputs.index_select(0, chosen)
    targets = split.targets.index_select(0, chosen)
    return inputs.view(*batch.shape, *inputs.shape[1:]), targets.view_as(batch)


def _check_finite(
    losses: Tensor, flat: Tensor, members: list[int], epoch: int, split: Split
) -> None:
    # As in `all_finite`: a sum is one pass, and only where it overflows is each number looked at.
    finite = losses.isfinite() & flat.sum(1).isfinite().to(losses.device)
    if not bool(finite.all()):
        finite = losses.isfinite() & flat.isfinite().all(1).to(losses.device)
    if not bool(finite.all()):
        position = int((~finite).nonzero()[0])
        detail = f" (loss {float(losses[position]):g})"
        if not all_finite(split.inputs):
            detail += ": some inputs are not finite numbers (nan or inf)"
        raise DivergenceError(members[position], epoch, detail)


def clones(networks: Sequence[nn.Module]) -> list[nn.Module]:
    """Independent copies, to be trained without changing the originals.

    Raises:
        UnsupportedNetworkError: a network that cannot be trained, as it is no chain.
    """
    for network in networks:
        chains.read(network)  # a copy has lost hooks on gradients
    return [chains.duplicate(network) for network in networks]
