"""`minified train`: the dense baselines, one per replicate, with their initial weights."""

from minified.jobs.fitting import FittingContext
from minified.study.paths import Paths
from minified.study.studies import Study
from minified.training.loop import clones


def train(study: Study, paths: Paths) -> None:
    """Train all replicates' baselines; save initial and final weights."""
    context = FittingContext(study, paths)
    seeds = context.seeds("baseline")
    initial = [context.fresh(context.build(), seed) for seed in seeds]
    final = clones(initial)
    curve = context.fit(
        "method baseline, dense, regime train", final, study.recipes.baseline, seeds
    )
    context.keep(
        paths.baseline,
        {f"{r}/initial": one for r, one in zip(context.replicates, initial, strict=True)}
        | {f"{r}/final": one for r, one in zip(context.replicates, final, strict=True)},
        {},
    )
    context.write_curves(paths.curve("train"), [curve])
