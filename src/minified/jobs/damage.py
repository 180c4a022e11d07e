"""`minified damage`: remove units one at a time and measure how much the loss changes.

This is the measured side of predicted against measured damage. Every criterion is compared on the
same random sample of units. The damage of a unit is the change of the loss on the saliency examples
when it alone is removed; for neuron merging, when it alone is merged into the neuron that replaces
it at the lowest cost.
"""

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from minified import evaluation
from minified.criteria.record import LEVELS
from minified.foundations import files, seeds
from minified.foundations.errors import StudyError
from minified.jobs.context import Context
from minified.networks import chains
from minified.study.paths import Paths
from minified.study.rows import DAMAGE_COLUMNS
from minified.study.studies import Study


def damage(study: Study, paths: Paths, removal: str) -> None:
    """Measure single removals for all replicates; `unit` counts row-major within its layer.

    `removal` is a level, or a criterion that has its own way of removing neurons.

    Raises:
        StudyError: no neuron can be removed in that way.
    """
    context = Context(study, paths)
    examples = context.saliency
    level = removal if removal in LEVELS else "neuron"
    rows = []
    for replicate, network in enumerate(context.baselines()):
        seed = seeds.derive(study.seed, "damage", level, replicate)
        units = sample_units(network, level, study.damage.units, seed)
        if removal != level:
            # The only neuron of a layer has no other that could replace it.
            widths = {layer.name: layer.neurons for layer in chains.read(network).hidden}
            others = [layer for layer, width in widths.items() if width > 1]
            if not others:
                raise StudyError(
                    f"{study.file}: network: {removal} replaces a neuron by another of its layer,"
                    " and no hidden layer has two"
                )
            units = [(layer, unit) for layer, unit in units if layer in others] or [(others[0], 0)]
        dense = evaluation.loss(network, examples)
        pruned = _without(network, units, _remover(context, network, removal, level))
        for (layer, unit), network_without in zip(units, pruned, strict=True):
            change = evaluation.loss(network_without, examples) - dense
            rows.append({"replicate": replicate, "layer": layer, "unit": unit, "damage": change})
    files.write_rows(paths.damage(removal), DAMAGE_COLUMNS, rows)


def sample_units(network: nn.Module, level: str, count: int, seed: int) -> list[tuple[str, int]]:
    """`count` removable units (or all, if fewer), drawn uniformly without replacement."""
    sizes = {
        name: int(torch.Size(shape).numel())
        for name, shape in chains.unit_shapes(network, level).items()
    }
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(sum(sizes.values()), generator=generator)[:count].sort().values
    units = []
    start = 0
    for name, size in sizes.items():
        here = chosen[(chosen >= start) & (chosen < start + size)] - start
        units += [(name, int(unit)) for unit in here]
        start += size
    return units


Remover = Callable[[nn.Module, str, int], None]
"""Removes one unit of a layer in place; called with the layer's name and the unit's number."""


def _remover(context: Context, network: nn.Module, removal: str, level: str) -> Remover:
    if removal == "parameter":
        return _zero_weight
    if removal == level:
        return _zero_neuron
    criterion = context.study.registry[removal]
    assert criterion.removal is not None
    fold_one: Callable[[nn.Module, Tensor], Remover]
    fold_one = criterion.function(criterion.removal.fold_one)  # type: ignore[assignment]
    return fold_one(chains.frozen(network), context.saliency.inputs)


def _zero_weight(network: nn.Module, layer: str, unit: int) -> None:
    chains.prunable(network)[layer].view(-1)[unit] = 0.0


def _zero_neuron(network: nn.Module, layer: str, unit: int) -> None:
    chain = chains.read(network)
    here = next(one for one in chain.hidden if one.name == layer)
    reader = chain.reader(here)
    columns = chains.columns_per_neuron(here, reader)
    reader.module.weight[:, unit * columns : (unit + 1) * columns] = 0.0


def _without(
    network: nn.Module, units: list[tuple[str, int]], remove: Remover
) -> Iterator[nn.Module]:
    """The network without each unit in turn (always the same object, restored in between)."""
    twin = chains.frozen(network)
    state = copy.deepcopy(twin.state_dict())
    for layer, unit in units:
        remove(twin, layer, unit)
        yield twin
        twin.load_state_dict(state)
