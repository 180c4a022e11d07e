"""From scores to a smaller network: allocation, masks, and the removal of whole neurons.

A criterion only scores. `parameter_masks` and `kept_neurons` decide how many units go from which
layer (globally or layer by layer); `remove_neurons` and `merge_neurons` build the physically
smaller network.
"""

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from minified import chains
from minified.errors import AllocationError

SCOPES = ("global", "layer")


def parameter_masks(
    scores: Mapping[str, Tensor], sparsity: float, scope: str = "global"
) -> dict[str, Tensor]:
    """Choose the weights that stay: `{name: bool tensor}`, True = stays.

    Exactly round(sparsity * total) weights go, lowest score first; of equal scores the one with
    the lowest index goes first (layers in the order of `scores`, then row-major).

    Args:
        scores: `{"0.weight": (out, in, ...)}` in network order.
        sparsity: fraction to remove, in [0, 1).
        scope: `global` ranks all weights together, `layer` removes that fraction of each tensor.

    Raises:
        AllocationError: sparsity outside [0, 1), unknown scope, or scores that are NaN.
    """
    removed = _removed(scores, sparsity, scope, spare=0)
    return {name: ~removed[name].view(scores[name].shape) for name in scores}


def kept_neurons(
    scores: Mapping[str, Tensor], sparsity: float, scope: str = "layer"
) -> dict[str, Tensor]:
    """Choose the neurons that stay: `{layer: sorted indices}`.

    As `parameter_masks`, but at least one neuron stays in every layer: a global ranking passes
    over a layer's last one, and removes fewer only if nothing else is left to remove.
    """
    removed = _removed(scores, sparsity, scope, spare=1)
    return {name: (~removed[name]).nonzero().flatten() for name in scores}


def hidden_neurons(network: nn.Module) -> int:
    """How many removable neurons `network` has."""
    return sum(layer.neurons for layer in chains.read(network).hidden)


def removed_per_layer(neurons: int, sparsity: float) -> int:
    """How many of a layer's neurons go: round(sparsity * neurons), but never the last one."""
    return min(round(sparsity * neurons), neurons - 1)


def _removed(
    scores: Mapping[str, Tensor], sparsity: float, scope: str, spare: int
) -> dict[str, Tensor]:
    """Flat bool tensors, True = goes; `spare` units stay in each tensor whatever the sparsity."""
    if not 0.0 <= sparsity < 1.0:
        raise AllocationError(f"sparsity {sparsity!r}: must be in [0, 1)")
    if scope not in SCOPES:
        raise AllocationError(f"scope {scope!r}: must be one of {', '.join(SCOPES)}")
    if not scores:
        raise AllocationError("no scores, so there is nothing to allocate")
    flat = {name: score.detach().flatten().cpu() for name, score in scores.items()}
    for name, score in flat.items():
        if bool(score.isnan().any()):
            raise AllocationError(f"{name}: has scores that are NaN, which no ranking can place")
    if scope == "layer":
        return {name: _lowest([score], sparsity, spare)[0] for name, score in flat.items()}
    return dict(zip(flat, _lowest(list(flat.values()), sparsity, spare), strict=True))


def _lowest(scores: Sequence[Tensor], sparsity: float, spare: int) -> list[Tensor]:
    """Mark the round(sparsity * total) lowest of all `scores`, sparing `spare` in each tensor."""
    sizes = [len(score) for score in scores]
    together = torch.cat([score.double() for score in scores])
    count = round(sparsity * len(together))
    order = together.argsort(stable=True)
    if spare:
        # Each tensor's best units are never for the taking: of equal scores the last stays.
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

    A neuron goes with its incoming weights, bias, batch-normalisation parameters and all weights
    that leave it. Layers that `kept` does not name keep all their neurons.

    Raises:
        AllocationError: a layer that is not hidden, no neuron kept, or an index out of range.
    """
    smaller = copy.deepcopy(network)
    chain = chains.read(smaller)
    hidden = {layer.name: layer for layer in chain.hidden}
    for name, indices in kept.items():
        if name not in hidden:
            raise AllocationError(f"{name}: not a hidden layer; these are: {', '.join(hidden)}")
        layer, reader = hidden[name], chain.reader(hidden[name])
        stay = torch.as_tensor(indices)
        if (
            len(stay) == 0
            or stay.dtype not in (torch.int64, torch.int32)
            or stay.min() < 0
            or stay.max() >= layer.neurons
            or len(stay.unique()) != len(stay)
        ):
            raise AllocationError(
                f"{name}: kept must be different indices in 0..{layer.neurons - 1}, at least one"
            )
        stay = stay.long()
        columns = columns_of(stay, chains.columns_per_neuron(layer, reader))
        parts = [(layer.module, stay), *((chain.steps[i][1], stay) for i in layer.norms)]
        for module, rows in parts:
            for tensor in ("weight", "bias", "running_mean", "running_var"):
                _select(module, tensor, rows, dim=0)
        _select(reader.module, "weight", columns, dim=1)
        _set_sizes([module for module, _ in parts] + [reader.module])
    return smaller


def columns_of(neurons: Tensor, per_neuron: int) -> Tensor:
    """The input columns that `neurons` fill, `per_neuron` each, in order."""
    offsets = torch.arange(per_neuron, device=neurons.device)
    return (neurons.unsqueeze(1) * per_neuron + offsets).flatten()


def merge_neurons(
    network: nn.Module, inputs: Tensor, sparsity: float, scope: str = "layer"
) -> nn.Module:
    """A physically smaller copy in which removed neurons are folded into those that stay.

    Layers go from input to output, and each sees the activations of the network merged so far
    (methods: greedy pairwise merging; Srinivas & Babu 2015, arXiv 1507.06149; Kim et al. 2020,
    arXiv 2010.13160). A neuron that duplicates another goes without changing any logit.

    Args:
        inputs: (N, ...) examples on which activations are compared.
        sparsity: fraction of each hidden layer that goes, in [0, 1).
        scope: only `layer`.

    Raises:
        AllocationError: another scope, or a sparsity outside [0, 1).
    """
    if scope != "layer":
        raise AllocationError(f"scope {scope!r}: merging works within a layer; use 'layer'")
    if not 0.0 <= sparsity < 1.0:
        raise AllocationError(f"sparsity {sparsity!r}: must be in [0, 1)")
    # Imported here so that only what merges depends on the merging criterion's file.
    from minified.criteria import merging

    merged = copy.deepcopy(network)
    for layer in chains.read(network).hidden:
        count = removed_per_layer(layer.neurons, sparsity)
        order = merging.merge_layer(merged, layer.name, inputs, count)
        gone = set(order)
        stay = [j for j in range(layer.neurons) if j not in gone]
        merged = remove_neurons(merged, {layer.name: stay})
    return merged


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
    """Make the modules' own record of their sizes agree with their weights."""
    for module in modules:
        if isinstance(module, nn.Linear):
            module.out_features, module.in_features = module.weight.shape
        elif isinstance(module, nn.Conv2d):
            module.out_channels, module.in_channels = module.weight.shape[:2]
        elif isinstance(module, chains.NORMALISATION) and module.running_mean is not None:
            module.num_features = len(module.running_mean)
        elif isinstance(module, chains.NORMALISATION) and module.weight is not None:
            module.num_features = len(module.weight)
