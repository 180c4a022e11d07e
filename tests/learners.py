"""Small networks, one for each way to be trained, and examples that they learn in a few epochs."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from minified import networks
from minified.data import Split
from minified.study import Recipe

torch.set_num_threads(1)

Network = Any  # nn.Sequential: torch's types do not know what its modules carry
Masks = dict[str, Tensor]


def recipe(**options: Any) -> Recipe:
    return Recipe(**{"learning_rate": 0.01, "epochs": 3, "batch_size": 16, **options})


def clusters(shape: Sequence[int] = (6,), examples: int = 50, seed: int = 0) -> Split:
    """Three noisy clusters of points or images."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(examples) % 3
    centres = torch.randn(3, *shape, generator=generator)
    return Split(centres[targets] + torch.randn(examples, *shape, generator=generator), targets)


def mlp(seed: int, widths: Sequence[int] = (8, 5)) -> Network:
    return networks.initialise(networks.build("mlp", (6,), 3, widths=widths), seed)


def conv(seed: int) -> Network:
    modules = [
        nn.Conv2d(1, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 3),
    ]
    return networks.initialise(nn.Sequential(*modules), seed)


def dropout_mlp(seed: int) -> Network:
    modules = [nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3)]
    return networks.initialise(nn.Sequential(*modules), seed)


def in_place_mlp(seed: int) -> Network:
    modules = [nn.Linear(6, 8), nn.ReLU(inplace=True), nn.Linear(8, 5), nn.LeakyReLU(inplace=True)]
    return networks.initialise(nn.Sequential(*modules, nn.Linear(5, 3), nn.Flatten()), seed)


def wrapped_mlp(seed: int) -> Network:
    """Modules that do nothing before the first layer, between two and after the last."""
    first = [nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(6, 8, bias=False), nn.Identity()]
    last = [nn.ReLU6(), nn.Flatten(), nn.Linear(8, 3), nn.Identity(), nn.Flatten()]
    return networks.initialise(nn.Sequential(*first, *last), seed)


KINDS: dict[str, tuple[Callable[[int], Network], tuple[int, ...]]] = {
    "mlp": (mlp, (6,)),
    "conv": (conv, (1, 4, 4)),
    "dropout": (dropout_mlp, (6,)),
    "in place": (in_place_mlp, (6,)),
    "wrapped": (wrapped_mlp, (6,)),
}
STACKED = ("mlp", "wrapped")
"""Those that are trained together; the others are trained one by one."""
every_kind = pytest.mark.parametrize("kind", KINDS)


def some(kind: str, count: int = 3) -> tuple[list[Network], Split]:
    build, shape = KINDS[kind]
    return [build(seed) for seed in range(count)], clusters(shape)


def half_masks(network: nn.Module, seed: int) -> Masks:
    """About half of every weight with more than one dimension removed."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(p.shape, generator=generator) < 0.5
        for name, p in network.named_parameters()
        if p.dim() > 1
    }


def state(network: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(network.state_dict())


def same_bits(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)
