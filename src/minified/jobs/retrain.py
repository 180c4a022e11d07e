"""`minified retrain`: remove the lowest scores, retrain by one regime, one row per replicate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from minified import pruning
from minified.criteria.record import parse_method
from minified.foundations.rounds import ONE_SHOT, schedule
from minified.jobs import rounds
from minified.jobs.measuring import MeasuringContext
from minified.study import rows
from minified.study.methods import Job
from minified.study.paths import Paths
from minified.study.studies import Study
from minified.training.masks import apply_masks


@dataclass(frozen=True)
class _Pruned:
    """A pruned network, its masks (at parameter level), the sparsity achieved, and networks as
    large as those that were trained in earlier rounds for this one.
    """

    network: nn.Module
    masks: Mapping[str, Tensor] | None
    achieved: float
    earlier: Sequence[nn.Module] = ()


def retrain(study: Study, paths: Paths, method: str, sparsity: str, regime: str) -> None:
    """Run one pruning job for all replicates; save its rows and, if asked, its networks.

    In several rounds, what is left by then is in the file of `iterate`. A regime that starts from
    the trained network does their last training; any other trains once, what is left in the end.
    """
    context = MeasuringContext(study, paths)
    job = Job(method, sparsity, regime)
    level, criterion = parse_method(method, study.registry)
    grid = study.pruning(level)
    start, recipe, step = study.regime(regime), study.recipe(regime, level), ONE_SHOT

    dense = context.baselines("initial" if start.start == "initial" else "trained")
    if study.rounds(level) == 1:
        scores = context.scores(method, dense[0])
        pruned = [
            _prune(context, job, one, score) for one, score in zip(dense, scores, strict=True)
        ]
    else:
        pruned = _iterated(context, job, dense)
        if start.start == "trained":
            step = schedule(study.rounds(level))[-1]
    seeds = context.seeds(start.seeds, step)
    for one, seed in zip(pruned, seeds, strict=True):
        if start.start == "fresh":
            context.fresh(one.network, seed)
        if one.masks is not None:
            apply_masks(one.network, one.masks)

    networks = [one.network for one in pruned]
    before = context.measures(networks, "_before")
    trained = []  # the shared networks have a curve of their own
    if study.shares_scratch(method, regime):
        context.load(networks, paths.scratch(regime, sparsity), "final")
    else:
        masks = [one.masks or {} for one in pruned] if level == "parameter" else None
        name = f"method {method}, sparsity {sparsity}, regime {regime}"
        name += f", {step}" if step.of > 1 else ""
        trained.append(context.fit(name, networks, recipe, seeds, masks))
    context.write_curves(paths.curve("retrain", method, sparsity, regime), trained)
    if study.keep_networks:
        context.keep(
            paths.networks(job),
            {str(r): network for r, network in zip(context.replicates, networks, strict=True)},
            {"method": method, "sparsity": float(sparsity), "regime": regime},
        )
    after = context.measures(networks)
    rows.write(
        paths.rows(job),
        [
            context.row(
                one.network,
                method=method,
                level=level,
                criterion=criterion,
                scope=grid.scope_of(criterion),
                sparsity=float(sparsity),
                sparsity_achieved=one.achieved,
                rounds=study.rounds(level),
                regime=regime,
                replicate=replicate,
                seed=seeds[i],
                before=before[i],
                after=after[i],
                epochs=recipe.epochs,
                masks=one.masks,
                earlier=one.earlier,
            )
            for i, (replicate, one) in enumerate(zip(context.replicates, pruned, strict=True))
        ],
    )


def _prune(
    context: MeasuringContext, job: Job, network: nn.Module, scores: dict[str, Tensor]
) -> _Pruned:
    """Prune one replicate's network to the job's sparsity."""
    study, sparsity = context.study, float(job.place)
    criterion = study.registry[job.criterion]
    scope = study.pruning(job.level).scope_of(job.criterion)
    if job.level == "parameter":
        masks = pruning.parameter_masks(scores, sparsity, scope)
        return _Pruned(network, masks, _removed(masks))
    # A criterion's own way preserves the trained function, which no other start has.
    if criterion.removal and study.regime(job.regime).start == "trained":
        inputs = context.saliency.inputs
        smaller = pruning.remove_as(criterion, network, inputs, sparsity, scope)
    else:
        smaller = pruning.remove_neurons(network, pruning.kept_neurons(scores, sparsity, scope))
    return _Pruned(smaller, None, _smaller(network, smaller))


def _iterated(context: MeasuringContext, job: Job, dense: Sequence[nn.Module]) -> list[_Pruned]:
    """All replicates' networks as the rounds of the job leave them, before their last training."""
    study = context.study
    number, trained = study.rounds(job.level), study.regime(job.regime).start == "trained"
    between = study.iterated(job.level, job.regime) or job.regime
    left = rounds.read(context, Job(job.method, job.place, between), dense, number)
    pruned = []
    for network, one in zip(dense, left, strict=True):
        # Another start has weights of its own, in what is left.
        smaller = one.network if trained else pruning.remove_neurons(network, one.kept)
        earlier = rounds.earlier(network, one, number) if trained else []
        achieved = _smaller(network, smaller) if one.masks is None else _removed(one.masks)
        pruned.append(_Pruned(smaller, one.masks, achieved, earlier))
    return pruned


def _removed(masks: Mapping[str, Tensor]) -> float:
    """The fraction of the weights that masks remove."""
    total = sum(mask.numel() for mask in masks.values())
    return sum(int((~mask).sum()) for mask in masks.values()) / total


def _smaller(network: nn.Module, smaller: nn.Module) -> float:
    """The fraction of the neurons of `network` that `smaller` lacks."""
    total = pruning.hidden_neurons(network)
    return (total - pruning.hidden_neurons(smaller)) / total
