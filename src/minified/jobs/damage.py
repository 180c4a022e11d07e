"""`minified damage`: remove units one at a time and measure how much the loss changes.

This is the measured side of predicted against measured damage. Every criterion is compared on the
same random sample of units. The damage of a unit is the change of the loss on the saliency examples
when it alone is removed; for neuron merging, when it alone is merged into the neuron that replaces
it at the lowest cost.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minified import evaluation
from minified.criteria.record import LEVELS
from minified.data.dataset import Split
from minified.foundations import files, products, seeds
from minified.foundations.errors import StudyError
from minified.jobs.context import Context
from minified.networks import chains, modules
from minified.networks.examples import all_finite
from minified.study.paths import Paths
from minified.study.rows import DAMAGE_COLUMNS
from minified.study.studies import Study


def damage(study: Study, paths: Paths, removal: str) -> None:
    """Measure single removals, for the replicates that the study's `damage.replicates` says.

    `unit` counts row-major within its layer.
    `removal` is a level, or a criterion that has its own way of removing neurons.

    Raises:
        StudyError: no neuron can be removed in that way.
    """
    context = Context(study, paths)
    examples = context.saliency
    level = removal if removal in LEVELS else "neuron"
    rows = []
    for replicate, network in zip(study.damaged, context.baselines(), strict=False):
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
        removals = Removals(network, examples, _remover(context, network, removal, level))
        for layer, unit in units:
            change = removals.loss(layer, unit) - dense
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


class Removals:
    """The loss on `examples` of a copy of `network` without some of its units, to the bit that of
    `evaluation.loss`.

    A removal is undone before the next. Only the steps from the first one that it changes are run
    again; what that step reads is kept, since one layer's units come one after the other.
    """

    def __init__(self, network: nn.Module, examples: Split, remove: Remover):
        self._network = chains.frozen(network)
        self._examples, self._remove = examples, remove
        self._chain = chains.read(self._network)
        self._size = self._chain.batch(examples.inputs, evaluation.BATCH)
        self._dense = {name: tensor.clone() for name, tensor in self._chain.tensors()}
        self._start, self._kept = 0, list(examples.inputs.split(self._size))

    @torch.no_grad()
    @products.unchecked()
    def loss(self, layer: str, unit: int) -> float:
        """The loss without one unit.

        Raises:
            ArgumentError: it is not finite, or a weight is not.
        """
        self._remove(self._network, layer, unit)
        self._chain = chains.read(self._network)
        changed = {
            name: tensor
            for name, tensor in self._chain.tensors()
            if not torch.equal(tensor, self._dense[name])
        }
        loss = self._changed_loss(changed)
        for name, tensor in changed.items():
            tensor.copy_(self._dense[name])
        return loss

    def _changed_loss(self, changed: Mapping[str, Tensor]) -> float:
        owners = {id(tensor): i for i, tensor in self._tensors()}
        start = min((owners[id(tensor)] for tensor in changed.values()), default=self._start)
        targets = self._examples.targets.split(self._size)
        total = torch.zeros((), dtype=torch.float64, device=self._examples.targets.device)
        for read, labels in zip(self._read(start), targets, strict=True):
            logits = self._chain.run(read, start)
            total += F.cross_entropy(logits.double(), labels, reduction="sum")
        if not (bool(total.isfinite()) and all(map(all_finite, changed.values()))):
            return evaluation.loss(self._network, self._examples)  # its error says why
        return float(total) / len(self._examples)

    def _tensors(self) -> Iterator[tuple[int, Tensor]]:
        """Every parameter and buffer, by the number of its step."""
        for i, (_, module) in enumerate(self._chain.steps):
            for _, tensor, _ in modules.tensors(module):
                yield i, tensor

    def _read(self, start: int) -> Iterable[Tensor]:
        """What step `start` reads, batch by batch; kept unless it is large."""
        if start == self._start:
            return self._kept
        inputs = self._examples.inputs
        one = self._chain.run(inputs[:1], stop=start)
        read = (self._chain.run(batch, stop=start) for batch in inputs.split(self._size))
        if one.nbytes * len(inputs) > chains.BATCH_BYTES:
            return read
        self._start, self._kept = start, list(read)
        return self._kept
