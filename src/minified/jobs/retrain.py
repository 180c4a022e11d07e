"""`minified retrain`: remove what scores lowest, retrain by one regime, record a row each."""

from dataclasses import dataclass

from torch import Tensor, nn

from minified import criteria, pruning, rows, training
from minified.jobs import common
from minified.paths import Paths
from minified.study import Job, Study


@dataclass(frozen=True)
class _Pruned:
    """A pruned architecture, filled with the weights that the regime starts from."""

    network: nn.Module
    masks: dict[str, Tensor] | None
    achieved: float


def retrain(study: Study, paths: Paths, job: Job) -> None:
    """Run one pruning job for all replicates; keep its rows and, if asked, its networks."""
    level, criterion = criteria.parse_method(job.method, study.registry)
    scope = study.pruning(level).scope
    sparsity = float(job.place)
    dataset = common.read_data(study, paths)
    starts = common.read_baselines(
        study, dataset, paths.baseline, "initial" if job.regime == "rewind" else "final"
    )
    scores = common.read_scores(study, starts[0], paths.scores(job.method), level)
    saliency = dataset.training.first(study.data.saliency_examples)
    run = common.run_seeds(study, job.regime)

    pruned = []
    for network, score, seed in zip(starts, scores, run, strict=True):
        if level == "parameter":
            found = _prune_parameters(network, score, sparsity, scope)
        elif criterion == "merging" and job.regime == "fine_tune":
            merged = pruning.merge_neurons(network, saliency.inputs, sparsity, scope)
            found = _Pruned(merged, None, _removed_neurons(network, merged))
        else:
            kept = pruning.kept_neurons(score, sparsity, scope)
            smaller = pruning.remove_neurons(network, kept)
            found = _Pruned(smaller, None, _removed_neurons(network, smaller))
        if job.regime == "scratch":
            common.fresh(found.network, seed)
        if found.masks is not None:
            training.apply_masks(found.network, found.masks)
        pruned.append(found)

    replicas = [found.network for found in pruned]
    recipe = study.recipes.of(job.regime)
    before = [common.measures(network, dataset, "_before") for network in replicas]
    if study.shares_scratch(job.method, job.regime):
        common.load_networks(replicas, paths.scratch(job.place), "final")
    else:
        common.fit(
            common.job_name(study, job.method, f"sparsity {job.place}", job.regime),
            replicas,
            dataset.training,
            recipe,
            [found.masks or {} for found in pruned] if level == "parameter" else None,
            run,
        )
    if study.keep_networks:
        common.write_networks(
            paths.networks(job),
            {str(r): network for r, network in enumerate(replicas)},
            {"method": job.method, "sparsity": sparsity, "regime": job.regime},
        )
    rows.write(
        paths.rows(job),
        [
            common.make_row(
                study,
                dataset,
                found.network,
                method=job.method,
                level=level,
                criterion=criterion,
                scope=scope,
                sparsity=sparsity,
                sparsity_achieved=found.achieved,
                regime=job.regime,
                replicate=r,
                seed=run[r],
                before=before[r],
                epochs=recipe.epochs,
                masks=found.masks,
            )
            for r, found in enumerate(pruned)
        ],
    )


def _prune_parameters(
    network: nn.Module, scores: dict[str, Tensor], sparsity: float, scope: str
) -> _Pruned:
    masks = pruning.parameter_masks(scores, sparsity, scope)
    total = sum(mask.numel() for mask in masks.values())
    removed = sum(int((~mask).sum()) for mask in masks.values())
    return _Pruned(network, masks, removed / total)


def _removed_neurons(before: nn.Module, after: nn.Module) -> float:
    total = pruning.hidden_neurons(before)
    return (total - pruning.hidden_neurons(after)) / total
