"""Absolute value: small weights, and neurons with small incoming weights, go first."""

import torch
from torch import Tensor, nn

from minified.networks import chains

RECORDS = {
    "magnitude": {
        "levels": ["parameter", "neuron"],
        "title": "magnitude",
        "look": ["#0072B2", "o"],
        "data_free": True,
    },
}


def magnitude(
    level: str, network: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
) -> dict[str, Tensor]:
    """abs(w) (Han et al. 2015, arXiv 1506.02626); for a neuron, the mean of abs(w) over its
    incoming weights (Li et al. 2017, arXiv 1608.08710).
    """
    if level == "parameter":
        return {
            name: weight.detach().abs().double()
            for name, weight in chains.prunable(network).items()
        }
    return {
        layer.name: layer.module.weight.detach().abs().double().flatten(1).mean(1)
        for layer in chains.read(network).hidden
    }
