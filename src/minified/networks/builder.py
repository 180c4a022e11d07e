"""Networks by name: plain `nn.Sequential` chains, built for an input shape and a number of classes.

`build("mlp", (64,), 10, widths=[300, 100])` gives 64-300-100-10 with ReLU. The names are defined in
`minified.networks.architectures`. `initialise` draws a network's initial weights from a seed,
without touching the global generator.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from minified.foundations import arguments
from minified.foundations.errors import UnsupportedNetworkError
from minified.networks import alterations, architectures
from minified.networks.architectures import Convolution, Flatten, Linear, Plan, Pool


def build(name: str, input_shape: Sequence[int], classes: int, **options: Any) -> nn.Module:
    """Build the network `name` for inputs of `input_shape` (without the batch) and `classes`.

    Its weights have PyTorch's default initialisation; call `initialise` for seeded weights.

    Args:
        input_shape: whole numbers from 1. classes: at least 2. options: see `architectures`.

    Raises:
        UnsupportedNetworkError: an unknown name or option, or inputs that it cannot read.
        ArgumentError: another shape, number of classes or width.
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

    Raises:
        UnsupportedNetworkError: a parameter that no `reset_parameters` draws; names its module.
        AlteredNetworkError: a weight that a hook recomputes, so that drawing it would do nothing.
        ArgumentError: a seed that is no whole number from 0 to 2^63 - 1.
    """
    seed = arguments.seed(seed)
    if not isinstance(network, nn.Module):
        raise UnsupportedNetworkError(
            f"network: must be an nn.Module, not {arguments.shown(network)}"
        )
    alterations.check_recomputed(network)
    for name, module in network.named_modules():
        drawn = callable(getattr(module, "reset_parameters", None))
        for short, tensor in module._parameters.items():
            if tensor is not None and (tensor.is_meta or not drawn):
                problem = "is on the meta device" if tensor.is_meta else "has no reset_parameters"
                raise UnsupportedNetworkError(
                    f"{alterations.named(name, module)}: {problem}, so its {short} cannot be drawn"
                )
    parameter = next(network.parameters(), None)
    device = torch.device("cpu") if parameter is None else parameter.device
    network.cpu()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in network.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
    return network.to(device)
