"""What a replicate's bits may depend on while it trains: its seed, and not its company."""

import copy
import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from learners import (
    STACKED,
    Network,
    every_kind,
    half_masks,
    recipe,
    same_bits,
    some,
    state,
)
from minified import evaluation, networks
from minified.data import Split
from minified.foundations import arithmetic
from minified.networks.kinds import KINDS as LAYERS
from minified.networks.kinds import Kind
from minified.training import fit


@every_kind
def test_the_same_seeds_give_the_same_bits(kind: str) -> None:
    once, split = some(kind)
    again = copy.deepcopy(once)
    torch.manual_seed(1)
    histories = [fit(once, split, recipe())]
    torch.manual_seed(2)
    histories.append(fit(again, split, recipe()))
    assert torch.equal(*histories)
    assert all(same_bits(state(a), state(b)) for a, b in zip(once, again, strict=True))


@every_kind
def test_another_seed_trains_another_network(kind: str) -> None:
    one, split = some(kind, 1)
    other = copy.deepcopy(one)
    fit(one, split, recipe(), seeds=[0])
    fit(other, split, recipe(), seeds=[1])
    assert not same_bits(state(one[0]), state(other[0]))


@pytest.mark.parametrize("seed", [0, 1])
def test_dropout_follows_from_the_seed_of_its_own_network(seed: int) -> None:
    networks_, split = some("dropout", 2)
    alone = copy.deepcopy(networks_[seed])
    fit(networks_, split, recipe(), seeds=[0, 1])
    fit([alone], split, recipe(), seeds=[seed])
    assert same_bits(state(alone), state(networks_[seed]))


@every_kind
def test_training_leaves_the_global_generator_untouched(kind: str) -> None:
    trained, split = some(kind)
    before = torch.get_rng_state()
    fit(trained, split, recipe())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.fixture(scope="module", params=["portable", pytest.param("fast", marks=pytest.mark.slow)])
def pipeline_arithmetic(request: pytest.FixtureRequest) -> Iterator[ProcessPoolExecutor]:
    """A process with the vector width that `minified` sets, before torch is imported."""
    with (
        pytest.MonkeyPatch.context() as environment,
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process,
    ):
        environment.setattr(os, "environ", os.environ.copy())
        arithmetic.pin(1, request.param)
        pinned = dict(os.environ)
        environment.undo()
        for variable, value in pinned.items():
            environment.setenv(variable, value)
        yield process


def replicates_that_depend_on_company(
    widths: Sequence[int], activation: str, options: dict[str, Any], bits: int | None
) -> list[tuple[list[int], int]]:
    """(companions, replicate) whose weights or losses differ from those trained all five."""
    inputs, *hidden, classes = widths
    generator = torch.Generator().manual_seed(0)
    split = Split(
        torch.randn(45, inputs, generator=generator),
        torch.randint(classes, (45,), generator=generator),
    )
    start = []
    for seed in range(5):
        network: Network = networks.build("mlp", (inputs,), classes, widths=hidden)
        for i in range(1, len(network), 2):
            network[i] = getattr(nn, activation)()
        start.append(networks.initialise(network, seed))

    def train(members: list[int]) -> dict[int, list[Tensor]]:
        trained = [copy.deepcopy(start[i]) for i in members]
        losses = fit(trained, split, recipe(epochs=6, **options), seeds=members, bits=bits)
        return {
            i: [*network.parameters(), losses[:, k]]
            for k, (i, network) in enumerate(zip(members, trained, strict=True))
        }

    five = train([0, 1, 2, 3, 4])
    return [
        (members, i)
        for members in ([0], [4], [0, 1], [3, 4], [0, 1, 2], [2, 3, 4])
        for i, found in train(members).items()
        if not all(torch.equal(a, b) for a, b in zip(found, five[i], strict=True))
    ]


def stacked_activation(entry: Kind) -> bool:
    return entry.role == "activation" and entry.stacks


# Every activation that trains in a stack, and two that train alone.
SHAPES = [
    *[((64, 300, 100, 10), "ReLU"), ((64, 100, 50, 10), "ReLU")],
    *[((5, 7, 3), kind.__name__) for kind, entry in LAYERS.items() if stacked_activation(entry)],
    *[((5, 7, 3), "Tanh"), ((5, 7, 3), "Sigmoid")],
]


@pytest.mark.parametrize(("widths", "activation"), SHAPES)
@pytest.mark.parametrize(
    ("options", "bits"),
    [
        ({"optimiser": "adam", "weight_decay": 0.001}, None),
        ({"optimiser": "sgd"}, None),
        ({"optimiser": "adam"}, 2),
    ],
    ids=["adam", "sgd", "quantization-aware"],
)
def test_a_replicate_is_the_same_to_the_bit_however_many_train_beside_it(
    pipeline_arithmetic: ProcessPoolExecutor,
    widths: Sequence[int],
    activation: str,
    options: dict[str, Any],
    bits: int | None,
) -> None:
    differing = pipeline_arithmetic.submit(
        replicates_that_depend_on_company, widths, activation, options, bits
    )
    assert differing.result() == []


# Observers


@every_kind
@pytest.mark.parametrize("bits", [None, 3])
def test_an_observer_sees_the_weights_of_every_epoch_and_changes_no_bit(
    kind: str, bits: int | None
) -> None:
    watched, split = some(kind)
    unwatched, start = copy.deepcopy(watched), copy.deepcopy(watched)
    masks = [half_masks(network, seed) for seed, network in enumerate(watched)]
    constant = recipe(schedule="constant")
    seen: dict[int, list[Mapping[str, Tensor]]] = {1: [], 2: [], 3: []}
    calls = []

    def observe(epoch: int, networks: Sequence[nn.Module]) -> None:
        calls.append(epoch)
        for network in networks:
            assert not any(module.training for module in network.modules())
            evaluation.performance(network, split)
            seen[epoch].append(state(network))

    losses = fit(watched, split, constant, masks, bits=bits, observe=observe)
    assert torch.equal(losses, fit(unwatched, split, constant, masks, bits=bits))
    for one, other, last in zip(watched, unwatched, seen[3], strict=True):
        assert same_bits(state(one), state(other))
        assert same_bits(last, state(one))
        assert not one.training
    # Networks that train together are seen together, epoch by epoch.
    assert calls == ([1, 2, 3] if kind in STACKED else [1, 2, 3] * 3)

    for epoch in (1, 2):
        earlier = copy.deepcopy(start)
        fit(earlier, split, constant.model_copy(update={"epochs": epoch}), masks, bits=bits)
        for network, then in zip(earlier, seen[epoch], strict=True):
            assert same_bits(then, state(network))
