"""Networks by name: plain `nn.Sequential` chains, built for an input shape and a number of classes.

`build("mlp", (64,), 10, widths=[300, 100])` gives 64-300-100-10 with ReLU. The names are defined in
`minified.networks.architectures`. `initialise` draws a network's initial weights from a seed,
without touching the global generator.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from minified.networks import architectures
from minified.networks.architectures import Convolution, Flatten, Linear, Plan, Pool


def build(name: str, input_shape: Sequence[int], classes: int, **options: Any) -> nn.Module:
    """Build the network `name` for inputs of `input_shape` (without the batch) and `classes`.

    Its weights have PyTorch's default initialisation; call `initialise` for seeded weights.
    """
    return assemble(architectures.plan(name, input_shape, classes, **options))


def assemble(plan: Plan) -> nn.Module:
    """Build the network that a plan describes."""
    modules: list[nn.Module] = []
    for layer in plan:
        match layer:
            case Flatten():
                modules.append(nn.Flatten())
            case Pool(size):
                modules.append(nn.MaxPool2d(size))
            case Linear(inputs, outputs, last):
                modules.append(nn.Linear(inputs, outputs))
                modules += [] if last else [nn.ReLU()]
            case Convolution(inputs, outputs, kernel, padding, normalised):
                modules.append(
                    nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=not normalised)
                )
                modules += [nn.BatchNorm2d(outputs)] if normalised else []
                modules.append(nn.ReLU())
    return nn.Sequential(*modules)


def initialise(network: nn.Module, seed: int) -> nn.Module:
    """Redraw all parameters of `network` from `seed`, by each module's default initialisation.

    They are drawn on the CPU, whatever device the network is on, so the values do not depend on it.
    """
    device = next(network.parameters()).device
    network.cpu()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in network.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
    return network.to(device)
