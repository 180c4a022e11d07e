"""Masks: which weights of a network were removed, and checks that they stay zero.

A mask is a bool tensor of its weight's shape, True = stays: `{"0.weight": mask}`.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from minified.foundations.errors import MaskError
from minified.networks import chains

Masks = Mapping[str, Tensor]


@torch.no_grad()
def apply_masks(network: nn.Module, masks: Masks) -> None:
    """Set the removed weights of `network` to zero, in place."""
    check_mask_shapes(network, masks)
    weights = chains.prunable(network)
    for name, mask in masks.items():
        weights[name].masked_fill_(~mask.to(weights[name].device), 0.0)


def check_mask_shapes(network: nn.Module, masks: Masks) -> None:
    """Raise MaskError, naming the mask, if one is not a bool tensor of its weight's shape."""
    weights = chains.prunable(network)
    for name, mask in masks.items():
        if name not in weights or weights[name].shape != mask.shape:
            raise MaskError(f"mask {name} {tuple(mask.shape)} fits no weight of the network")
        if mask.dtype != torch.bool:
            raise MaskError(f"mask {name}: must be bool (True = stays), not {mask.dtype}")


def check_masks(network: nn.Module, masks: Masks) -> None:
    """Raise MaskError, naming the layer, if a removed weight of `network` is not zero."""
    weights = chains.prunable(network)
    for name, mask in masks.items():
        wrong = int(weights[name].detach()[~mask.to(weights[name].device)].count_nonzero())
        if wrong:
            raise MaskError(f"{name}: {wrong} removed weights are not zero after training")
