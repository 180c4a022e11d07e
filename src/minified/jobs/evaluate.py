"""`minified evaluate`: a row for each dense baseline.

Apart from `train`, so that an edit in `minified.evaluation` makes no score stale.
"""

from minified.jobs.measuring import MeasuringContext
from minified.study import rows
from minified.study.paths import Paths
from minified.study.studies import Study


def evaluate(study: Study, paths: Paths) -> None:
    """Measure all replicates' baselines, and their initial weights as `*_before`."""
    context = MeasuringContext(study, paths)
    seeds = context.seeds("baseline")
    before = context.measures(context.baselines("initial"), "_before")
    trained = context.baselines()
    after = context.measures(trained)
    rows.write(
        paths.baseline_rows,
        [
            context.row(
                network,
                method="baseline",
                regime="train",
                replicate=replicate,
                seed=seeds[i],
                before=before[i],
                after=after[i],
                epochs=study.recipes.baseline.epochs,
            )
            for i, (replicate, network) in enumerate(zip(context.replicates, trained, strict=True))
        ],
    )
