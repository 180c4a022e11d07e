"""The quantization grid against its definition, one weight at a time."""

import copy
from collections.abc import Callable

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from minified.quantization import grid, quantize, rounded, straight_through

bit_widths = st.sampled_from([1, 2, 3, 4, 6, 8])
magnitudes = st.floats(1e-6, 1e3)
# float64, so that the oracle's arithmetic is the library's to the last bit.
weights = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 4), st.integers(1, 12)),
    elements=st.just(0.0) | magnitudes | magnitudes.map(lambda x: -x),
).map(torch.from_numpy)


def scale_and_exact_zero(channel: list[float], bits: int) -> tuple[float, float]:
    """The channel's scale, and -lo / scale before it is rounded to the zero point."""
    lo, hi = min(*channel, 0.0), max(*channel, 0.0)
    scale = (hi - lo) / (2**bits - 1) if hi > lo else 1.0
    return scale, -lo / scale


def rounded_by_hand(channel: list[float], bits: int) -> list[float]:
    levels = 2**bits - 1
    scale, exact_zero = scale_and_exact_zero(channel, bits)
    zero_point = min(max(round(exact_zero), 0), levels)
    q = [min(max(round(w / scale) + zero_point, 0), levels) for w in channel]
    return [(step - zero_point) * scale for step in q]


@settings(deadline=None)
@given(weight=weights, bits=bit_widths)
def test_rounding_equals_the_definition_weight_by_weight(weight: Tensor, bits: int) -> None:
    expected = [rounded_by_hand(channel, bits) for channel in weight.tolist()]
    assert rounded(weight, bits).tolist() == expected


@settings(deadline=None)
@given(weight=weights, bits=bit_widths)
def test_a_channel_has_at_most_two_to_the_bits_values(weight: Tensor, bits: int) -> None:
    assert max(len(channel.unique()) for channel in rounded(weight, bits)) <= 2**bits


@settings(deadline=None)
@given(weight=weights, bits=bit_widths)
def test_zero_is_exactly_on_the_grid(weight: Tensor, bits: int) -> None:
    scale, zero_point = grid(weight, bits)
    assert scale.shape == zero_point.shape == (len(weight), 1)
    assert bool((zero_point == zero_point.round()).all())
    assert bool(((zero_point >= 0) & (zero_point <= 2**bits - 1)).all())
    assert bool((rounded(weight, bits)[weight == 0] == 0).all())


@settings(deadline=None)
@given(weight=weights, bits=bit_widths)
def test_no_weight_moves_by_more_than_half_a_step(weight: Tensor, bits: int) -> None:
    # Rounding the zero point shifts the grid by up to half a step, but only a weight that is then
    # clipped feels it, instead of its own rounding: the two never add up.
    scale, _ = grid(weight, bits)
    assert bool(((rounded(weight, bits) - weight).abs() <= scale * (0.5 + 1e-9)).all())


@settings(deadline=None)
@given(weight=weights, bits=bit_widths)
def test_rounding_twice_is_rounding_once(weight: Tensor, bits: int) -> None:
    # Where the exact zero is half-way between two steps, rounding to even can leave the last
    # step unused, and the second grid is narrower.
    for channel in weight.tolist():
        assume(abs(scale_and_exact_zero(channel, bits)[1] % 1 - 0.5) > 1e-6)
    once = rounded(weight, bits)
    torch.testing.assert_close(rounded(once, bits), once, rtol=1e-9, atol=0)


@pytest.mark.parametrize("bits", [1, 2, 8])
def test_a_channel_of_zeros_has_scale_one_and_stays_zero(bits: int) -> None:
    weight = torch.tensor([[0.0, 0.0], [1.0, -2.0]])
    assert grid(weight, bits)[0][0].item() == 1.0
    assert rounded(weight, bits)[0].tolist() == [0.0, 0.0]


def test_an_eight_bit_channel_uses_the_whole_range() -> None:
    channel = rounded(torch.linspace(-1, 2, 1000).unsqueeze(0), 8)[0]
    assert len(channel.unique()) == 256


@settings(deadline=None)
@given(weight=weights, bits=bit_widths)
def test_straight_through_rounds_forward_and_is_the_identity_backward(
    weight: Tensor, bits: int
) -> None:
    leaf = weight.clone().requires_grad_()
    value = straight_through(leaf, bits)
    torch.testing.assert_close(value.detach(), rounded(weight, bits), rtol=1e-9, atol=1e-12)
    upstream = torch.arange(weight.numel(), dtype=weight.dtype).view_as(weight)
    (gradient,) = torch.autograd.grad(value, leaf, upstream)
    assert torch.equal(gradient, upstream)


@pytest.mark.parametrize("shape", [(4, 6), (4, 3, 2, 2)], ids=["linear", "conv"])
@pytest.mark.parametrize("function", [rounded, straight_through])
def test_in_a_stack_each_network_is_rounded_as_if_alone(
    function: Callable[..., Tensor], shape: tuple[int, ...]
) -> None:
    stack = torch.randn(5, *shape, generator=torch.Generator().manual_seed(0))
    together = function(stack, 3, channel_dims=2)
    assert torch.equal(together, torch.stack([function(weight, 3) for weight in stack]))


def test_only_weights_of_linear_and_convolutional_layers_are_rounded() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(3, 2)
    )
    before = copy.deepcopy(network.state_dict())
    after = quantize(network, 2).state_dict()
    for name, tensor in before.items():
        assert torch.equal(network.state_dict()[name], tensor), "the original changed"
        if name in ("0.weight", "4.weight"):
            assert torch.equal(after[name], rounded(tensor, 2))
            assert not torch.equal(after[name], tensor)
        else:
            assert torch.equal(after[name], tensor)
