"""The arguments of `fit`, checked before any network is changed.

Networks that train together and networks that train alone are checked in the same way, so that
they are refused for the same reasons.
"""

from collections.abc import Iterable
from typing import Any

from torch import nn

from minified.data.dataset import check_split
from minified.foundations import arguments
from minified.foundations.errors import ArgumentError
from minified.networks import chains, examples
from minified.training import recipe as recipes
from minified.training.batch_norm import check_last_batch
from minified.training.masks import Masks, check_changeable, check_mask_shapes


def check(
    networks: Iterable[nn.Module],
    split: Any,
    recipe: Any,
    masks: Iterable[Masks] | None,
    seeds: Iterable[int] | None,
    bits: int | None,
    observe: object,
) -> tuple[list[nn.Module], list[Masks], list[int]]:
    """The networks, and the masks and the seed of each; the arguments are those of `fit`.

    Raises:
        ArgumentError, MaskError, UnsupportedNetworkError: what is wrong, by name.
    """
    networks = examples.listed("networks", networks)
    seeds = list(range(len(networks))) if seeds is None else examples.listed("seeds", seeds)
    masks = [{} for _ in networks] if masks is None else examples.listed("masks", masks)
    if not len(networks) == len(seeds) == len(masks):
        raise ArgumentError(
            f"{len(networks)} networks, {len(masks)} masks, {len(seeds)} seeds: counts must match"
        )
    seeds = [arguments.seed(seed, f"seeds[{i}]") for i, seed in enumerate(seeds)]
    if bits is not None:
        arguments.bits(bits)
    if observe is not None and not callable(observe):
        raise ArgumentError(f"observe: must be a function, not {arguments.shown(observe)}")
    recipes.check(recipe)
    check_split(split)
    owners: dict[int, int] = {}
    for i, network in enumerate(networks):
        chain = chains.read(network)
        # Not their values: training itself reports what is not finite, by network and epoch.
        shapes = examples.check(chain, split.inputs, split.targets, finite=False, weights=False)
        check_last_batch(chain, shapes, len(split), recipe.batch_size)
        check_mask_shapes(network, masks[i])
        check_changeable(network)
        for name, tensor in chain.tensors():
            other = owners.setdefault(tensor.data_ptr() or id(tensor), i)
            if other != i:
                raise ArgumentError(
                    f"networks: {i} and {other} share {name}, or are one; give each its own"
                )
    if recipe.augmentation == "crop_flip" and split.inputs.dim() != 4:
        raise ArgumentError(
            "recipe.augmentation: crop_flip needs images (N, channels, height, width), not inputs"
            f" {tuple(split.inputs.shape)}"
        )
    return networks, masks, seeds
