"""`minified retrain`: remove the lowest scores, retrain by one regime, one row per replicate."""

from dataclasses import dataclass

from torch import Tensor, nn

from minified import pruning
from minified.criteria.record import parse_method
from minified.jobs.measuring import MeasuringContext
from minified.study import rows
from minified.study.methods import Job
from minified.study.paths import Paths
from minified.study.studies import Study
from minified.training.masks import apply_masks


@dataclass(frozen=True)
class _Pruned:
    """A pruned network, its masks (at parameter level), and the sparsity achieved."""

    network: nn.Module
    masks: dict[str, Tensor] | None
    achieved: float


def retrain(study: Study, paths: Paths, method: str, sparsity: str, regime: str) -> None:
    """Run one pruning job for all replicates; save its rows and, if asked, its networks."""
    context = MeasuringContext(study, paths)
    job = Job(method, sparsity, regime)
    level, criterion = parse_method(method, study.registry)
    scope = study.pruning(level).scope
    start, recipe = study.regime(regime), study.recipe(regime)
    seeds = context.seeds(start.seeds)

    dense = context.baselines("initial" if start.start == "initial" else "trained")
    scores = context.scores(method, dense[0])
    pruned = [
        _prune(context, job, network, score) for network, score in zip(dense, scores, strict=True)
    ]
    for one, seed in zip(pruned, seeds, strict=True):
        if start.start == "fresh":
            context.fresh(one.network, seed)
        if one.masks is not None:
            apply_masks(one.network, one.masks)

    networks = [one.network for one in pruned]
    before = context.before(networks)
    if study.shares_scratch(method, regime):
        context.load(networks, paths.scratch(regime, sparsity), "final")
    else:
        masks = [one.masks or {} for one in pruned] if level == "parameter" else None
        name = f"method {method}, sparsity {sparsity}, regime {regime}"
        context.fit(name, networks, recipe, seeds, masks)
    if study.keep_networks:
        context.keep(
            paths.networks(job),
            {str(r): network for r, network in enumerate(networks)},
            {"method": method, "sparsity": float(sparsity), "regime": regime},
        )
    rows.write(
        paths.rows(job),
        [
            context.row(
                one.network,
                method=method,
                level=level,
                criterion=criterion,
                scope=scope,
                sparsity=float(sparsity),
                sparsity_achieved=one.achieved,
                regime=regime,
                replicate=r,
                seed=seeds[r],
                before=before[r],
                epochs=recipe.epochs,
                masks=one.masks,
            )
            for r, one in enumerate(pruned)
        ],
    )


def _prune(
    context: MeasuringContext, job: Job, network: nn.Module, scores: dict[str, Tensor]
) -> _Pruned:
    """Prune one replicate's network to the job's sparsity."""
    study, sparsity = context.study, float(job.place)
    criterion = study.registry[job.criterion]
    scope = study.pruning(job.level).scope
    if job.level == "parameter":
        masks = pruning.parameter_masks(scores, sparsity, scope)
        total = sum(mask.numel() for mask in masks.values())
        removed = sum(int((~mask).sum()) for mask in masks.values())
        return _Pruned(network, masks, removed / total)
    # A criterion's own way preserves the trained function, which no other start has.
    if criterion.removal and study.regime(job.regime).start == "trained":
        inputs = context.saliency.inputs
        smaller = pruning.remove_as(criterion, network, inputs, sparsity, scope)
    else:
        smaller = pruning.remove_neurons(network, pruning.kept_neurons(scores, sparsity, scope))
    total = pruning.hidden_neurons(network)
    return _Pruned(smaller, None, (total - pruning.hidden_neurons(smaller)) / total)
