"""`minified score`: the scores that a method gives every removable unit of every replicate."""

from torch import Tensor

from minified.criteria import scoring
from minified.criteria.record import parse_method
from minified.foundations import files, seeds
from minified.jobs.context import Context
from minified.study.paths import Paths
from minified.study.studies import Study


def score(study: Study, paths: Paths, method: str) -> None:
    """Score all replicates' baselines on the saliency examples, and save the scores."""
    context = Context(study, paths)
    examples = context.saliency
    level, criterion = parse_method(method, study.registry)
    tensors: dict[str, Tensor] = {}
    for replicate, network in enumerate(context.baselines()):
        shared = None
        if study.registry[criterion].derivatives:
            shared = context.derivatives(level, network, replicate)
        scores = scoring.score(
            method,
            network,
            examples.inputs,
            examples.targets,
            seeds.derive(study.seed, method, replicate),
            registry=study.registry,
            derivatives=shared,
            **study.criterion_options(criterion),
        )
        tensors |= {f"{replicate}/{name}": values for name, values in scores.items()}
    files.write_tensors(paths.scores(method), tensors, {"method": method})
