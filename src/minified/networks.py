"""Networks by name: plain `nn.Sequential` chains, built for an input shape and a class count.

`build("mlp", (64,), 10, widths=[300, 100])` gives 64-300-100-10 with ReLU. `initialise` draws
its first weights from a seed, without touching the global generator.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from minified.errors import UnsupportedNetworkError


def mlp(input_shape: Sequence[int], classes: int, widths: Sequence[int] = (300, 100)) -> nn.Module:
    """A multilayer perceptron with ReLU; inputs of more than one dimension are flattened first.

    With 784 inputs and the default widths it is LeNet-300-100 (LeCun et al. 1998).
    """
    modules: list[nn.Module] = [nn.Flatten()] if len(input_shape) > 1 else []
    features = math.prod(input_shape)
    for width in widths:
        modules += [nn.Linear(features, width), nn.ReLU()]
        features = width
    return nn.Sequential(*modules, nn.Linear(features, classes))


NETWORKS: dict[str, Callable[..., nn.Module]] = {"mlp": mlp}


def build(name: str, input_shape: Sequence[int], classes: int, **options: Any) -> nn.Module:
    """Build the network `name` for inputs of `input_shape` (without the batch) and `classes`.

    Its weights are PyTorch's default draw; call `initialise` for seeded ones.
    """
    if name not in NETWORKS:
        raise UnsupportedNetworkError(f"unknown network {name!r}; known are {sorted(NETWORKS)}")
    return NETWORKS[name](input_shape, classes, **options)


def initialise(network: nn.Module, seed: int) -> nn.Module:
    """Draw all parameters of `network` anew, by each module's own default, from `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in network.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
    return network
