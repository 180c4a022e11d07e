"""From scores to a smaller network: allocation, masks, and the removal of whole neurons.

A criterion only scores. `parameter_masks` and `kept_neurons` decide which units to remove from
which layer (globally or layer by layer); `remove_neurons` and `merge_neurons` build the physically
smaller network.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from minified.criteria.record import CRITERIA, SCOPES, Criterion
from minified.foundations import arguments
from minified.foundations.errors import AllocationError
from minified.networks import chains, examples, kinds

# Scores are ranked as float64.
_MOST_EXACT = 2**53


def parameter_masks(
    scores: Mapping[str, Tensor], sparsity: float, scope: str = "global"
) -> dict[str, Tensor]:
    """Choose the weights that stay: `{name: bool tensor}`, True = stays.

    Exactly round(sparsity * total) weights are removed, lowest score first; of equal scores the one
    with the lowest index is removed first (layers in the order of `scores`, then row-major).

    Args:
        scores: `{"0.weight": (out, in, ...)}` in network order.
        sparsity: fraction to remove, in [0, 1).
        scope: `global` ranks all weights together, `layer` removes that fraction of each tensor.

    Raises:
        AllocationError: sparsity outside [0, 1), unknown scope, or scores that cannot be ranked.
    """
    removed = _removed(scores, sparsity, scope, spare=0)
    return {name: ~removed[name].view(scores[name].shape) for name in scores}


def kept_neurons(
    scores: Mapping[str, Tensor], sparsity: float, scope: str = "layer"
) -> dict[str, Tensor]:
    """Choose the neurons that stay: `{layer: sorted indices}`.

    As in `parameter_masks`, but at least one neuron stays in every layer: a global ranking skips
    a layer's last neuron, and removes fewer than asked only if no other neurons are left.
    """
    removed = _removed(scores, sparsity, scope, spare=1)
    for name, score in scores.items():
        if score.dim() != 1:
            raise AllocationError(
                f"{name}: has scores of shape {tuple(score.shape)}; a layer has one per neuron"
            )
    return {name: (~removed[name]).nonzero().flatten() for name in scores}


def hidden_neurons(network: nn.Module) -> int:
    """How many removable neurons `network` has."""
    return sum(layer.neurons for layer in chains.read(network).hidden)


def removed_per_layer(neurons: int, sparsity: float) -> int:
    """How many of a layer's neurons to remove: round(sparsity * neurons), but never all of them."""
    return min(round(sparsity * neurons), neurons - 1)


def _removed(
    scores: Mapping[str, Tensor], sparsity: float, scope: str, spare: int
) -> dict[str, Tensor]:
    """Flat bool tensors, True = removed; `spare` units stay in each tensor at any sparsity."""
    sparsity = arguments.sparsity(sparsity, AllocationError)
    if scope not in SCOPES:
        raise AllocationError(
            f"scope: must be one of {', '.join(SCOPES)}, not {arguments.shown(scope)}"
        )
    _check_scores(scores)
    flat = {name: score.detach().flatten().cpu() for name, score in scores.items()}
    if scope == "layer":
        return {name: _lowest([score], sparsity, spare)[0] for name, score in flat.items()}
    return dict(zip(flat, _lowest(list(flat.values()), sparsity, spare), strict=True))


def _check_scores(scores: Mapping[str, Tensor]) -> None:
    """Raise AllocationError, naming the layer, if scores cannot be ranked."""
    if not isinstance(scores, Mapping):
        raise AllocationError(
            f"scores: must be {{layer: tensor of scores}}, not {arguments.shown(scores)}"
        )
    if not scores:
        raise AllocationError("no scores, so there is nothing to allocate")
    for name, score in scores.items():
        if (
            not examples.is_ordinary(score)
            or score.is_complex()
            or score.dtype == torch.bool
            or score.numel() == 0
        ):
            raise AllocationError(
                f"{name}: its scores must be a tensor of numbers, not {arguments.shown(score)}"
            )
        if score.is_floating_point():
            if bool(score.isnan().any()):
                raise AllocationError(f"{name}: has scores that are NaN, which cannot be ranked")
        elif int(score.max()) > _MOST_EXACT or int(score.min()) < -_MOST_EXACT:
            raise AllocationError(
                f"{name}: has scores beyond 2^53, which float64 cannot tell apart"
            )


def _lowest(scores: Sequence[Tensor], sparsity: float, spare: int) -> list[Tensor]:
    """Mark the round(sparsity * total) lowest of all `scores`, sparing `spare` in each tensor."""
    sizes = [len(score) for score in scores]
    together = torch.cat([score.double() for score in scores])
    count = round(sparsity * len(together))
    order = together.argsort(stable=True)
    if spare:
        # Each tensor's `spare` highest scores always stay; of equal scores, the last ones.
        start = 0
        spared = torch.zeros(len(together), dtype=torch.bool)
        for size in sizes:
            best = together[start : start + size].argsort(stable=True)[max(size - spare, 0) :]
            spared[start + best] = True
            start += size
        order = order[~spared[order]]
    removed = torch.zeros(len(together), dtype=torch.bool)
    removed[order[:count]] = True
    return list(removed.split(sizes))


def remove_neurons(network: nn.Module, kept: Mapping[str, Tensor | Sequence[int]]) -> nn.Module:
    """A physically smaller copy of `network` that keeps only the neurons named in `kept`.

    A neuron is removed with its incoming weights, bias, batch-normalisation parameters and outgoing
    weights. Layers that `kept` does not name keep all their neurons.

    Raises:
        AllocationError: a layer that is not hidden, no neuron kept, or an index out of range.
    """
    chains.read(network)  # a copy has lost some of what is refused, such as hooks on gradients
    smaller = chains.duplicate(network)
    if not isinstance(kept, Mapping):
        raise AllocationError(
            f"kept: must be {{layer: indices that stay}}, not {arguments.shown(kept)}"
        )
    chain = chains.read(smaller)
    hidden = {layer.name: layer for layer in chain.hidden}
    for name, indices in kept.items():
        if name not in hidden:
            raise AllocationError(
                f"{name}: not a hidden layer; the hidden layers are {', '.join(hidden)}"
            )
        layer, reader = hidden[name], chain.reader(hidden[name])
        stay = _indices(name, indices, layer.neurons)
        columns = columns_of(stay, chains.columns_per_neuron(layer, reader))
        parts = [(layer.module, stay), *((chain.steps[i][1], stay) for i in layer.norms)]
        for module, rows in parts:
            for tensor in ("weight", "bias", "running_mean", "running_var"):
                _select(module, tensor, rows, dim=0)
        _select(reader.module, "weight", columns, dim=1)
        _set_sizes([module for module, _ in parts] + [reader.module])
    return smaller


def _indices(name: str, indices: Tensor | Sequence[int], neurons: int) -> Tensor:
    """The neurons of layer `name` that stay, in the order given."""
    # Not as_tensor: it would make numbers of True and of 1.5.
    whole = isinstance(indices, Tensor) or (
        isinstance(indices, Sequence | np.ndarray)
        and all(
            arguments.is_whole(index) or (isinstance(index, Tensor) and index.dim() == 0)
            for index in indices
        )
    )
    stay = torch.as_tensor(indices) if whole else torch.empty(0)
    if (
        stay.dim() != 1
        or len(stay) == 0
        or stay.is_meta
        or stay.dtype not in (torch.int64, torch.int32)
        or stay.min() < 0
        or stay.max() >= neurons
        or len(stay.unique()) != len(stay)
    ):
        raise AllocationError(
            f"{name}: kept must be different indices in 0..{neurons - 1}, at least one, not"
            f" {arguments.shown(indices)}"
        )
    return stay.long()


def columns_of(neurons: Tensor, per_neuron: int) -> Tensor:
    """The input columns that belong to `neurons`, `per_neuron` each, in order."""
    offsets = torch.arange(per_neuron, device=neurons.device)
    return (neurons.unsqueeze(1) * per_neuron + offsets).flatten()


def merge_neurons(
    network: nn.Module, inputs: Tensor, sparsity: float, scope: str = "layer"
) -> nn.Module:
    """A physically smaller copy in which removed neurons are folded into those that stay.

    Layers are merged from input to output, each with the activations of the network merged so far
    (greedy pairwise merging; Srinivas & Babu 2015, arXiv 1507.06149; Kim et al. 2020, arXiv
    2010.13160). Removing a neuron that duplicates another changes no logit.

    Args:
        inputs: (N, ...) examples on which activations are compared.
        sparsity: fraction of each hidden layer to remove, in [0, 1).
        scope: only `layer`.

    Raises:
        AllocationError: another scope, or a sparsity outside [0, 1).
        ArgumentError: inputs that the network cannot be run on.
    """
    return remove_as(CRITERIA["merging"], network, inputs, sparsity, scope)


def remove_as(
    criterion: Criterion, network: nn.Module, inputs: Tensor, sparsity: float, scope: str
) -> nn.Module:
    """A physically smaller copy from which `criterion` removed neurons in its own way.

    For criteria whose record has `removal`. Layers are processed from input to output, each in the
    network in which the layers before it are already smaller.

    Raises:
        AllocationError: a scope that the criterion does not have, or a sparsity outside [0, 1).
        ArgumentError: inputs that the network cannot be run on.
    """
    if criterion.removal is None:
        raise AllocationError(f"criterion {criterion.name}: has no removal in its record")
    if scope != "layer":
        raise AllocationError(
            f"scope: {criterion.name} works within a layer; use 'layer', not"
            f" {arguments.shown(scope)}"
        )
    sparsity = arguments.sparsity(sparsity, AllocationError)
    chain = chains.read(network)
    examples.check_inputs(chain, inputs)
    fold = criterion.function(criterion.removal.fold)
    smaller = chains.duplicate(network)
    for layer in chain.hidden:
        count = removed_per_layer(layer.neurons, sparsity)
        gone = set(fold(smaller, layer.name, inputs, count))
        stay = [j for j in range(layer.neurons) if j not in gone]
        smaller = remove_neurons(smaller, {layer.name: stay})
    return smaller


def _select(module: nn.Module, name: str, indices: Tensor, dim: int) -> None:
    tensor = getattr(module, name, None)
    if tensor is None:
        return
    chosen = tensor.detach().index_select(dim, indices.to(tensor.device))
    if isinstance(tensor, nn.Parameter):
        setattr(module, name, nn.Parameter(chosen, requires_grad=tensor.requires_grad))
    else:
        setattr(module, name, chosen)


def _set_sizes(modules: Sequence[nn.Module]) -> None:
    """Set the modules' size attributes to the sizes of their weights."""
    for module in modules:
        if isinstance(module, nn.Linear):
            module.out_features, module.in_features = module.weight.shape
        elif isinstance(module, nn.Conv2d):
            module.out_channels, module.in_channels = module.weight.shape[:2]
        elif kinds.of(module).role == "normalisation":
            module.num_features = len(module.running_mean)  # type: ignore[arg-type, assignment]
