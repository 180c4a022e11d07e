"""Choose a study's recipes by mean validation accuracy, and keep the table of all candidates.

    python tools/choose_recipes.py config/digits.yaml docs/recipes-digits.csv

No test data are used. Candidates within one validation image of the best are taken for equals; of
those the cheapest is chosen (fewest epochs, then the largest batch), then the most accurate.
Candidates differ in learning rate and batch size, the baseline's in weight decay too, and in epochs
if asked; all regimes train for as many epochs as the baseline, so that each has the same budget.
The baseline is chosen first, then each regime on networks pruned from that baseline: mean over a
few criteria of different kinds, the grid's sparsities, and the first replicates.
"""

import csv
import itertools
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from minified.foundations import arithmetic

# Before torch and numpy are imported, as in the jobs.
arithmetic.fix(1, "portable")

from torch import Tensor, nn  # noqa: E402

from minified import criteria, evaluation, pruning, study  # noqa: E402
from minified.jobs.fitting import FittingContext  # noqa: E402
from minified.jobs.prepare import prepare  # noqa: E402
from minified.study import REGIMES, Paths, Recipe, Regime  # noqa: E402
from minified.training import clones  # noqa: E402

SAMPLE = {"parameter": ("magnitude", "obd", "obd_signed"), "neuron": ("magnitude", "obd_sd")}


@dataclass(frozen=True)
class Cell:
    """One method at one sparsity, with the scores of each replicate's baseline."""

    level: str
    scope: str
    regimes: Sequence[str]
    sparsity: float
    scores: Sequence[dict[str, Tensor]]

    def prune(self, networks: list[nn.Module]) -> tuple[list[nn.Module], list[Any] | None]:
        """The pruned networks; at parameter level unchanged, with the masks to train under."""
        if self.level == "parameter":
            return networks, [
                pruning.parameter_masks(scores, self.sparsity, self.scope) for scores in self.scores
            ]
        kept = [pruning.kept_neurons(scores, self.sparsity, self.scope) for scores in self.scores]
        return [pruning.remove_neurons(*one) for one in zip(networks, kept, strict=True)], None


class Trials:
    """Trains candidates on the first replicates of a study, and keeps their accuracies.

    Attributes: `table`, a line per candidate; `baselines`, the chosen ones' networks, which the
    regimes start from.
    """

    def __init__(self, context: FittingContext, replicates: int):
        self.context = context
        self.replicates = replicates
        self.table: list[dict[str, Any]] = []
        self.initial = [context.fresh(context.build(), seed) for seed in self.seeds("baseline")]
        self.baselines: list[nn.Module] = []

    def seeds(self, purpose: str) -> list[int]:
        return self.context.seeds(purpose)[: self.replicates]

    def choose_baseline(self, recipes: Iterator[Recipe]) -> dict[str, Any]:
        """Train the candidates' baselines, keep the chosen ones, and return their line."""
        trained = []
        for recipe in recipes:
            networks = clones(self.initial)
            self.context.fit("baseline", networks, recipe, self.seeds("baseline"))
            self.record("baseline", recipe, [self.accuracy(networks)])
            trained.append(networks)
        chosen = self.best("baseline")
        self.baselines = trained[self.table.index(chosen)]
        return chosen

    def cells(self, method: str, chosen: Sequence[float] | None) -> list[Cell]:
        """One method's cells: the grid's sparsities, or those of them that are chosen."""
        level = method.partition("-")[0]
        grid = self.context.study.pruning(level)
        examples = self.context.saliency
        scores = [
            criteria.score(method, network, examples.inputs, examples.targets, seed)
            for network, seed in zip(self.baselines, self.seeds(method), strict=True)
        ]
        sparsities = [one for one in grid.sparsities if not chosen or one in chosen]
        return [Cell(level, grid.scope, grid.regimes, one, scores) for one in sparsities]

    def retrain(self, cell: Cell, regime: Regime, recipe: Recipe) -> float:
        """The accuracy of one cell's networks after a regime."""
        seeds = self.seeds(regime.seeds)
        dense = self.initial if regime.start == "initial" else self.baselines
        networks, masks = cell.prune(clones(dense))
        if regime.start == "fresh":
            for network, seed in zip(networks, seeds, strict=True):
                self.context.fresh(network, seed)
        self.context.fit(f"regime {regime.name}", networks, recipe, seeds, masks)
        return self.accuracy(networks)

    def quantize(self, bits: int, recipe: Recipe) -> float:
        """The accuracy of the baselines after quantization-aware training."""
        networks = clones(self.baselines)
        self.context.fit(f"{bits} bits", networks, recipe, self.seeds("quantization"), bits=bits)
        return self.accuracy(networks)

    def accuracy(self, networks: Sequence[nn.Module]) -> float:
        """Mean accuracy on the validation examples."""
        return _mean([evaluation.accuracy(one, self.context.data.validation) for one in networks])

    def record(self, regime: str, recipe: Recipe, accuracies: Sequence[float]) -> None:
        line = {"regime": regime, **recipe.model_dump(), "accuracy_validation": _mean(accuracies)}
        self.table.append(line)
        print(line, flush=True)

    def best(self, regime: str) -> dict[str, Any]:
        """The line of the chosen candidate."""
        image = 1 / len(self.context.data.validation)
        lines = [line for line in self.table if line["regime"] == regime]
        highest = max(line["accuracy_validation"] for line in lines)
        equals = [line for line in lines if line["accuracy_validation"] >= highest - image]
        return max(equals, key=_cheapest)

    def write(self, output: Path) -> None:
        for line in self.table:
            line["chosen"] = line is self.best(str(line["regime"]))
        with open(output, "w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(self.table[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.table)


def candidates(recipe: Recipe, **choices: Sequence[Any]) -> Iterator[Recipe]:
    """`recipe` with every combination of the given values of its keys."""
    for values in itertools.product(*choices.values()):
        yield recipe.model_copy(update=dict(zip(choices, values, strict=True)))


def _cheapest(line: dict[str, Any]) -> tuple[Any, ...]:
    return -line["epochs"], line["batch_size"], line["accuracy_validation"]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def main(
    file: str,
    output: Path,
    replicates: int = 3,
    epochs: Annotated[list[int] | None, typer.Option(help="Default: the baseline's own.")] = None,
    learning_rate: Annotated[list[float], typer.Option()] = [0.003, 0.01, 0.03, 0.1],  # noqa: B006
    batch_size: Annotated[list[int], typer.Option()] = [64, 32],  # noqa: B006
    weight_decay: Annotated[list[float], typer.Option()] = [0.0, 0.0001, 0.001],  # noqa: B006
    criterion: Annotated[
        list[str] | None, typer.Option(help="LEVEL-CRITERION; default: five of them.")
    ] = None,
    sparsity: Annotated[
        list[float] | None, typer.Option(help="Only these of the grid; default: all.")
    ] = None,
    bits: Annotated[
        list[int] | None, typer.Option(help="Only these of the grid; default: all.")
    ] = None,
) -> None:
    """Choose the recipes of study FILE, and write the table of candidates to OUTPUT."""
    loaded = study.load(file)
    methods = criterion or [f"{level}-{name}" for level in loaded.levels for name in SAMPLE[level]]
    varied: dict[str, Sequence[Any]] = {"learning_rate": learning_rate, "batch_size": batch_size}
    with tempfile.TemporaryDirectory() as folder:
        paths = Paths(loaded.name, Path(folder))
        prepare(loaded, paths)
        trials = Trials(FittingContext(loaded, paths), replicates)
        dense = loaded.recipes.baseline
        lengths = epochs or [dense.epochs]
        chosen = trials.choose_baseline(
            candidates(dense, **varied, weight_decay=weight_decay, epochs=lengths)
        )
        budget = [chosen["epochs"]]

        cells = [cell for method in methods for cell in trials.cells(method, sparsity)]
        for regime in REGIMES.values():
            used = [cell for cell in cells if regime.name in cell.regimes]
            if not used:
                continue
            for recipe in candidates(loaded.recipe(regime.name), **varied, epochs=budget):
                accuracies = [trials.retrain(cell, regime, recipe) for cell in used]
                trials.record(regime.name, recipe, accuracies)

        grid, rounding = loaded.grid.quantization, loaded.recipes.quantization
        widths = [width for width in grid.bits if not bits or width in bits] if grid else []
        if widths and rounding is not None:
            for recipe in candidates(rounding, **varied, epochs=budget):
                accuracies = [trials.quantize(width, recipe) for width in widths]
                trials.record("quantization", recipe, accuracies)
    trials.write(output)
    print(f"wrote {output}")


if __name__ == "__main__":
    typer.run(main)
