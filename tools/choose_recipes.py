"""Choose a study's recipes by mean validation accuracy, and keep the table that says why.

    python tools/choose_recipes.py config/digits.yaml docs/recipes-digits.csv

Test data are not read. Candidates within one validation image of the best count as its equals; of
those the largest batch is taken, which is the cheapest, and then the highest accuracy. Candidates
differ in learning rate, batch size and weight decay; epochs are the study's own, so that every
regime keeps the same budget. The baseline is chosen first, then each
regime on networks pruned from that baseline: mean over a few criteria of different kinds, all the
grid's sparsities, and the first replicates.
"""

import csv
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from minified import criteria, data, evaluation, pruning, seeds, study
from minified.jobs import common
from minified.training import clones, fit

REPLICATES = 3
LEARNING_RATES = (0.003, 0.01, 0.03, 0.1)
BATCH_SIZES = (64, 32)
WEIGHT_DECAYS = (0.0, 0.0001, 0.001)
SAMPLE = {"parameter": ("magnitude", "obd", "obd_signed"), "neuron": ("magnitude", "obd_sd")}


def candidates(recipe: study.Recipe, decays: tuple[float, ...]) -> Iterator[study.Recipe]:
    for rate, batch, decay in itertools.product(LEARNING_RATES, BATCH_SIZES, decays):
        yield recipe.model_copy(
            update={"learning_rate": rate, "batch_size": batch, "weight_decay": decay}
        )


def validation(networks: list[torch.nn.Module], dataset: data.Dataset) -> float:
    found = [evaluation.accuracy(network, dataset.validation) for network in networks]
    return sum(found) / len(found)


def best(table: list[dict[str, Any]], regime: str, image: float) -> dict[str, Any]:
    here = [line for line in table if line["regime"] == regime]
    highest = max(line["accuracy_validation"] for line in here)
    equals = [line for line in here if line["accuracy_validation"] >= highest - image]
    return max(equals, key=lambda line: (line["batch_size"], line["accuracy_validation"]))


def main(file: str, output: str) -> None:
    loaded = study.load(file)
    torch.set_num_threads(loaded.threads)
    chosen = loaded.data
    dataset = data.load(
        chosen.name, validation=chosen.validation, test=chosen.test, seed=loaded.seed
    )
    training = dataset.training
    saliency = training.first(chosen.saliency_examples)
    image = 1 / len(dataset.validation)
    table: list[dict[str, Any]] = []

    def record(regime: str, recipe: study.Recipe, accuracy: float) -> None:
        line = {"regime": regime, **recipe.model_dump(), "accuracy_validation": accuracy}
        table.append(line)
        print(line, flush=True)

    run = common.run_seeds(loaded, "baseline")[:REPLICATES]
    initial = [common.fresh(common.build(loaded, dataset), seed) for seed in run]
    trained = {}
    for recipe in candidates(loaded.recipes.baseline, WEIGHT_DECAYS):
        networks = clones(initial)
        fit(networks, training, recipe, None, run)
        record("baseline", recipe, validation(networks, dataset))
        trained[len(table) - 1] = networks
    baselines = trained[table.index(best(table, "baseline", image))]

    # method and sparsity -> per replicate (pruned baseline, masks)
    cells = []
    for level, names in SAMPLE.items():
        grid = loaded.pruning(level)
        for name in names:
            scores = [
                criteria.score(
                    f"{level}-{name}",
                    network,
                    saliency.inputs,
                    saliency.targets,
                    seeds.derive(loaded.seed, f"{level}-{name}", r),
                )
                for r, network in enumerate(baselines)
            ]
            cells += [(level, sparsity, grid, scores) for sparsity in grid.sparsities]

    for regime in ("fine_tune", "scratch", "rewind"):
        run = common.run_seeds(loaded, regime)[:REPLICATES]
        for recipe in candidates(loaded.recipes.of(regime), (0.0,)):
            found = []
            for level, sparsity, grid, scores in cells:
                if regime not in grid.regimes:
                    continue
                starts = clones(initial if regime == "rewind" else baselines)
                masks = None
                if level == "parameter":
                    masks = [pruning.parameter_masks(s, sparsity, grid.scope) for s in scores]
                else:
                    starts = [
                        pruning.remove_neurons(n, pruning.kept_neurons(s, sparsity, grid.scope))
                        for n, s in zip(starts, scores, strict=True)
                    ]
                if regime == "scratch":
                    for network, seed in zip(starts, run, strict=True):
                        common.fresh(network, seed)
                fit(starts, training, recipe, masks, run)
                found.append(validation(starts, dataset))
            record(regime, recipe, sum(found) / len(found))

    run = common.run_seeds(loaded, "quantization")[:REPLICATES]
    for recipe in candidates(loaded.recipes.quantization, (0.0,)):
        found = []
        for bits in loaded.grid.quantization.bits if loaded.grid.quantization else ():
            networks = clones(baselines)
            fit(networks, training, recipe, None, run, bits=bits)
            found.append(validation(networks, dataset))
        record("quantization", recipe, sum(found) / max(len(found), 1))

    for line in table:
        line["chosen"] = line is best(table, str(line["regime"]), image)
    with open(output, "w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    print(f"wrote {Path(output)}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
