"""Neuron merging: neurons that another neuron can replace are removed first.

Srinivas & Babu 2015 (arXiv 1507.06149) remove duplicate neurons and add their outgoing weights to
the twin's; Kim et al. 2020 (arXiv 2010.13160) replace a neuron by a scaled one. Here neuron j is
replaced by alpha a_i + beta, fitted by least squares. Pairs are merged greedily, the cheapest
first; the cost is the mean squared residual times the squared norm of j's outgoing weights.
`pruning.merge_neurons` merges whole networks.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from minified.foundations import products
from minified.foundations.errors import ScoreError
from minified.networks import chains

RECORDS = {
    "merging": {
        "levels": ["neuron"],
        "title": "merging",
        "look": ["#882255", "*"],
        "scopes": ["layer"],
        "removal": {"fold": "merge_layer", "fold_one": "merge_one"},
    },
}

# Rows of the activation matrix per chunk: a convolution has one row per example and position.
CHUNK_ELEMENTS = 2**24


@dataclass(frozen=True)
class Fit:
    """Least-squares fits within one layer: a_j is about alpha[j, i] * a_i + beta[j, i], float64.

    `residual[j, i]` is the mean squared error of that fit.
    """

    alpha: Tensor
    beta: Tensor
    residual: Tensor


@dataclass(frozen=True)
class Merge:
    """One step of the greedy order: neuron `gone` is folded into neuron `into`."""

    gone: int
    into: int


def merging(
    level: str, network: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
) -> dict[str, Tensor]:
    """Each neuron's place in its layer's greedy order: 0 is merged first, n - 1 remains.

    Each layer is ordered with all neurons of the layers before it. `pruning.merge_neurons`, which
    knows how many neurons to remove, orders each layer in the network merged so far.
    """
    scores = {}
    for layer in chains.read(network).hidden:
        fit, weights = prepare(network, layer.name, inputs)
        order = [merge.gone for merge in greedy(fit, weights, layer.neurons - 1)]
        last = (set(range(layer.neurons)) - set(order)).pop()
        places = torch.empty(layer.neurons, dtype=torch.float64)
        places[torch.tensor([*order, last])] = torch.arange(layer.neurons, dtype=torch.float64)
        scores[layer.name] = places
    return scores


@torch.no_grad()
def merge_layer(network: nn.Module, name: str, inputs: Tensor, count: int) -> list[int]:
    """Fold `count` neurons of layer `name` into others, in place; return them in that order.

    The outgoing weights of a merged neuron become zero, so `pruning.remove_neurons` can remove it
    without changing the logits.
    """
    fit, weights = prepare(network, name, inputs)
    merges = greedy(fit, weights, count)
    fold(network, name, fit, merges)
    return [merge.gone for merge in merges]


def merge_one(network: nn.Module, inputs: Tensor) -> Callable[[nn.Module, str, int], None]:
    """Return a function that folds one neuron of a copy of `network`, in place, at least cost.

    It is called as `fold_one(twin, layer, neuron)`; the fits are computed once for all neurons.
    """
    fits = {
        layer.name: least_squares(network, layer.name, inputs)
        for layer in chains.read(network).hidden
    }

    def fold_one(twin: nn.Module, layer: str, neuron: int) -> None:
        fold(twin, layer, fits[layer], [cheapest(fits[layer], neuron)])

    return fold_one


@torch.no_grad()
def fold(network: nn.Module, name: str, fit: Fit, merges: list[Merge]) -> None:
    """Apply `merges`, in place, to the weights and the bias that read layer `name`."""
    chain = chains.read(network)
    layer = next(layer for layer in chain.hidden if layer.name == name)
    reader = chain.reader(layer).module
    outgoing = _outgoing(reader, layer.neurons)
    bias = None if reader.bias is None else reader.bias.detach().double()
    for merge in merges:
        leaving = outgoing[merge.gone]
        outgoing[merge.into] += fit.alpha[merge.gone, merge.into] * leaving
        if bias is not None:
            bias += fit.beta[merge.gone, merge.into] * leaving.sum(1)
        outgoing[merge.gone] = 0.0
    # (neurons, out, columns each) back to (out, in) or (out, in, kernel, kernel)
    reader.weight.copy_(outgoing.transpose(0, 1).reshape(reader.weight.shape))
    if reader.bias is not None and bias is not None:
        reader.bias.copy_(bias)


def greedy(fit: Fit, weights: Tensor, count: int) -> list[Merge]:
    """The `count` cheapest merges, one after the other, costs updated after each.

    Args:
        fit: the layer's fits; they stay valid, since merging changes only the weights that read
            the layer.
        weights: (neurons, ...) float64, the outgoing weights of each neuron; not changed.

    Ties: the neuron of the lowest index is merged, into the partner of the lowest index.
    """
    outgoing = weights.flatten(1).clone()
    neurons = len(outgoing)
    if not 0 <= count < neurons:
        raise ScoreError(f"merging: cannot merge {count} of {neurons} neurons; one must stay")
    cost = fit.residual * outgoing.square().sum(1, keepdim=True)
    cost.fill_diagonal_(torch.inf)
    lowest = cost.min(1).values
    partner = _first_minimum(cost, lowest)
    merges = []
    for _ in range(count):
        gone = int((lowest == lowest.min()).nonzero()[0])
        into = int(partner[gone])
        merges.append(Merge(gone, into))
        outgoing[into] += fit.alpha[gone, into] * outgoing[gone]
        # A merged neuron cannot be merged again or be a partner; its partner's weights changed.
        cost[gone, :] = torch.inf
        cost[:, gone] = torch.inf
        alive = cost[into].isfinite()
        cost[into, alive] = fit.residual[into, alive] * outgoing[into].square().sum()
        lowest[gone] = torch.inf
        stale = ((partner == gone) & lowest.isfinite()).nonzero().flatten()
        rows = torch.cat([stale, torch.tensor([into], device=stale.device)]).unique()
        lowest[rows] = cost[rows].min(1).values
        partner[rows] = _first_minimum(cost[rows], lowest[rows])
    return merges


def cheapest(fit: Fit, gone: int) -> Merge:
    """The cheapest merge of neuron `gone`; of equal ones, that into the lowest index."""
    if len(fit.residual) == 1:
        raise ScoreError("merging: the only neuron of a layer cannot be merged into another")
    residual = fit.residual[gone].clone()
    residual[gone] = torch.inf
    return Merge(gone, int(_first_minimum(residual[None], residual.min()[None])[0]))


@torch.no_grad()
def least_squares(network: nn.Module, name: str, inputs: Tensor) -> Fit:
    """Fit every neuron of layer `name` by every other, as the next weighted layer reads them.

    The fit has an intercept (and then alpha = 0 where a_i is constant) if it can be folded into the
    next layer's bias. It cannot if that layer is a zero-padded convolution or has no bias.
    """
    if len(inputs) == 0:
        raise ScoreError("merging: needs at least one example to compare activations on")
    chain = chains.read(chains.frozen(network))
    layer = next(layer for layer in chain.hidden if layer.name == name)
    reader = chain.reader(layer)
    intercept = reader.module.bias is not None and not _zero_padded(reader.module)

    def chunks() -> Iterator[Tensor]:
        size = max(1, CHUNK_ELEMENTS // max(1, inputs[0].numel() * layer.neurons))
        for start in range(0, len(inputs), size):
            activation = chain.run(inputs[start : start + size], stop=reader.position)
            # (examples, neurons, positions) -> (examples x positions, neurons)
            yield (
                activation.reshape(len(activation), layer.neurons, -1)
                .transpose(1, 2)
                .reshape(-1, layer.neurons)
                .double()
            )

    rows = 0
    total = torch.zeros(layer.neurons, dtype=torch.float64, device=inputs.device)
    low = torch.full_like(total, torch.inf)
    high = torch.full_like(total, -torch.inf)
    for a in chunks():
        rows += len(a)
        total += a.sum(0)
        low, high = torch.minimum(low, a.amin(0)), torch.maximum(high, a.amax(0))
    # Centred on the exact value where a neuron is constant, so that its variance is exactly 0.
    mean = torch.where(low == high, low, total / rows)
    centre = mean if intercept else torch.zeros_like(mean)
    moments = torch.zeros(layer.neurons, layer.neurons, dtype=torch.float64, device=inputs.device)
    for a in chunks():
        a = a - centre
        moments += products.matmul(a.T, a)
    moments /= rows
    own = moments.diagonal()
    usable = (own > 0) & (low != high) if intercept else own > 0
    alpha = torch.where(usable, moments / torch.where(usable, own, 1.0), 0.0)
    residual = (own.unsqueeze(1) - alpha * moments).clamp(min=0.0)
    beta = mean.unsqueeze(1) - alpha * mean if intercept else torch.zeros_like(alpha)
    return Fit(alpha, beta, residual)


def prepare(network: nn.Module, name: str, inputs: Tensor) -> tuple[Fit, Tensor]:
    """The fits within layer `name`, and the outgoing weights of each of its neurons."""
    chain = chains.read(network)
    layer = next(layer for layer in chain.hidden if layer.name == name)
    fit = least_squares(network, name, inputs)
    if not bool(fit.residual.isfinite().all()):
        raise ScoreError(f"merging: layer {name} has activations that are not finite numbers")
    return fit, _outgoing(chain.reader(layer).module, layer.neurons)


def _outgoing(reader: chains.Weighted, neurons: int) -> Tensor:
    """Each neuron's outgoing weights, (neurons, out, columns or kernel positions), float64."""
    weight = reader.weight.detach().double()
    return weight.reshape(len(weight), neurons, -1).transpose(0, 1).contiguous()


def _zero_padded(module: chains.Weighted) -> bool:
    return isinstance(module, nn.Conv2d) and any(p != 0 for p in module.padding)


def _first_minimum(cost: Tensor, minimum: Tensor) -> Tensor:
    """The lowest index of each row's minimum (torch.argmin does not define which one it takes)."""
    return (cost == minimum.unsqueeze(1)).int().argmax(1)
