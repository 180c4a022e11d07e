"""Trains candidates for a study's recipes on its first replicates, and measures them.

What `choose_recipes.py` and `choose_rates.py` share. Only validation accuracy is read.
"""

import csv
import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from minified.foundations import arithmetic

# Before torch and numpy are imported, as in the jobs.
arithmetic.fix(1, "portable")

from torch import Tensor, nn  # noqa: E402

from minified import criteria, evaluation, pruning  # noqa: E402
from minified.criteria.record import Criterion, parse_method  # noqa: E402
from minified.foundations.errors import DivergenceError, StudyError  # noqa: E402
from minified.jobs.fitting import FittingContext  # noqa: E402
from minified.jobs.prepare import prepare  # noqa: E402
from minified.study import Paths, Recipe, Regime, Study  # noqa: E402
from minified.training import clones  # noqa: E402

SAMPLE = {"parameter": ("magnitude", "obd", "obd_signed"), "neuron": ("magnitude", "obd_sd")}
"""A few criteria of different kinds per level, on which candidates are tried by default."""

Result = TypeVar("Result")
Widths = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Cell:
    """One method at one sparsity, with the scores of each replicate's baseline."""

    level: str
    criterion: Criterion
    scope: str
    regimes: Sequence[str]
    sparsity: float
    scores: Sequence[dict[str, Tensor]]

    def prune(
        self, networks: list[nn.Module], start: str, inputs: Tensor
    ) -> tuple[list[nn.Module], list[Any] | None]:
        """The pruned networks; at parameter level unchanged, with the masks to train under.

        `start` is the regime's: a criterion's own way of removing preserves the trained function.
        """
        if self.level == "parameter":
            return networks, [
                pruning.parameter_masks(scores, self.sparsity, self.scope) for scores in self.scores
            ]
        if self.criterion.removal and start == "trained":
            how = (inputs, self.sparsity, self.scope)
            return [pruning.remove_as(self.criterion, one, *how) for one in networks], None
        kept = [pruning.kept_neurons(scores, self.sparsity, self.scope) for scores in self.scores]
        return [pruning.remove_neurons(*one) for one in zip(networks, kept, strict=True)], None


class Trials:
    """Trains candidates on the first replicates of a study.

    Attributes: `baselines`, the networks which the regimes start from: whoever uses the trials sets
    them to trained ones.
    """

    def __init__(self, context: FittingContext, replicates: int):
        self.context = context
        self.replicates = replicates
        self.initial = [context.fresh(context.build(), seed) for seed in self.seeds("baseline")]
        self.baselines: list[nn.Module] = []

    def seeds(self, purpose: str) -> list[int]:
        return self.context.seeds(purpose)[: self.replicates]

    def train(self, recipe: Recipe) -> list[nn.Module]:
        """Dense networks, trained from the replicates' initial weights."""
        networks = clones(self.initial)
        self.context.fit("baseline", networks, recipe, self.seeds("baseline"))
        return networks

    def cells(self, method: str, chosen: Sequence[float] | None = None) -> list[Cell]:
        """One method's cells: the grid's sparsities, or those of them that are chosen."""
        study, examples = self.context.study, self.context.saliency
        level, name = parse_method(method, study.registry)
        grid = study.pruning(level)
        options: dict[str, Any] = study.criterion_options(name)
        scores = [
            criteria.score(
                method,
                network,
                examples.inputs,
                examples.targets,
                seed,
                registry=study.registry,
                **options,
            )
            for network, seed in zip(self.baselines, self.seeds(method), strict=True)
        ]
        sparsities = [one for one in grid.sparsities if not chosen or one in chosen]
        scope = grid.scope_of(name)
        criterion = study.registry[name]
        return [Cell(level, criterion, scope, grid.regimes, one, scores) for one in sparsities]

    def retrain(self, cells: Sequence[Cell], regime: Regime, recipe: Recipe) -> float:
        """The mean accuracy of the cells' networks after a regime.

        Fresh networks without masks depend on nothing but their widths: those of equal widths are
        trained once.
        """
        seeds, inputs = self.seeds(regime.seeds), self.context.saliency.inputs
        known: dict[Widths, float] = {}
        accuracies = []
        for cell in cells:
            dense = self.initial if regime.start == "initial" else self.baselines
            networks, masks = cell.prune(clones(dense), regime.start, inputs)
            alone = regime.start == "fresh" and masks is None
            widths = tuple(map(_widths, networks))
            if not alone or widths not in known:
                if regime.start == "fresh":
                    for network, seed in zip(networks, seeds, strict=True):
                        self.context.fresh(network, seed)
                self.context.fit(f"regime {regime.name}", networks, recipe, seeds, masks)
                known[widths] = self.accuracy(networks)
            accuracies.append(known[widths])
        return mean(accuracies)

    def quantize(self, widths: Sequence[int], recipe: Recipe) -> float:
        """The mean accuracy of the baselines after quantization-aware training."""
        accuracies = []
        for bits in widths:
            networks, seeds = clones(self.baselines), self.seeds("quantization")
            self.context.fit(f"{bits} bits", networks, recipe, seeds, bits=bits)
            accuracies.append(self.accuracy(networks))
        return mean(accuracies)

    def accuracy(self, networks: Sequence[nn.Module]) -> float:
        """Mean accuracy on the validation examples."""
        return mean([evaluation.accuracy(one, self.context.data.validation) for one in networks])


@contextmanager
def opened(study: Study, replicates: int) -> Iterator[Trials]:
    """The trials of a study, with its data prepared in a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        paths = Paths(study.name, Path(folder))
        prepare(study, paths)
        yield Trials(FittingContext(study, paths), replicates)


def methods(study: Study, given: Sequence[str] | None) -> list[str]:
    """The methods on which candidates are tried: the given ones, or the sample.

    Raises:
        MinifiedError: a method that there is not, or whose level the study does not have.
    """
    if not given:
        return [f"{level}-{name}" for level in study.levels for name in SAMPLE[level]]
    for method in given:
        level, _ = parse_method(method, study.registry)
        study.pruning(level)
    return list(given)


def candidates(recipe: Recipe, **choices: Sequence[Any]) -> Iterator[Recipe]:
    """`recipe` with every combination of the given values of its keys.

    Raises:
        StudyError: a value that no recipe may have.
    """
    for values in itertools.product(*choices.values()):
        changed = dict(zip(choices, values, strict=True))
        try:
            yield Recipe.model_validate(recipe.model_dump() | changed)
        except ValidationError as error:
            first = error.errors()[0]
            shown = ", ".join(f"{key} {value}" for key, value in changed.items())
            raise StudyError(f"candidate {shown}: {first['msg']}") from None


def tried(run: Callable[..., Result], *arguments: Any) -> Result | None:
    """What `run` returns for its arguments; None if its training diverges."""
    try:
        return run(*arguments)
    except DivergenceError:
        return None


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def write(table: Sequence[dict[str, Any]], output: Path) -> None:
    """Write lines of equal keys as CSV; None is an empty cell."""
    with open(output, "w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)


def _widths(network: nn.Module) -> tuple[int, ...]:
    return tuple(parameter.numel() for parameter in network.parameters())
