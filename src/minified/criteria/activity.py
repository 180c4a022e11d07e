"""How often a neuron is active: neurons that barely ever are go first, or those that mostly are.

Hu et al. 2016 (arXiv 1607.03250) remove neurons with a high percentage of zeros. A related paper of
2020 calls neurons that are rarely active hypo, and those that mostly are hyper.
"""

import torch
from torch import Tensor, nn

from minified.networks import chains

RECORDS = {
    "activity": {
        "levels": ["neuron"],
        "title": "activity (hypo first)",
        "short": "activity (hypo)",
        "look": ["#08306B", "<"],
        "options": {"threshold": {"default": 0.0, "at_least": 0.0}},
        "extension": True,
    },
    "activity_hyper": {
        "levels": ["neuron"],
        "title": "activity (hyper first)",
        "short": "activity (hyper)",
        "look": ["#8C510A", ">"],
        "options": {"threshold": {"default": 0.0, "at_least": 0.0}},
        "extension": True,
    },
}

# Examples per chunk, so that memory does not grow with the data set.
CHUNK = 4096


@torch.no_grad()
def activity(
    level: str,
    network: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    generator: torch.Generator,
    *,
    threshold: float,
) -> dict[str, Tensor]:
    """The fraction of examples (and positions) at which a neuron is active, float64 in [0, 1].

    Active: the absolute value of its gate's output, after its own batch normalisation and
    activation and before pooling, is above `threshold`. The default, 0, suits ReLU. Activations
    that are almost never exactly 0 (leaky ReLU and all smooth ones) make every neuron active by
    that rule, all scores equal and their order the index: give them a higher threshold.
    """
    chain = chains.read(chains.frozen(network))
    active = {
        layer.name: torch.zeros(layer.neurons, dtype=torch.float64, device=inputs.device)
        for layer in chain.hidden
    }
    events: dict[str, int] = {}
    for some in inputs.split(chain.batch(inputs, CHUNK)):
        output, start = some, 0
        for layer in chain.hidden:
            output = chain.run(output, start, layer.gate + 1)
            start = layer.gate + 1
            values = output.reshape(*output.shape[:2], -1)  # (n, neurons, positions)
            # Counts, divided once at the end: neurons that are active equally often are ties.
            counted = (values.abs() > threshold).sum((0, 2)).double()
            # A NaN is neither active nor not: `score` then refuses the network.
            counted[values.isnan().any(2).any(0)] = torch.nan
            active[layer.name] += counted
            events[layer.name] = len(inputs) * values.shape[2]
    return {name: count / events[name] for name, count in active.items()}


def activity_hyper(
    level: str,
    network: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    generator: torch.Generator,
    *,
    threshold: float,
) -> dict[str, Tensor]:
    """Minus the activity: the neurons that are active most often go first."""
    scores = activity(level, network, inputs, targets, generator, threshold=threshold)
    return {name: -fraction for name, fraction in scores.items()}
