"""Masks: which weights of a network were removed, and checks that they stay zero.

A mask is a bool tensor of its weight's shape, True = stays: `{"0.weight": mask}`.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from minified.foundations import arguments
from minified.foundations.errors import ArgumentError, MaskError
from minified.networks import chains, examples

Masks = Mapping[str, Tensor]


@torch.no_grad()
def apply_masks(network: nn.Module, masks: Masks) -> None:
    """Set the removed weights of `network` to zero, in place."""
    check_mask_shapes(network, masks)
    check_changeable(network)
    weights = chains.prunable(network)
    for name, mask in masks.items():
        weights[name].masked_fill_(~mask.to(weights[name].device), 0.0)


def check_mask_shapes(network: nn.Module, masks: Masks) -> None:
    """Raise MaskError, naming the mask, if one is not a bool tensor of its weight's shape."""
    weights = chains.prunable(network)
    if not isinstance(masks, Mapping):
        raise MaskError(f"masks: must be {{'0.weight': bool tensor}}, not {arguments.shown(masks)}")
    for name, mask in masks.items():
        if not examples.is_ordinary(mask):
            raise MaskError(f"mask {name}: must be a bool tensor, not {arguments.shown(mask)}")
        if name not in weights or weights[name].shape != mask.shape:
            known = [f"{name} {tuple(weights[name].shape)}"] if name in weights else [*weights]
            more = ", ..." if len(known) > 8 else ""
            raise MaskError(
                f"mask {name} {tuple(mask.shape)} fits no weight of the network, which has"
                f" {', '.join(known[:8])}{more}"
            )
        if mask.dtype != torch.bool:
            raise MaskError(f"mask {name}: must be bool (True = stays), not {mask.dtype}")


def check_changeable(network: nn.Module) -> None:
    """Raise ArgumentError if torch would not let the weights of `network` be changed."""
    for name, tensor in chains.read(network).tensors():
        if tensor.is_inference():
            raise ArgumentError(
                f"network: {name} was made in torch.inference_mode, and cannot be changed; use"
                " copy.deepcopy(network) outside of it"
            )


def check_masks(network: nn.Module, masks: Masks) -> None:
    """Raise MaskError, naming the layer, if a removed weight of `network` is not zero."""
    check_mask_shapes(network, masks)
    weights = chains.prunable(network)
    for name, mask in masks.items():
        wrong = int(weights[name].detach()[~mask.to(weights[name].device)].count_nonzero())
        if wrong:
            raise MaskError(f"{name}: {wrong} removed weights are not zero after training")
