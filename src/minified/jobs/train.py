"""`minified train`: the dense baselines, one per replicate, with their initial weights."""

from minified.jobs.fitting import FittingContext
from minified.study import rows
from minified.study.paths import Paths
from minified.study.studies import Study
from minified.training.loop import clones


def train(study: Study, paths: Paths) -> None:
    """Train all replicates' baselines; save their initial and final weights, and a row each."""
    context = FittingContext(study, paths)
    recipe = study.recipes.baseline
    seeds = context.seeds("baseline")
    initial = [context.fresh(context.build(), seed) for seed in seeds]
    final = clones(initial)
    context.fit("method baseline, dense, regime train", final, recipe, seeds)
    context.keep(
        paths.baseline,
        {f"{r}/initial": network for r, network in enumerate(initial)}
        | {f"{r}/final": network for r, network in enumerate(final)},
        {},
    )
    before = context.before(initial)
    rows.write(
        paths.baseline_rows,
        [
            context.row(
                final[r],
                method="baseline",
                regime="train",
                replicate=r,
                seed=seeds[r],
                before=before[r],
                epochs=recipe.epochs,
            )
            for r in context.replicates
        ],
    )
