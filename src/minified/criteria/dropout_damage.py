"""Dropout-based damage estimation: drop neurons at random, and measure how the loss changes.

The paper's abstract names it; the estimator is ours. Every hidden neuron is dropped independently
with probability p, with a fresh mask per example and pass; kept activations are not rescaled. A
neuron's score is the mean excess loss over the (example, mask) pairs that dropped it, minus the
mean over those that kept it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minified.foundations.errors import ScoreError
from minified.networks import chains

RECORDS = {
    "dropout_damage": {
        "levels": ["neuron"],
        "title": "dropout damage",
        "look": ["#CC79A7", "P"],
        "options": {
            "probability": {"default": 0.1, "above": 0.0, "below": 1.0},
            "passes": {"default": 50, "at_least": 2},
        },
        "dropout": True,
    },
}

# Examples per chunk, so that memory does not grow with the data set.
CHUNK = 4096


def dropout_damage(
    level: str,
    network: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    generator: torch.Generator,
    *,
    probability: float,
    passes: int,
) -> dict[str, Tensor]:
    """The estimated damage of removing each neuron; see `damage_and_error`."""
    damage, _ = damage_and_error(
        network, inputs, targets, generator, probability=probability, passes=passes
    )
    return damage


@torch.no_grad()
def damage_and_error(
    network: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    generator: torch.Generator,
    *,
    probability: float = 0.1,
    passes: int = 50,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Each neuron's damage and its standard error, {layer: (neurons,)} float64.

    The error is over masks, for the given examples. Passes are independent draws of one mask per
    example, so it is computed from the spread of the (linearised) estimate between passes.

    Raises:
        ScoreError: a neuron that every mask kept or every mask dropped; says to raise `passes`.
    """
    if passes < 2:
        raise ScoreError("dropout_damage: passes must be at least 2, to estimate its own error")
    chain = chains.read(chains.frozen(network))
    names = [layer.name for layer in chain.hidden]
    sizes = [layer.neurons for layer in chain.hidden]
    # Per pass and neuron: how often it was dropped, and the excess loss summed over those pairs;
    # per pass, the excess loss summed over all pairs.
    dropped = torch.zeros(passes, sum(sizes), dtype=torch.float64)
    excess_dropped = torch.zeros_like(dropped)
    excess = torch.zeros(passes, 1, dtype=torch.float64)
    size = chain.batch(inputs, CHUNK)
    for x, y in zip(inputs.split(size), targets.split(size), strict=True):
        # No mask changes what the first hidden layer computes, so all passes share it.
        first = chain.run(x, stop=chain.hidden[0].gate + 1) if names else x
        whole = _losses(chain, first, y, None)
        for k in range(passes):
            drops = torch.rand(len(x), sum(sizes), generator=generator) < probability
            keep = (~drops).to(x).split(sizes, dim=1)
            change = (_losses(chain, first, y, keep) - whole).cpu()
            hit = drops.double()
            dropped[k] += hit.sum(0)
            excess_dropped[k] += change @ hit
            excess[k] += change.sum()

    pairs = float(passes * len(inputs))
    times = dropped.sum(0)
    if bool((times == 0).any()) or bool((times == pairs).any()):
        j = int(((times == 0) | (times == pairs)).nonzero()[0])
        layer = next(i for i in range(len(sizes)) if j < sum(sizes[: i + 1]))
        raise ScoreError(
            f"dropout_damage: layer {names[layer]}, neuron {j - sum(sizes[:layer])} was never"
            f" dropped, or never kept, in {passes} passes over {len(inputs)} examples: raise passes"
        )
    mean_dropped = excess_dropped.sum(0) / times
    mean_kept = (excess.sum() - excess_dropped.sum(0)) / (pairs - times)
    damage = mean_dropped - mean_kept
    # Each pass's share of the ratio estimate's error, to first order; the shares sum to zero.
    share = (excess_dropped - mean_dropped * dropped) / times
    kept = len(inputs) - dropped
    share -= (excess - excess_dropped - mean_kept * kept) / (pairs - times)
    error = (share.square().sum(0) * passes / (passes - 1)).sqrt()
    return (
        dict(zip(names, damage.split(sizes), strict=True)),
        dict(zip(names, error.split(sizes), strict=True)),
    )


def _losses(
    chain: chains.Chain, first: Tensor, targets: Tensor, keep: tuple[Tensor, ...] | None
) -> Tensor:
    """Each example's loss, (N,) float64, with the kept neurons' gates at 1 and the others' at 0.

    `first` is the output at the gate of the first hidden layer, or the inputs if there is none.
    """
    activation = first
    start = 0
    for i, layer in enumerate(chain.hidden):
        if i > 0:
            activation = chain.run(activation, start, layer.gate + 1)
        if keep is not None:
            gate = keep[i]
            activation = activation * gate.view(*gate.shape, *[1] * (activation.dim() - 2))
        start = layer.gate + 1
    logits = chain.run(activation, start)
    return F.cross_entropy(logits.double(), targets, reduction="none")
