"""Choose learning rates by validation accuracy: one per level, regime and number of epochs.

    python tools/choose_rates.py config/digits_specifications.yaml docs/rates-digits.csv \
        --budget 2 --budget 5 --budget 20 --budget 40

A study that varies how long its regimes may train needs a rate for each length, or its short
budgets would be straw men. All else is as in the study's own recipe of that regime and level, the
baseline's recipe too. Each rate is tried on the first replicates: networks pruned by a few criteria
of different kinds, to each of the grid's sparsities. The highest mean accuracy on the validation
examples is chosen, of equal ones the lowest rate. No test data are used.

OUTPUT has all candidates. `accuracy_validation` is empty where training diverged; such a rate is
never chosen. Where the lowest or the highest rate is chosen, a line says so: try more of them.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

import trials
from minified import study
from minified.foundations.errors import MinifiedError
from minified.study import Study

RATES = [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1]

# A mean over cells is a sum of floats: means that are equal differ by the last bits, and the means
# of different numbers of correct examples by more than this.
DIGITS = 9

Line = dict[str, Any]


def attempts(
    loaded: Study,
    budgets: Sequence[int],
    rates: Sequence[float],
    replicates: int = 3,
    criteria: Sequence[str] | None = None,
) -> Iterator[list[Line]]:
    """Per level, regime and number of epochs the lines of its candidates, one of them chosen.

    Raises:
        MinifiedError: before any training a value that no recipe may have or a method that the
            study lacks; a baseline that diverges.
    """
    methods = trials.methods(loaded, criteria)
    plan = {
        (level, regime, epochs): list(
            trials.candidates(
                loaded.recipe(regime, level), epochs=[epochs], learning_rate=sorted(set(rates))
            )
        )
        for level in loaded.levels
        if any(method.startswith(f"{level}-") for method in methods)
        for regime in loaded.pruning(level).regimes
        for epochs in sorted(set(budgets))
    }
    with trials.opened(loaded, replicates) as made:
        made.baselines = made.train(loaded.recipes.baseline)
        cells = [cell for method in methods for cell in made.cells(method)]
        for (level, regime, epochs), recipes in plan.items():
            used = [cell for cell in cells if cell.level == level]
            where = {"level": level, "regime": regime, "epochs": epochs}
            lines = []
            for recipe in recipes:
                accuracy = trials.tried(made.retrain, used, loaded.regime(regime), recipe)
                lines.append(where | line(recipe.learning_rate, accuracy))
            yield choose(lines)


def line(rate: float, accuracy: float | None) -> Line:
    rounded = None if accuracy is None else round(accuracy, DIGITS)
    return {"learning_rate": rate, "accuracy_validation": rounded}


def choose(lines: Sequence[Line]) -> list[Line]:
    """The candidates for one recipe with `chosen`: the most accurate, of equal ones the lowest."""
    finished = [line for line in lines if line["accuracy_validation"] is not None]
    best = max(
        finished, key=lambda line: (line["accuracy_validation"], -line["learning_rate"]), default={}
    )
    return [line | {"chosen": line is best} for line in lines]


def warning(lines: Sequence[Line]) -> str | None:
    """What is wrong with a choice: none of the rates finished, or the chosen one is the last."""
    where = "{level} {regime} {epochs} epochs".format(**lines[0])
    by_rate = sorted(lines, key=lambda line: line["learning_rate"])
    if not any(line["chosen"] for line in lines):
        return f"{where}: training diverged at every rate; try lower ones with --learning-rate"
    for end, more in ((by_rate[0], "lower"), (by_rate[-1], "higher")):
        if end["chosen"]:
            rate = end["learning_rate"]
            return f"{where}: {rate} is the last rate tried; try {more} ones with --learning-rate"
    return None


def main(
    file: str,
    output: Path,
    budget: Annotated[list[int], typer.Option(help="Epochs; may be repeated.")],
    learning_rate: Annotated[list[float], typer.Option()] = RATES,
    replicates: Annotated[int, typer.Option(min=1)] = 3,
    criterion: Annotated[
        list[str] | None, typer.Option(help="LEVEL-CRITERION; default: five of them.")
    ] = None,
) -> None:
    """Choose learning rates of study FILE, and write the table of candidates to OUTPUT."""
    table: list[Line] = []
    try:
        loaded = study.load(file)
        for lines in attempts(loaded, budget, learning_rate, replicates, criterion):
            table += lines
            for line in lines:
                print(*line.values(), flush=True)
            if (problem := warning(lines)) is not None:
                typer.echo(f"choose_rates: {problem}", err=True)
    except MinifiedError as error:
        typer.echo(f"choose_rates: {error}", err=True)
        raise typer.Exit(1) from None
    trials.write(table, output)
    print(f"wrote {output}")


if __name__ == "__main__":
    typer.run(main)
