"""Networks by name, and the seeds from which their weights are drawn."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from minified import chains, networks, seeds
from minified.errors import UnsupportedNetworkError


def test_an_mlp_of_flat_inputs_has_its_weights_at_even_positions() -> None:
    network = networks.build("mlp", (64,), 10, widths=[300, 100])
    assert {name: tuple(weight.shape) for name, weight in chains.prunable(network).items()} == {
        "0.weight": (300, 64),
        "2.weight": (100, 300),
        "4.weight": (10, 100),
    }
    assert network(torch.zeros(7, 64)).shape == (7, 10)


def test_an_mlp_of_images_flattens_them_first() -> None:
    network = networks.build("mlp", (1, 8, 8), 10, widths=[5])
    assert isinstance(network, nn.Sequential)
    assert [type(module) for module in network] == [nn.Flatten, nn.Linear, nn.ReLU, nn.Linear]
    assert list(chains.prunable(network)) == ["1.weight", "3.weight"]
    assert network(torch.zeros(7, 1, 8, 8)).shape == (7, 10)


def test_an_unknown_network_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(UnsupportedNetworkError, match=r"'transformer'.*mlp"):
        networks.build("transformer", (64,), 10)


def weights_from(seed: int) -> list[torch.Tensor]:
    network = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)
    )
    return [p.detach() for p in networks.initialise(network, seed).parameters()]


def test_initial_weights_follow_from_the_seed_alone() -> None:
    first = weights_from(1)
    torch.rand(3)  # moves the global generator
    assert all(torch.equal(a, b) for a, b in zip(first, weights_from(1), strict=True))
    assert not torch.equal(first[0], weights_from(2)[0])


def test_initialising_forgets_what_was_trained() -> None:
    network: Any = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 2))
    nn.init.constant_(network[0].weight, 9.0)
    network(torch.randn(5, 2))
    networks.initialise(network, 0)
    assert float(network[0].weight.detach().abs().max()) < 1.0
    assert network[1].running_mean.tolist() == [0.0, 0.0]


def test_initialising_leaves_the_global_generator_untouched() -> None:
    network = networks.build("mlp", (4,), 2, widths=[3])
    before = torch.get_rng_state()
    networks.initialise(network, 0)
    assert torch.equal(torch.get_rng_state(), before)


# Seeds. What they are must never change: every published row follows from them.

parts = st.integers(-(2**70), 2**70) | st.text(max_size=5)
names = st.lists(parts, max_size=4).map(tuple)


def test_a_seed_stays_what_it_was() -> None:
    assert seeds.derive(2306, "scratch", 3) == 933_565_632_103_245_477


@settings(deadline=None)
@given(name=names)
def test_a_seed_is_one_that_torch_accepts(name: tuple[int | str, ...]) -> None:
    assert 0 <= seeds.derive(*name) < 2**63
    torch.Generator().manual_seed(seeds.derive(*name))


@settings(deadline=None)
@given(pair=st.tuples(names, names).filter(lambda pair: pair[0] != pair[1]))
def test_another_name_is_another_seed(
    pair: tuple[tuple[int | str, ...], tuple[int | str, ...]],
) -> None:
    assert seeds.derive(*pair[0]) != seeds.derive(*pair[1])


@pytest.mark.parametrize(
    "other",
    [(2307, "scratch", 3), (2306, "rewind", 3), (2306, "scratch", 4), (2306, "scratch", "3")],
)
def test_every_part_of_a_name_counts(other: tuple[int | str, ...]) -> None:
    assert seeds.derive(*other) != seeds.derive(2306, "scratch", 3)
