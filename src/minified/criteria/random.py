"""Random selection: the control that every other criterion has to beat."""

import torch
from torch import Tensor, nn

from minified.networks import chains

RECORDS = {
    "random": {
        "levels": ["parameter", "neuron"],
        "title": "random",
        "look": ["#6e6e6e", "x"],
        "data_free": True,
        "control": True,
    },
}


def random(
    level: str, network: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
) -> dict[str, Tensor]:
    """Uniform scores in [0, 1) from `generator`."""
    return {
        name: torch.rand(shape, generator=generator, dtype=torch.float64)
        for name, shape in chains.unit_shapes(network, level).items()
    }
