"""An iterative run equals its rounds done by hand: score, remove, train, step by step.

The oracle below counts, ranks and removes on its own; of the library it uses `score`,
`remove_neurons`, one layer's merging and `fit`.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from learners import same_bits
from minified import criteria, evaluation, study
from minified.criteria.merging import merge_layer
from minified.foundations import files
from minified.foundations.errors import (
    ArtefactError,
    DivergenceError,
    ScoreError,
    StudyError,
)
from minified.foundations.seeds import derive
from minified.jobs import derivatives, iterate, prepare, retrain, score, scratch, train
from minified.jobs.context import Context
from minified.networks import chains
from minified.pruning import remove_neurons
from minified.study import Paths, Study
from minified.study.methods import Job
from minified.training import clones, fit

ROUNDS, ROUND_EPOCHS = 3, 2
STUDY = """\
data: {saliency_examples: 60, training_examples: 300}
network: {name: mlp, widths: [9, 6]}
replicates: 2
recipes:
  baseline: &short {learning_rate: 0.01, epochs: 3, batch_size: 64}
  fine_tune: *short
  scratch: *short
  rewind: *short
regimes:
  gentle: {start: trained, recipe: {learning_rate: 0.003, epochs: 1, batch_size: 50}, seeds: gentle}
grid:
  parameter:
    criteria: [random, magnitude, obd, obd_signed, ratio]
    sparsities: [0.8]
    regimes: [fine_tune, gentle, scratch, rewind]
    scope: SCOPE
    rounds: 3
    round_epochs: 2
  neuron:
    criteria: [random, obd, dropout_damage, drawn, OWN_WAY]
    sparsities: [0.6]
    regimes: [gentle, fine_tune, scratch, rewind]
    scope: SCOPE
    rounds: 3
    round_epochs: 2
criteria:
  ratio: {file: ratio.py, levels: [parameter]}
  drawn: {file: drawn.py, levels: [neuron]}
options: {dropout_damage: {passes: 12}}
"""
# The size of the gradient, so written that it is no number where a weight is removed.
RATIO = """\
import torch
import torch.nn.functional as F

from minified.networks import chains


def ratio(level, network, inputs, targets, generator):
    weights = chains.prunable(network)
    loss = F.cross_entropy(network(inputs), targets)
    gradients = torch.autograd.grad(loss, list(weights.values()))
    return {n: (w * g).abs() / w.abs() for (n, w), g in zip(weights.items(), gradients)}
"""
DRAWN = """\
import torch

from minified.networks import chains


def drawn(level, network, inputs, targets, generator):
    hidden = chains.read(network).hidden
    return {one.name: torch.rand(one.neurons, generator=generator) for one in hidden}
"""
CASES = [
    *((scope, "parameter", name) for scope in ("global", "layer") for name in ("random", "obd")),
    ("global", "parameter", "magnitude"),
    ("layer", "parameter", "obd_signed"),
    ("global", "parameter", "ratio"),
    ("layer", "parameter", "ratio"),
    *((scope, "neuron", name) for scope in ("global", "layer") for name in ("random", "obd")),
    ("layer", "neuron", "dropout_damage"),
    ("global", "neuron", "dropout_damage"),
    ("layer", "neuron", "drawn"),
    ("layer", "neuron", "merging"),
]
SPARSITY = {"parameter": "0.8", "neuron": "0.6"}
every_case = pytest.mark.parametrize(("scope", "level", "criterion"), CASES)


def begin(folder: Path, scope: str, text: str = STUDY) -> tuple[Study, Paths]:
    """A study in `folder`, with its baselines and scores."""
    own_way = "merging" if scope == "layer" else "magnitude"
    (folder / "ratio.py").write_text(RATIO)
    (folder / "drawn.py").write_text(DRAWN)
    (folder / "mine.yaml").write_text(text.replace("SCOPE", scope).replace("OWN_WAY", own_way))
    loaded, paths = study.load(folder / "mine.yaml"), Paths("mine", folder / "results")
    prepare.prepare(loaded, paths)
    train.train(loaded, paths)
    for level in loaded.levels:
        derivatives.derivatives(loaded, paths, level)
    for method in loaded.methods:
        score.score(loaded, paths, method)
    return loaded, paths


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Study, Paths]]:
    """A study per scope."""
    return {scope: begin(tmp_path_factory.mktemp(scope), scope) for scope in ("global", "layer")}


@dataclass
class ByHand:
    """One replicate's network, what is removed (of the baseline), and its size in each round."""

    network: nn.Module
    removed: set[tuple[str, int]] = field(default_factory=set)
    sizes: list[int] = field(default_factory=list)


def seed_of(purpose: str, number: int, replicate: int) -> int:
    if number == 1:
        return derive(2306, purpose, replicate)
    return derive(2306, purpose, f"round {number}", replicate)


def scored(
    loaded: Study, context: Context, method: str, one: ByHand, seed: int
) -> dict[str, Tensor]:
    """The scores of what is left."""
    name = method.partition("-")[2]
    examples = context.data.training.first(60)
    if name == "ratio":  # as the study's own file has it
        function = loaded.registry[name].function()
        return function("parameter", one.network, examples.inputs, examples.targets, None)
    options: dict[str, Any] = {"passes": 12} if name == "dropout_damage" else {}
    given = (examples.inputs, examples.targets, seed)
    return criteria.score(method, one.network, *given, registry=loaded.registry, **options)


def take(
    one: ByHand,
    scores: dict[str, Tensor],
    sizes: dict[str, int],
    scope: str,
    share: float,
    spare: int,
) -> None:
    """Remove one unit at a time, the lowest of those that may go, until `share` of all are gone."""
    left = {n: [i for i in range(size) if (n, i) not in one.removed] for n, size in sizes.items()}
    by_unit = {
        # Weights keep their places; neurons are numbered anew in the smaller network.
        (name, unit): float(scores[name].detach().flatten()[place if spare else unit])
        for name, units in left.items()
        for place, unit in enumerate(units)
    }
    for group in [list(sizes)] if scope == "global" else [[name] for name in sizes]:
        wanted = round(share * sum(sizes[name] for name in group))
        while sum(name in group for name, _ in one.removed) < wanted:
            free = [u for u in by_unit if u[0] in group and u not in one.removed]
            free = [u for u in free if len(left[u[0]]) > spare]
            if not free:
                break
            lowest = min(free, key=by_unit.__getitem__)
            left[lowest[0]].remove(lowest[1])
            one.removed.add(lowest)


def stay(one: ByHand, sizes: dict[str, int]) -> dict[str, list[int]]:
    return {n: [i for i in range(size) if (n, i) not in one.removed] for n, size in sizes.items()}


def masks_of(one: ByHand, network: nn.Module) -> dict[str, Tensor]:
    masks = {n: torch.ones(w.shape, dtype=torch.bool) for n, w in chains.prunable(network).items()}
    for name, i in one.removed:
        masks[name].view(-1)[i] = False
    return masks


def remove(
    loaded: Study, context: Context, job: Job, one: ByHand, scores: dict[str, Tensor], number: int
) -> None:
    """One round's removal, on the network as it is."""
    target = float(job.place)
    share = target if number == ROUNDS else 1 - (1 - target) ** (number / ROUNDS)
    scope = loaded.pruning(job.level).scope
    baseline = context.build()
    if job.level == "parameter":
        sizes = {name: weight.numel() for name, weight in chains.prunable(baseline).items()}
        take(one, scores, sizes, scope, share, 0)
        with torch.no_grad():
            for name, mask in masks_of(one, baseline).items():
                chains.prunable(one.network)[name].mul_(mask)
    else:
        sizes = {layer.name: layer.neurons for layer in chains.read(baseline).hidden}
        before = stay(one, sizes)
        if job.criterion == "merging":
            inputs = context.data.training.first(60).inputs
            for name, size in sizes.items():
                count = min(round(share * size), size - 1) - (size - len(before[name]))
                gone = merge_layer(one.network, name, inputs, count)
                places = [i for i in range(len(before[name])) if i not in gone]
                one.network = remove_neurons(one.network, {name: places})
                one.removed |= {(name, before[name][place]) for place in gone}
        else:
            take(one, scores, sizes, scope, share, 1)
            after = stay(one, sizes)
            places_of = {n: [before[n].index(i) for i in units] for n, units in after.items()}
            one.network = remove_neurons(one.network, places_of)
    one.sizes.append(evaluation.flops(one.network, context.data.input_shape)[0])


def rounds(loaded: Study, context: Context, job: Job) -> Iterator[tuple[int, list[ByHand]]]:
    """Each round after its removal; the caller sees the last one before its training."""
    purpose = loaded.regime(job.regime).seeds
    recipe = loaded.recipe(job.regime).model_copy(update={"epochs": ROUND_EPOCHS})
    all_ = [ByHand(network) for network in clones(context.baselines())]
    for number in range(1, ROUNDS + 1):
        for replicate, one in enumerate(all_):
            seed = seed_of(job.method, number, replicate)
            found = scored(loaded, context, job.method, one, seed)
            remove(loaded, context, job, one, found, number)
        yield number, all_
        masks = None
        if job.level == "parameter":
            masks = [masks_of(one, one.network) for one in all_]
        seeds = [seed_of(purpose, number, replicate) for replicate in range(2)]
        fit([one.network for one in all_], context.data.training, recipe, masks, seeds)


def done(folder: Paths, job: Job) -> tuple[list[dict[str, str]], list[dict[str, Tensor]]]:
    """A job's rows and networks."""
    with open(folder.rows(job), newline="") as stream:
        rows = list(csv.DictReader(stream))
    tensors = load_file(folder.networks(job))
    networks = [
        {n.partition("/")[2]: t for n, t in tensors.items() if n.startswith(f"{r}/")}
        for r in range(len(rows))
    ]
    return rows, networks


def run(loaded: Study, paths: Paths, job: Job) -> None:
    between = job.regime if job.regime in ("fine_tune", "gentle") else "fine_tune"
    iterate.iterate(loaded, paths, job.method, job.place, between)
    if loaded.shares_scratch(job.method, job.regime):
        scratch.scratch(loaded, paths, job.place, job.regime)
    retrain.retrain(loaded, paths, job.method, job.place, job.regime)


@every_case
@pytest.mark.parametrize("regime", ["fine_tune", "gentle"])
def test_training_between_and_after_the_rounds_is_what_it_is_by_hand(
    studies: dict[str, tuple[Study, Paths]], scope: str, level: str, criterion: str, regime: str
) -> None:
    loaded, paths = studies[scope]
    context = Context(loaded, paths)
    job = Job(f"{level}-{criterion}", SPARSITY[level], regime)
    run(loaded, paths, job)
    rows, networks = done(paths, job)

    before = []
    for number, by_hand in rounds(loaded, context, job):
        if number == ROUNDS:
            before = [evaluation.performance(one.network, context.data.test) for one in by_hand]
    for replicate, (row, network, one) in enumerate(zip(rows, networks, by_hand, strict=True)):
        assert same_bits(network, one.network.state_dict())
        assert float(row["accuracy_test_before"]) == before[replicate].accuracy
        assert float(row["loss_test_before"]) == before[replicate].loss
        assert int(row["seed"]) == derive(2306, regime, "round 3", replicate)
        assert int(row["rounds"]) == ROUNDS
        assert int(row["epochs"]) == ROUNDS * ROUND_EPOCHS
        examples = len(context.data.training)
        assert int(row["training_flops"]) == 3 * ROUND_EPOCHS * examples * sum(one.sizes)
        if level == "parameter":
            assert float(row["sparsity_achieved"]) == len(one.removed) / (64 * 9 + 9 * 6 + 6 * 10)
            for name, mask in masks_of(one, one.network).items():
                assert not network[name][~mask].any()
        else:
            assert float(row["sparsity_achieved"]) == len(one.removed) / 15
            assert sum(one.sizes) > 3 * one.sizes[-1]


@every_case
@pytest.mark.parametrize("regime", ["scratch", "rewind"])
def test_other_starts_train_once_what_the_rounds_of_fine_tuning_leave(
    studies: dict[str, tuple[Study, Paths]], scope: str, level: str, criterion: str, regime: str
) -> None:
    loaded, paths = studies[scope]
    context = Context(loaded, paths)
    job = Job(f"{level}-{criterion}", SPARSITY[level], regime)
    run(loaded, paths, job)
    rows, networks = done(paths, job)

    tuned = Job(job.method, job.place, "fine_tune")
    by_hand = next(all_ for number, all_ in rounds(loaded, context, tuned) if number == ROUNDS)
    seeds = [derive(2306, regime, replicate) for replicate in range(2)]
    started: list[nn.Module] = []
    sizes = {layer.name: layer.neurons for layer in chains.read(context.build()).hidden}
    for one, network, seed in zip(by_hand, context.baselines("initial"), seeds, strict=True):
        smaller = remove_neurons(network, stay(one, sizes)) if level == "neuron" else network
        started.append(context.fresh(smaller, seed) if regime == "scratch" else smaller)
    masks = None
    if level == "parameter":
        masks = [masks_of(one, network) for one, network in zip(by_hand, started, strict=True)]
    fit(started, context.data.training, loaded.recipe(regime), masks, seeds)
    for row, tensors, trained in zip(rows, networks, started, strict=True):
        assert same_bits(tensors, trained.state_dict())
        assert (row["rounds"], row["epochs"]) == ("3", "3")
        size = evaluation.flops(trained, context.data.input_shape)[0]
        assert int(row["training_flops"]) == 3 * 3 * len(context.data.training) * size


@pytest.mark.parametrize("level", ["parameter", "neuron"])
def test_the_recipe_s_epochs_are_the_default_of_a_round(tmp_path: Path, level: str) -> None:
    loaded, paths = begin(tmp_path, "layer", STUDY.replace("    round_epochs: 2\n", ""))
    job = Job(f"{level}-random", SPARSITY[level], "fine_tune")
    run(loaded, paths, job)
    assert {row["epochs"] for row in done(paths, job)[0]} == {"9"}


# Hard cases


def test_nothing_is_removed_at_sparsity_0_whatever_the_rounds(
    studies: dict[str, tuple[Study, Paths]],
) -> None:
    loaded, paths = studies["layer"]
    for method in ("parameter-magnitude", "neuron-merging", "neuron-obd"):
        job = Job(method, "0.0", "fine_tune")
        run(loaded, paths, job)
        assert [row["sparsity_achieved"] for row in done(paths, job)[0]] == ["0.0", "0.0"]


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_layers_of_two_and_of_one_keep_a_neuron(tmp_path: Path, scope: str) -> None:
    loaded, paths = begin(tmp_path, scope, STUDY.replace("[9, 6]", "[2, 1, 2]"))
    for name in ("random", "obd", "merging" if scope == "layer" else "magnitude"):
        job = Job(f"neuron-{name}", "0.9", "fine_tune")
        run(loaded, paths, job)
        for row in done(paths, job)[0]:
            assert [word.partition(":")[2] for word in row["neurons_kept"].split()] == ["1"] * 3


def test_convolutions_with_batch_normalisation_shrink_round_by_round(tmp_path: Path) -> None:
    text = STUDY.replace("mlp, widths: [9, 6]", "vgg, channels: [[3], [4]]")
    loaded, paths = begin(tmp_path, "layer", text)
    for name in ("obd", "merging"):
        job = Job(f"neuron-{name}", "0.6", "fine_tune")
        run(loaded, paths, job)
        for row in done(paths, job)[0]:
            kept = [int(word.partition(":")[2]) for word in row["neurons_kept"].split()]
            assert kept == [3 - round(0.6 * 3), 4 - round(0.6 * 4)]
            assert int(row["training_flops"]) > 3 * 6 * 300 * int(row["flops_dense"])


# What is refused


def test_one_round_has_nothing_to_iterate(tmp_path: Path) -> None:
    once = STUDY.replace("    rounds: 3\n    round_epochs: 2\n", "")
    loaded, paths = begin(tmp_path, "layer", once)
    with pytest.raises(StudyError, match=r"grid.neuron.rounds: 1: nothing to iterate"):
        iterate.iterate(loaded, paths, "neuron-obd", "0.6", "fine_tune")


@pytest.mark.parametrize("regime", ["scratch", "rewind"])
def test_rounds_are_trained_from_the_trained_network_only(
    studies: dict[str, tuple[Study, Paths]], regime: str
) -> None:
    with pytest.raises(StudyError, match=f"regime {regime}: .* here fine_tune"):
        iterate.iterate(*studies["layer"], "neuron-obd", "0.6", regime)


def test_a_training_that_diverges_names_its_round(tmp_path: Path) -> None:
    wild = STUDY.replace("learning_rate: 0.003, epochs: 1", "learning_rate: 1.0e6, epochs: 1")
    wild = wild.replace("seeds: gentle}", "seeds: gentle}").replace(
        "batch_size: 50", "optimiser: sgd"
    )
    loaded, paths = begin(tmp_path, "layer", wild)
    with pytest.raises(DivergenceError, match=r"regime gentle, round 1 of 3; a lower learning"):
        iterate.iterate(loaded, paths, "parameter-magnitude", "0.8", "gentle")


def test_scores_that_cannot_be_ranked_name_their_round(tmp_path: Path) -> None:
    loaded, paths = begin(tmp_path, "layer")
    source = tmp_path / "drawn.py"
    source.write_text(DRAWN.replace("torch.rand", "torch.nan * torch.rand"))
    with pytest.raises(ScoreError, match=r"not finite.*; sparsity 0.6, regime fine_tune, round 2"):
        iterate.iterate(loaded, paths, "neuron-drawn", "0.6", "fine_tune")


@pytest.mark.parametrize("level", ["parameter", "neuron"])
def test_what_the_rounds_left_of_another_study_is_refused(
    tmp_path: Path, studies: dict[str, tuple[Study, Paths]], level: str
) -> None:
    loaded, paths = studies["layer"]
    job = Job(f"{level}-random", SPARSITY[level], "fine_tune")
    run(loaded, paths, job)
    file = paths.rounds(job)
    whole, described = files.read_tensors(file)
    part = {"parameter": "masks/1.weight", "neuron": "kept/1"}[level]
    assert f"1/{part}" in whole
    try:
        for damaged in spoilt(whole, f"1/{part}", level):
            files.write_tensors(file, damaged, described)
            with pytest.raises(ArtefactError, match=r"(rounds|network) of replicate 1"):
                retrain.retrain(loaded, paths, job.method, job.place, job.regime)
    finally:
        files.write_tensors(file, whole, described)


def spoilt(whole: dict[str, Tensor], name: str, level: str) -> Sequence[dict[str, Tensor]]:
    without = {n: t for n, t in whole.items() if n != name}
    shorter = whole | {name: whole[name][:-1].clone()}
    floats = whole | {name: whole[name].double()}
    lost = {n: t for n, t in whole.items() if n != "1/network/1.bias"}
    more = [] if level == "parameter" else [whole | {name: whole[name] + 9}]
    return [without, shorter, floats, lost, *more]
