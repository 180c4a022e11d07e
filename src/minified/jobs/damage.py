"""`minified damage`: remove units one at a time and see how much the loss really changes.

Predicted against measured damage: the measured side. A random sample of units, the same for every
criterion, is removed singly; the change of the loss on the saliency examples is the damage. Neuron
merging has its own: the change when that one neuron is merged into its cheapest stand-in.
"""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from minified import chains, evaluation, files, seeds
from minified.jobs import common
from minified.paths import Paths
from minified.rows import DAMAGE_COLUMNS
from minified.study import Study

REMOVALS = ("parameter", "neuron", "merging")


def damage(study: Study, paths: Paths, removal: str) -> None:
    """Measure single removals for all replicates; `unit` counts row-major within its layer."""
    dataset = common.read_data(study, paths)
    baselines = common.read_baselines(study, dataset, paths.baseline, "final")
    examples = dataset.training.first(study.data.saliency_examples)
    level = "parameter" if removal == "parameter" else "neuron"
    found = []
    for replicate, network in enumerate(baselines):
        seed = seeds.derive(study.seed, "damage", level, replicate)
        units = sample_units(network, level, study.damage.units, seed)
        if removal == "merging":
            # A layer's only neuron has none to be merged into.
            widths = {layer.name: layer.neurons for layer in chains.read(network).hidden}
            units = [(layer, unit) for layer, unit in units if widths[layer] > 1]
        whole = evaluation.loss(network, examples)
        for (layer, unit), network_without in zip(
            units, _without(network, units, removal, examples.inputs), strict=True
        ):
            change = evaluation.loss(network_without, examples) - whole
            found.append({"replicate": replicate, "layer": layer, "unit": unit, "damage": change})
    files.write_rows(paths.damage(removal), DAMAGE_COLUMNS, found)


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


def _without(
    network: nn.Module, units: list[tuple[str, int]], removal: str, inputs: Tensor
) -> Iterator[nn.Module]:
    """The network with one unit removed, for each unit in turn (one object, used again)."""
    twin = chains.frozen(network)
    whole = copy.deepcopy(twin.state_dict())
    chain = chains.read(twin)
    layers = {layer.name: layer for layer in chain.layers}
    fits = {}
    if removal == "merging":
        from minified.criteria import merging

        fits = {
            layer.name: merging.least_squares(twin, layer.name, inputs) for layer in chain.hidden
        }
    for name, unit in units:
        if removal == "parameter":
            layers[name.removesuffix(".weight")].module.weight.view(-1)[unit] = 0.0
        elif removal == "neuron":
            reader = chain.reader(layers[name])
            columns = chains.columns_per_neuron(layers[name], reader)
            reader.module.weight[:, unit * columns : (unit + 1) * columns] = 0.0
        else:
            merging.fold(twin, name, fits[name], [merging.cheapest(fits[name], unit)])
        yield twin
        twin.load_state_dict(whole)
