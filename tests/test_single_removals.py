"""Measured damage: the loss without one unit, against the whole network run from its inputs."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from learners import KINDS, clusters, conv, every_kind, mlp, same_bits, state
from minified import evaluation
from minified.data import Split
from minified.foundations.errors import ArgumentError
from minified.jobs.damage import Removals
from minified.networks import chains

Remover = Callable[[nn.Module, str, int], None]


def zeroed(network: nn.Module, name: str, unit: int) -> None:
    weights: list[Tensor] = [p for p in network.parameters() if p.dim() > 1]
    weights[int(name)].view(-1)[unit] = 0.0


def scattered(network: nn.Module, name: str, unit: int) -> None:
    """Change a tensor at either end of the network, and any buffers."""
    tensors = [*network.state_dict().values()]
    for tensor in tensors if unit % 2 else (tensors[0], tensors[-1]):
        if tensor.is_floating_point():
            tensor.view(-1)[0] += 0.01 * unit


def nothing(network: nn.Module, name: str, unit: int) -> None:
    pass


def run_again(network: nn.Module, split: Split, remove: Remover, name: str, unit: int) -> float:
    twin = copy.deepcopy(network).eval().requires_grad_(False)
    remove(twin, name, unit)
    return evaluation.loss(twin, split)


@every_kind
@pytest.mark.parametrize("remove", [zeroed, scattered, nothing])
@pytest.mark.parametrize("rows", [7, 8192])
@pytest.mark.parametrize("kept", [True, False])
def test_the_loss_without_a_unit_is_that_of_a_copy_without_it(
    kind: str, remove: Remover, rows: int, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    build, shape = KINDS[kind]
    network, split = build(0).eval(), clusters(shape)
    before = state(network)
    monkeypatch.setattr(evaluation, "BATCH", rows)
    removals = Removals(network, split, remove)
    if not kept:  # as where a layer's outputs are large: what the next step reads is not stored
        monkeypatch.setattr(chains, "BATCH_BYTES", 0)
        monkeypatch.setattr(chains.Chain, "batch", lambda chain, inputs, most: most)
    layers = sum(p.dim() > 1 for p in network.parameters())
    # Layer by layer as in the job, back again, and one unit twice.
    order = [(str(i), unit) for i in [*range(layers), *range(layers), 0] for unit in (0, 3, 5, 5)]
    for name, unit in order:
        expected = run_again(network, split, remove, name, unit)
        assert removals.loss(name, unit) == expected
    assert same_bits(state(network), before)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("last", [True, False])
def test_a_removal_that_leaves_no_finite_weight_is_refused_by_the_name_of_the_tensor(
    value: float, last: bool
) -> None:
    def spoilt(network: nn.Module, name: str, unit: int) -> None:
        [*network.parameters()][-1 if last else 0].view(-1)[0] = value

    for network, shape in ((mlp(0), (6,)), (conv(0), (1, 4, 4))):
        removals = Removals(network.eval(), clusters(shape), spoilt)
        with pytest.raises(ArgumentError, match="has numbers that are not finite"):
            removals.loss("0", 0)
