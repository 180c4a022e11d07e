"""`minified score`: the scores that a method gives every removable unit of every replicate."""

from functools import partial

import torch
from torch import Tensor

from minified.criteria import scoring
from minified.criteria.record import parse_method
from minified.foundations import files, seeds
from minified.foundations.errors import ScoreError
from minified.jobs.context import Context
from minified.study.paths import Paths
from minified.study.studies import Study


def score(study: Study, paths: Paths, method: str) -> None:
    """Score all replicates' baselines on the saliency examples, and save the scores.

    Raises:
        ScoreError: among others, a reader's own criterion whose scores cannot be repeated. That is
            tried with the first replicate, or with the first of a block.
    """
    context = Context(study, paths)
    examples = context.saliency
    level, name = parse_method(method, study.registry)
    criterion = study.registry[name]
    tensors: dict[str, Tensor] = {}
    for replicate, network in zip(context.replicates, context.baselines(), strict=True):
        shared = None
        if criterion.derivatives:
            shared = context.derivatives(level, network, replicate)
        scored = partial(
            scoring.score,
            method,
            network,
            examples.inputs,
            examples.targets,
            seeds.derive(study.seed, method, replicate),
            registry=study.registry,
            derivatives=shared,
            **study.criterion_options(name),
        )
        scores = scored()
        if replicate == context.replicates[0] and not criterion.built_in:
            again = scored()
            if not all(torch.equal(scores[layer], again[layer]) for layer in scores):
                raise ScoreError(f"criterion {name}: {criterion.file}: {scoring.UNREPEATABLE}")
        tensors |= {f"{replicate}/{layer}": values for layer, values in scores.items()}
    files.write_tensors(paths.scores(method), tensors, {"method": method})
