"""`minified score`: one method's scores of every removable unit, for every replicate."""

from torch import Tensor

from minified import criteria, files, seeds
from minified.jobs import common
from minified.paths import Paths
from minified.study import Study


def score(study: Study, paths: Paths, method: str) -> None:
    """Score all replicates' baselines on the saliency examples, and keep the scores."""
    dataset = common.read_data(study, paths)
    baselines = common.read_baselines(study, dataset, paths.baseline, "final")
    examples = dataset.training.first(study.data.saliency_examples)
    level, criterion = criteria.parse_method(method, study.registry)
    tensors: dict[str, Tensor] = {}
    for replicate, network in enumerate(baselines):
        derivatives = None
        if study.registry[criterion].derivatives:
            kept = paths.derivatives(level)
            derivatives = common.read_derivatives(network, kept, level, replicate)
        scores = criteria.score(
            method,
            network,
            examples.inputs,
            examples.targets,
            seeds.derive(study.seed, method, replicate),
            registry=study.registry,
            derivatives=derivatives,
            **study.criterion_options(criterion),
        )
        tensors |= {f"{replicate}/{name}": values for name, values in scores.items()}
    files.write_tensors(paths.scores(method), tensors, {"method": method})
