"""From scores to a smaller network: allocation, masks, and the removal of whole neurons.

A criterion only scores. `parameter_masks` and `kept_neurons` decide which units to remove from
which layer (globally or layer by layer); `remove_neurons` and `merge_neurons` build the physically
smaller network.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from minified.criteria.record import CRITERIA, SCOPES, Criterion
from minified.foundations import arguments
from minified.foundations.errors import AllocationError
from minified.foundations.rounds import ONE_SHOT, Round, checked
from minified.networks import chains, earlier, examples, resizing

# Scores are ranked as float64.
_MOST_EXACT = 2**53


def parameter_masks(
    scores: Mapping[str, Tensor],
    sparsity: float,
    scope: str = "global",
    *,
    step: Round = ONE_SHOT,
    masks: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Choose the weights that stay: `{name: bool tensor}`, True = stays.

    Exactly round(sparsity * total) weights are removed, lowest score first; of equal scores the one
    with the lowest index is removed first (layers in the order of `scores`, then row-major).

    Args:
        scores: `{"0.weight": (out, in, ...)}` in network order.
        sparsity: fraction to remove, in [0, 1).
        scope: `global` ranks all weights together, `layer` removes that fraction of each tensor.
        step: the round; after it `step.removed(total, sparsity)` weights are removed.
        masks: what the rounds before it left. What they removed stays removed, whatever its score.

    Raises:
        AllocationError: sparsity outside [0, 1), unknown scope, scores that cannot be ranked, or
            masks that do not fit them.
    """
    removed = _removed(scores, sparsity, scope, 0, step, masks=masks)
    return {name: ~removed[name].view(scores[name].shape) for name in scores}


def kept_neurons(
    scores: Mapping[str, Tensor],
    sparsity: float,
    scope: str = "layer",
    *,
    step: Round = ONE_SHOT,
    widths: Mapping[str, int] | None = None,
) -> dict[str, Tensor]:
    """Choose the neurons that stay: `{layer: sorted indices}`.

    As in `parameter_masks`, but at least one neuron stays in every layer: a global ranking skips
    a layer's last neuron, and removes fewer than asked only if no other neurons are left.

    Args:
        widths: how many neurons the layers had before the first round, if the rounds before `step`
            have made them smaller: `sparsity` is a fraction of these. The indices are those of the
            smaller layers.
    """
    removed = _removed(scores, sparsity, scope, 1, step, widths=widths)
    for name, score in scores.items():
        if score.dim() != 1:
            raise AllocationError(
                f"{name}: has scores of shape {tuple(score.shape)}; a layer has one per neuron"
            )
    return {name: (~removed[name]).nonzero().flatten() for name in scores}


def hidden_neurons(network: nn.Module) -> int:
    """How many removable neurons `network` has."""
    return sum(layer.neurons for layer in chains.read(network).hidden)


def removed_per_layer(neurons: int, sparsity: float, step: Round = ONE_SHOT) -> int:
    """How many of a layer's `neurons` are gone in all after a round, but never all of them."""
    return min(step.removed(neurons, sparsity), neurons - 1)


def _removed(
    scores: Mapping[str, Tensor],
    sparsity: float,
    scope: str,
    spare: int,
    step: Round,
    masks: Mapping[str, Tensor] | None = None,
    widths: Mapping[str, int] | None = None,
) -> dict[str, Tensor]:
    """Flat bool tensors, True = removed; `spare` units stay in each tensor at any sparsity."""
    sparsity, step = arguments.sparsity(sparsity, AllocationError), checked(step)
    if scope not in SCOPES:
        raise AllocationError(
            f"scope: must be one of {', '.join(SCOPES)}, not {arguments.shown(scope)}"
        )
    _check_scores(scores)
    flat = {name: score.detach().flatten().cpu() for name, score in scores.items()}
    gone = lost = None
    if masks is not None:
        shapes = {name: tuple(score.shape) for name, score in scores.items()}
        gone = earlier.removed(masks, shapes, AllocationError)
    if widths is not None:
        lost = earlier.lost(widths, {n: len(s) for n, s in flat.items()}, AllocationError)
    removed: dict[str, Tensor] = {}
    for names in [list(flat)] if scope == "global" else [[name] for name in flat]:
        before = sum(lost[name] for name in names) if lost else 0
        total = sum(len(flat[name]) for name in names) + before
        count = max(step.removed(total, sparsity) - before, 0)
        first = [gone[name].flatten() for name in names] if gone else None
        marked = _lowest([flat[name] for name in names], count, spare, first)
        removed |= dict(zip(names, marked, strict=True))
    return removed


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


def _lowest(
    scores: Sequence[Tensor], count: int, spare: int, gone: Sequence[Tensor] | None = None
) -> list[Tensor]:
    """Mark the `count` lowest of all `scores`, sparing `spare` in each tensor.

    Those that are `gone` come first, whatever their scores.
    """
    sizes = [len(score) for score in scores]
    together = torch.cat([score.double() for score in scores])
    removed = torch.zeros(len(together), dtype=torch.bool)
    if count and not spare and gone is None:
        # As below, in a tenth of the time that sorting takes.
        highest = together.kthvalue(count).values
        torch.lt(together, highest, out=removed)
        ties = (together == highest).nonzero().flatten()
        removed[ties[: count - int(removed.sum())]] = True
        return list(removed.split(sizes))
    order = together.argsort(stable=True)
    if gone is not None:
        is_gone = torch.cat(list(gone))[order]
        order = torch.cat([order[is_gone], order[~is_gone]])
    if spare:
        # Each tensor's `spare` highest scores always stay; of equal scores, the last ones.
        start = 0
        spared = torch.zeros(len(together), dtype=torch.bool)
        for size in sizes:
            best = together[start : start + size].argsort(stable=True)[max(size - spare, 0) :]
            spared[start + best] = True
            start += size
        order = order[~spared[order]]
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
        stay = resizing.different(name, indices, layer.neurons)
        columns = resizing.columns_of(stay, chains.columns_per_neuron(layer, reader))
        parts = [(layer.module, stay), *((chain.steps[i][1], stay) for i in layer.norms)]
        for module, rows in parts:
            for tensor in ("weight", "bias", "running_mean", "running_var"):
                resizing.select(module, tensor, rows, dim=0)
        resizing.select(reader.module, "weight", columns, dim=1)
        resizing.set_sizes([module for module, _ in parts] + [reader.module])
    return smaller


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
    counts = {
        layer.name: removed_per_layer(layer.neurons, sparsity)
        for layer in chains.read(network).hidden
    }
    return fold_away(criterion, network, inputs, counts)[0]


def fold_away(
    criterion: Criterion, network: nn.Module, inputs: Tensor, counts: Mapping[str, int]
) -> tuple[nn.Module, dict[str, Tensor]]:
    """What `remove_as` does, for so many neurons per hidden layer; also which neurons stay.

    Returns:
        The smaller copy, and `{layer: sorted indices}` of the neurons of `network` that stay.

    Raises:
        AllocationError: a criterion that has no way of its own.
        ArgumentError: inputs that the network cannot be run on.
    """
    if criterion.removal is None:
        raise AllocationError(f"criterion {criterion.name}: has no removal in its record")
    chain = chains.read(network)
    examples.check_inputs(chain, inputs)
    fold = criterion.function(criterion.removal.fold)
    smaller = chains.duplicate(network)
    kept = {}
    for layer in chain.hidden:
        gone = set(fold(smaller, layer.name, inputs, counts[layer.name]))
        kept[layer.name] = torch.tensor([j for j in range(layer.neurons) if j not in gone])
        smaller = remove_neurons(smaller, {layer.name: kept[layer.name]})
    return smaller, kept
