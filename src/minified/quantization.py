"""Uniform affine quantization of weights, per output channel; biases stay fp32.

`quantize(network, bits)` rounds a trained network to the b-bit grid; `straight_through` is the
same rounding inside a forward pass, with the gradient of the identity (Bengio et al. 2013,
arXiv 1308.3432), which is what quantization-aware training uses.
"""

import copy

import torch
from torch import Tensor, nn

from minified.networks import chains


def grid(weight: Tensor, bits: int, channel_dims: int = 1) -> tuple[Tensor, Tensor]:
    """Return scale and zero point of each output channel.

    lo = min(w, 0), hi = max(w, 0), scale = (hi - lo) / (2^bits - 1), zero point =
    round(-lo / scale) in [0, 2^bits - 1]; an all-zero channel has scale 1. Halves round to even.

    Args:
        weight: (out, in, ...), or with more leading dimensions.
        channel_dims: how many leading dimensions have separate ranges: 1 for one network's weight,
            2 for a stack of networks.
    """
    flat = weight.flatten(channel_dims)
    lo = flat.amin(-1).clamp(max=0.0)
    hi = flat.amax(-1).clamp(min=0.0)
    levels = 2**bits - 1
    scale = (hi - lo) / levels
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    zero_point = torch.round(-lo / scale).clamp(0, levels)
    shape = weight.shape[:channel_dims] + (1,) * (weight.dim() - channel_dims)
    return scale.view(shape), zero_point.view(shape)


def rounded(weight: Tensor, bits: int, channel_dims: int = 1) -> Tensor:
    """The nearest points of each channel's grid: scale * (q - zero point), q in [0, 2^bits - 1]."""
    scale, zero_point = grid(weight, bits, channel_dims)
    q = (torch.round(weight / scale) + zero_point).clamp(0, 2**bits - 1)
    return (q - zero_point) * scale


def straight_through(weight: Tensor, bits: int, channel_dims: int = 1) -> Tensor:
    """`rounded` in the forward pass, the identity in the backward pass.

    The range is that of the current weights.
    """
    return weight + (rounded(weight.detach(), bits, channel_dims) - weight).detach()


@torch.no_grad()
def quantize(network: nn.Module, bits: int) -> nn.Module:
    """A copy of `network` whose Linear and Conv2d weights are rounded to the `bits`-bit grid."""
    quantized = copy.deepcopy(network)
    for weight in chains.prunable(quantized).values():
        weight.copy_(rounded(weight, bits))
    return quantized
