"""Choose a study's recipes by mean validation accuracy, and keep the table that says why.

    python tools/choose_recipes.py config/digits.yaml docs/recipes-digits.csv

Test data are not read. Candidates within one validation image of the best count as its equals; of
those the cheapest is taken (fewest epochs, then the largest batch), and then the highest accuracy.
Candidates differ in learning rate, batch size and weight decay, the baseline's in epochs too if
asked; all regimes take the epochs that the baseline was given, so that each has the same budget.
The baseline is chosen first, then each regime on networks pruned from that baseline: mean over a
few criteria of different kinds, the grid's sparsities, and the first replicates.
"""

import csv
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from minified import arithmetic

# Before torch and numpy are imported, as in the jobs.
arithmetic.fix(1, "portable")

import torch  # noqa: E402

from minified import criteria, data, evaluation, pruning, seeds, study  # noqa: E402
from minified.jobs import common  # noqa: E402
from minified.training import clones, fit  # noqa: E402

SAMPLE = {"parameter": ("magnitude", "obd", "obd_signed"), "neuron": ("magnitude", "obd_sd")}


def candidates(recipe: study.Recipe, **choices: Sequence[Any]) -> Iterator[study.Recipe]:
    """`recipe` with every combination of the given values of its keys."""
    for values in itertools.product(*choices.values()):
        yield recipe.model_copy(update=dict(zip(choices, values, strict=True)))


def validation(networks: list[torch.nn.Module], dataset: data.Dataset) -> float:
    found = [evaluation.accuracy(network, dataset.validation) for network in networks]
    return sum(found) / len(found)


def best(table: list[dict[str, Any]], regime: str, image: float) -> dict[str, Any]:
    here = [line for line in table if line["regime"] == regime]
    highest = max(line["accuracy_validation"] for line in here)
    equals = [line for line in here if line["accuracy_validation"] >= highest - image]
    return max(equals, key=cheapest)


def cheapest(line: dict[str, Any]) -> tuple[Any, ...]:
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
    chosen = loaded.data
    dataset = data.load(
        chosen.name,
        loaded.raw_data,
        validation=chosen.validation,
        test=chosen.test,
        seed=loaded.seed,
        training_examples=chosen.training_examples,
    )
    training = dataset.training
    saliency = training.first(chosen.saliency_examples)
    image = 1 / len(dataset.validation)
    table: list[dict[str, Any]] = []

    def record(regime: str, recipe: study.Recipe, accuracy: float) -> None:
        line = {"regime": regime, **recipe.model_dump(), "accuracy_validation": accuracy}
        table.append(line)
        print(line, flush=True)

    run = common.run_seeds(loaded, "baseline")[:replicates]
    initial = [common.fresh(common.build(loaded, dataset), seed) for seed in run]
    trained = {}
    for recipe in candidates(
        loaded.recipes.baseline,
        learning_rate=learning_rate,
        batch_size=batch_size,
        weight_decay=weight_decay,
        epochs=epochs or [loaded.recipes.baseline.epochs],
    ):
        networks = clones(initial)
        fit(networks, training, recipe, None, run)
        record("baseline", recipe, validation(networks, dataset))
        trained[len(table) - 1] = networks
    winner = best(table, "baseline", image)
    baselines = trained[table.index(winner)]
    budget = [winner["epochs"]]

    # method and sparsity -> per replicate (pruned baseline, masks)
    cells = []
    for method in criterion or [f"{level}-{name}" for level in SAMPLE for name in SAMPLE[level]]:
        level = method.partition("-")[0]
        grid = loaded.pruning(level)
        scores = [
            criteria.score(
                method,
                network,
                saliency.inputs,
                saliency.targets,
                seeds.derive(loaded.seed, method, r),
            )
            for r, network in enumerate(baselines)
        ]
        cells += [
            (level, s, grid, scores) for s in grid.sparsities if not sparsity or s in sparsity
        ]

    for regime in ("fine_tune", "scratch", "rewind"):
        run = common.run_seeds(loaded, regime)[:replicates]
        for recipe in candidates(
            loaded.recipes.of(regime),
            learning_rate=learning_rate,
            batch_size=batch_size,
            epochs=budget,
        ):
            found = []
            for level, fraction, grid, scores in cells:
                if regime not in grid.regimes:
                    continue
                starts = clones(initial if regime == "rewind" else baselines)
                masks = None
                if level == "parameter":
                    masks = [pruning.parameter_masks(s, fraction, grid.scope) for s in scores]
                else:
                    starts = [
                        pruning.remove_neurons(n, pruning.kept_neurons(s, fraction, grid.scope))
                        for n, s in zip(starts, scores, strict=True)
                    ]
                if regime == "scratch":
                    for network, seed in zip(starts, run, strict=True):
                        common.fresh(network, seed)
                fit(starts, training, recipe, masks, run)
                found.append(validation(starts, dataset))
            record(regime, recipe, sum(found) / len(found))

    run = common.run_seeds(loaded, "quantization")[:replicates]
    widths = loaded.grid.quantization.bits if loaded.grid.quantization else ()
    for recipe in candidates(
        loaded.recipes.quantization,
        learning_rate=learning_rate,
        batch_size=batch_size,
        epochs=budget,
    ):
        found = []
        for width in (width for width in widths if not bits or width in bits):
            networks = clones(baselines)
            fit(networks, training, recipe, None, run, bits=width)
            found.append(validation(networks, dataset))
        record("quantization", recipe, sum(found) / max(len(found), 1))

    for line in table:
        line["chosen"] = line is best(table, str(line["regime"]), image)
    with open(output, "w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    print(f"wrote {output}")


if __name__ == "__main__":
    typer.run(main)
