"""`minified train`: the dense baselines, one per replicate, with their initial weights."""

from minified import rows
from minified.jobs import common
from minified.paths import Paths
from minified.study import Study
from minified.training import clones


def train(study: Study, paths: Paths) -> None:
    """Train all replicates' baselines; keep initial and final weights, and a row each."""
    dataset = common.read_data(study, paths)
    recipe = study.recipes.baseline
    run = common.run_seeds(study, "baseline")
    initial = [common.fresh(common.build(study, dataset), seed) for seed in run]
    final = clones(initial)
    common.fit(
        common.job_name(study, "baseline", "dense", "train"),
        final,
        dataset.training,
        recipe,
        None,
        run,
    )
    common.write_networks(
        paths.baseline,
        {f"{r}/initial": network for r, network in enumerate(initial)}
        | {f"{r}/final": network for r, network in enumerate(final)},
    )
    rows.write(
        paths.baseline_rows,
        [
            common.make_row(
                study,
                dataset,
                final[r],
                method="baseline",
                regime="train",
                replicate=r,
                seed=run[r],
                before=common.measures(initial[r], dataset, "_before"),
                epochs=recipe.epochs,
            )
            for r in range(study.replicates)
        ],
    )
