"""`minified quantize`: round the baselines' weights, after training or while fine-tuning."""

from minified import quantization
from minified.jobs.measuring import MeasuringContext
from minified.study import rows
from minified.study.methods import Job
from minified.study.paths import Paths
from minified.study.regimes import ROUNDINGS
from minified.study.studies import Study
from minified.training.loop import clones


def quantize(study: Study, paths: Paths, bits: int, regime: str) -> None:
    """Run one quantization job for all replicates; save its rows and, if asked, its networks."""
    context = MeasuringContext(study, paths)
    job = Job("quantization", str(bits), regime)
    baselines = context.baselines()
    seeds = context.seeds("quantization")
    rounded = [quantization.quantize(network, bits) for network in baselines]
    before = context.measures(rounded, "_before")
    epochs, curve = 0, []
    if ROUNDINGS[regime].trains:
        recipe = study.recipe(job.method)
        epochs = recipe.epochs
        trained = clones(baselines)
        name = f"method {job.method}, {bits} bits, regime {regime}"
        curve.append(context.fit(name, trained, recipe, seeds, bits=bits))
        rounded = [quantization.quantize(network, bits) for network in trained]
    context.write_curves(paths.curve("quantize", job.place, regime), curve)
    if study.keep_networks:
        context.keep(
            paths.networks(job),
            {str(r): network for r, network in zip(context.replicates, rounded, strict=True)},
            {"method": job.method, "bits": bits, "regime": regime},
        )
    after = context.measures(rounded)
    rows.write(
        paths.rows(job),
        [
            context.row(
                network,
                method=job.method,
                bits=bits,
                regime=regime,
                replicate=replicate,
                seed=seeds[i],
                before=before[i],
                after=after[i],
                epochs=epochs,
            )
            for i, (replicate, network) in enumerate(zip(context.replicates, rounded, strict=True))
        ],
    )
