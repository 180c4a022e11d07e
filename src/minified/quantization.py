"""Uniform affine quantization of weights, per output channel; biases stay fp32.

`quantize(network, bits)` rounds a trained network to the b-bit grid; `straight_through` is the
same rounding inside a forward pass, with the gradient of the identity (Bengio et al. 2013,
arXiv 1308.3432), which is what quantization-aware training uses.
"""

import torch
from torch import Tensor, nn

from minified.foundations import arguments
from minified.foundations.errors import ArgumentError
from minified.networks import chains, examples


def grid(weight: Tensor, bits: int, channel_dims: int = 1) -> tuple[Tensor, Tensor]:
    """Return scale and zero point of each output channel.

    lo = min(w, 0), hi = max(w, 0), scale = (hi - lo) / (2^bits - 1), zero point =
    round(-lo / scale) in [0, 2^bits - 1]; an all-zero channel has scale 1. Halves round to even.

    Args:
        weight: (out, in, ...), or with more leading dimensions.
        bits: 1 to 8.
        channel_dims: how many leading dimensions have separate ranges: 1 for one network's weight,
            2 for a stack of networks.

    Raises:
        ArgumentError: other bits, or a weight that is no such tensor of finite numbers.
    """
    bits = _checked(weight, bits, channel_dims)
    return _grid(weight, bits, channel_dims)


def _grid(weight: Tensor, bits: int, channel_dims: int) -> tuple[Tensor, Tensor]:
    flat = weight.flatten(channel_dims)
    lowest, highest = torch.aminmax(flat, dim=-1)
    lo, hi = lowest.clamp(max=0.0), highest.clamp(min=0.0)
    levels = 2**bits - 1
    scale = (hi - lo) / levels
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    zero_point = torch.round(-lo / scale).clamp(0, levels)
    shape = weight.shape[:channel_dims] + (1,) * (weight.dim() - channel_dims)
    return scale.view(shape), zero_point.view(shape)


def rounded(weight: Tensor, bits: int, channel_dims: int = 1) -> Tensor:
    """The nearest points of each channel's grid: scale * (q - zero point), q in [0, 2^bits - 1]."""
    bits = _checked(weight, bits, channel_dims)
    return nearest(weight, bits, channel_dims)


def nearest(weight: Tensor, bits: int, channel_dims: int = 1, out: Tensor | None = None) -> Tensor:
    """`rounded` for a training step, which checks no argument; written into `out`, if given."""
    scale, zero_point = _grid(weight, bits, channel_dims)
    # In place, because new memory for each of these steps takes longer than the step itself.
    q = torch.div(weight, scale, out=out).round_().add_(zero_point).clamp_(0, 2**bits - 1)
    return q.sub_(zero_point).mul_(scale)


def straight_through(weight: Tensor, bits: int, channel_dims: int = 1) -> Tensor:
    """`rounded` in the forward pass, the identity in the backward pass.

    The range is that of the current weights.
    """
    bits = _checked(weight, bits, channel_dims)
    return passed_through(weight, bits, channel_dims)


def passed_through(weight: Tensor, bits: int, channel_dims: int = 1) -> Tensor:
    """`straight_through` for a training step, which checks no argument."""
    return weight + (nearest(weight.detach(), bits, channel_dims) - weight).detach()


@torch.no_grad()
def quantize(network: nn.Module, bits: int) -> nn.Module:
    """A copy of `network` whose Linear and Conv2d weights are rounded to the `bits`-bit grid.

    Raises:
        ArgumentError: bits outside 1 to 8, or weights that are not finite.
        UnsupportedNetworkError: no chain, or weights that are not float32 or float64.
    """
    bits = arguments.bits(bits)
    if problem := examples.not_finite(chains.read(network).tensors()):
        raise ArgumentError(problem)
    quantized = chains.duplicate(network)
    chain = chains.read(quantized)
    for layer in chain.layers:
        weight = layer.module.weight
        examples.check_dtype(f"{layer.name}.weight", weight)
        weight.copy_(nearest(weight, bits))
    return quantized


def _checked(weight: object, bits: int, channel_dims: int) -> int:
    """The bits; ArgumentError if they, or `weight` channel by channel, cannot be rounded to."""
    bits = arguments.bits(bits)
    dims = arguments.whole("channel_dims", channel_dims, 1)
    shape = f"(out, in, ...) with more than {dims} dimensions"
    if (
        not examples.is_ordinary(weight)
        or weight.dtype not in examples.DTYPES
        or weight.dim() <= dims
        or weight.numel() == 0
    ):
        raise ArgumentError(
            f"weight: must be float32 or float64 {shape}, not {arguments.shown(weight)}"
        )
    if not examples.all_finite(weight.detach()):
        raise ArgumentError("weight: has numbers that are not finite (nan or inf)")
    return bits
