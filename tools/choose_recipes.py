"""Choose a study's recipes by mean validation accuracy, and keep the table of all candidates.

    python tools/choose_recipes.py config/digits.yaml docs/recipes-digits.csv

No test data are used. Candidates within one validation image of the best are taken for equals; of
those the cheapest is chosen (fewest epochs, then the largest batch), then the most accurate.
Candidates differ in learning rate and batch size, the baseline's in weight decay too, and in epochs
if asked; all regimes train for as many epochs as the baseline, so that each has the same budget.
The baseline is chosen first, then each regime on networks pruned from that baseline: mean over a
few criteria of different kinds, the grid's sparsities, and the first replicates.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

import trials
from minified import study
from minified.study import REGIMES, Recipe
from trials import candidates, tried


class Table:
    """All candidates, with their accuracies on the validation examples.

    Attributes: `lines`, one per candidate; `image`, the share of one validation image.
    """

    def __init__(self, image: float):
        self.image = image
        self.lines: list[dict[str, Any]] = []

    def add(self, regime: str, recipe: Recipe, accuracy: float | None) -> None:
        """Add a candidate; one that diverged has no accuracy."""
        line = {"regime": regime, **recipe.model_dump(), "accuracy_validation": accuracy}
        self.lines.append(line)
        print(line, flush=True)

    def best(self, regime: str) -> dict[str, Any]:
        """The line of the chosen candidate; empty if all of them diverged."""
        lines = [line for line in self.lines if line["regime"] == regime]
        finished = [line for line in lines if line["accuracy_validation"] is not None]
        highest = max((line["accuracy_validation"] for line in finished), default=0.0)
        equals = [line for line in finished if line["accuracy_validation"] >= highest - self.image]
        return max(equals, key=_cheapest, default={})

    def write(self, output: Path) -> None:
        for line in self.lines:
            line["chosen"] = line is self.best(str(line["regime"]))
        trials.write(self.lines, output)


def choose_baseline(made: trials.Trials, table: Table, recipes: Iterator[Recipe]) -> dict[str, Any]:
    """Train the candidates' baselines, keep the chosen ones, and return their line."""
    trained = []
    for recipe in recipes:
        networks = tried(made.train, recipe)
        table.add("baseline", recipe, None if networks is None else made.accuracy(networks))
        trained.append(networks)
    chosen = table.best("baseline")
    networks = trained[table.lines.index(chosen)] if chosen else None
    if networks is None:
        raise SystemExit("every baseline diverged; try lower rates with --learning-rate")
    made.baselines = networks
    return chosen


def _cheapest(line: dict[str, Any]) -> tuple[Any, ...]:
    return -line["epochs"], line["batch_size"], line["accuracy_validation"]


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
    varied: dict[str, Sequence[Any]] = {"learning_rate": learning_rate, "batch_size": batch_size}
    with trials.opened(loaded, replicates) as made:
        table = Table(1 / len(made.context.data.validation))
        dense = loaded.recipes.baseline
        lengths = epochs or [dense.epochs]
        chosen = choose_baseline(
            made, table, candidates(dense, **varied, weight_decay=weight_decay, epochs=lengths)
        )
        budget = [chosen["epochs"]]

        methods = trials.methods(loaded, criterion)
        cells = [cell for method in methods for cell in made.cells(method, sparsity)]
        for regime in REGIMES.values():
            used = [cell for cell in cells if regime.name in cell.regimes]
            if not used:
                continue
            for recipe in candidates(loaded.recipe(regime.name), **varied, epochs=budget):
                table.add(regime.name, recipe, tried(made.retrain, used, regime, recipe))

        grid, rounding = loaded.grid.quantization, loaded.recipes.quantization
        widths = [width for width in grid.bits if not bits or width in bits] if grid else []
        if widths and rounding is not None:
            for recipe in candidates(rounding, **varied, epochs=budget):
                table.add("quantization", recipe, tried(made.quantize, widths, recipe))
    table.write(output)
    print(f"wrote {output}")


if __name__ == "__main__":
    typer.run(main)
