"""`minified iterate`: score, remove and train in rounds, up to the last removal.

Frankle & Carbin's iterative schedule (2019, arXiv 1803.03635): see `foundations.rounds`. `retrain`
does the last training, from the file that is written here.
"""

from torch import Tensor

from minified import pruning
from minified.criteria import scoring
from minified.criteria.record import parse_method
from minified.foundations.errors import ScoreError, StudyError
from minified.foundations.rounds import Round, schedule
from minified.jobs import rounds
from minified.jobs.fitting import FittingContext
from minified.jobs.rounds import Left
from minified.networks import chains
from minified.study.methods import Job
from minified.study.paths import Paths
from minified.study.studies import Study
from minified.training.masks import apply_masks


def iterate(study: Study, paths: Paths, method: str, sparsity: str, regime: str) -> None:
    """Run the rounds of one job for all replicates, and save what is left after the last removal.

    Raises:
        StudyError: the study prunes in one round, or the regime does not start from the trained
            network.
        DivergenceError, ScoreError: names the round.
    """
    job = Job(method, sparsity, regime)
    level, _ = parse_method(method, study.registry)
    steps = schedule(study.pruning(level).rounds)
    if len(steps) == 1:
        raise StudyError(
            f"{study.file}: grid.{level}.rounds: 1: nothing to iterate; it takes more rounds"
        )
    start = study.regime(regime)
    if start.start != "trained":
        raise StudyError(
            f"{study.file}: regime {regime}: rounds are trained by a regime that starts from the"
            f" trained network, here {study.trained_regime(level)}"
        )
    context = FittingContext(study, paths)
    left = [rounds.whole(network) for network in context.baselines()]
    trained = []
    for step in steps:
        scores = _scores(context, job, step, left)
        left = [_removed(context, job, step, *one) for one in zip(left, scores, strict=True)]
        if not step.last:
            curve = context.fit(
                f"method {method}, sparsity {sparsity}, regime {regime}, {step}",
                [one.network for one in left],
                study.recipe(regime, level),
                context.seeds(start.seeds, step),
                [one.masks or {} for one in left] if level == "parameter" else None,
            )
            trained.append(curve)
    described = {"method": method, "sparsity": float(sparsity), "regime": regime}
    rounds.save(context, job, left, {**described, "rounds": len(steps)})
    context.write_curves(paths.curve("iterate", method, sparsity, regime), trained)


def _scores(
    context: FittingContext, job: Job, step: Round, left: list[Left]
) -> list[dict[str, Tensor]]:
    """The scores of what is left of each replicate: of the baselines as `score` has saved them."""
    if step.number == 1:
        return context.scores(job.method, left[0].network)
    study, examples = context.study, context.saliency
    if study.registry[job.criterion].removal:
        return [{} for _ in left]  # it chooses while it removes
    scores = []
    for one, seed in zip(left, context.seeds(job.method, step), strict=True):
        try:
            scores.append(
                scoring.score(
                    job.method,
                    one.network,
                    examples.inputs,
                    examples.targets,
                    seed,
                    registry=study.registry,
                    masks=one.masks,
                    **study.criterion_options(job.criterion),
                )
            )
        except ScoreError as error:
            raise type(error)(
                f"{error}; sparsity {job.place}, regime {job.regime}, {step}"
            ) from error.__cause__
    return scores


def _removed(
    context: FittingContext, job: Job, step: Round, left: Left, scores: dict[str, Tensor]
) -> Left:
    """What one round leaves of a replicate."""
    study, sparsity = context.study, float(job.place)
    criterion = study.registry[job.criterion]
    scope = study.pruning(job.level).scope_of(job.criterion)
    if job.level == "parameter":
        masks = pruning.parameter_masks(scores, sparsity, scope, step=step, masks=left.masks)
        apply_masks(left.network, masks)
        return Left(left.network, masks, left.kept, left.widths)
    hidden = chains.read(left.network).hidden
    before = {name: widths[0] for name, widths in left.widths.items()}
    if criterion.removal:
        counts = {
            layer.name: pruning.removed_per_layer(before[layer.name], sparsity, step)
            - (before[layer.name] - layer.neurons)
            for layer in hidden
        }
        inputs = context.saliency.inputs
        smaller, stay = pruning.fold_away(criterion, left.network, inputs, counts)
    else:
        stay = pruning.kept_neurons(scores, sparsity, scope, step=step, widths=before)
        smaller = pruning.remove_neurons(left.network, stay)
    kept = {name: left.kept[name][indices] for name, indices in stay.items()}
    widths = {name: [*left.widths[name], len(indices)] for name, indices in stay.items()}
    return Left(smaller, None, kept, widths)
