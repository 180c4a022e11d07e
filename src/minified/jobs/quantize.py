"""`minified quantize`: round the baselines' weights, after training or while fine-tuning."""

from minified import quantization, rows
from minified.jobs import common
from minified.paths import Paths
from minified.study import Job, Study
from minified.training import clones


def quantize(study: Study, paths: Paths, job: Job) -> None:
    """Run one quantization job for all replicates; keep its rows and, if asked, its networks."""
    bits = int(job.place)
    dataset = common.read_data(study, paths)
    baselines = common.read_baselines(study, dataset, paths.baseline, "final")
    run = common.run_seeds(study, "quantization")
    rounded = [quantization.quantize(network, bits) for network in baselines]
    before = [common.measures(network, dataset, "_before") for network in rounded]
    epochs = 0
    if job.regime == "fine_tune":
        epochs = study.recipes.quantization.epochs
        trained = clones(baselines)
        common.fit(
            common.job_name(study, job.method, f"{bits} bits", job.regime),
            trained,
            dataset.training,
            study.recipes.quantization,
            None,
            run,
            bits,
        )
        rounded = [quantization.quantize(network, bits) for network in trained]
    if study.keep_networks:
        common.write_networks(
            paths.networks(job),
            {str(r): network for r, network in enumerate(rounded)},
            {"method": job.method, "bits": bits, "regime": job.regime},
        )
    rows.write(
        paths.rows(job),
        [
            common.make_row(
                study,
                dataset,
                network,
                method=job.method,
                bits=bits,
                regime=job.regime,
                replicate=r,
                seed=run[r],
                before=before[r],
                epochs=epochs,
            )
            for r, network in enumerate(rounded)
        ],
    )
