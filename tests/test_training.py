"""Training against a plain PyTorch loop, and what a replicate's bits may depend on: its seed."""

import copy
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minified import arithmetic, evaluation, networks
from minified.data import Split
from minified.errors import DivergenceError, MaskError
from minified.quantization import quantize, rounded
from minified.study import Recipe
from minified.training import fit, learning_rate

torch.set_num_threads(1)

Network = Any  # nn.Sequential: torch's types do not know what its modules carry
Masks = dict[str, Tensor]


def recipe(**options: Any) -> Recipe:
    return Recipe(**{"learning_rate": 0.01, "epochs": 3, "batch_size": 16, **options})


def clusters(shape: Sequence[int] = (6,), examples: int = 50, seed: int = 0) -> Split:
    """Three noisy clusters of points or images."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(examples) % 3
    centres = torch.randn(3, *shape, generator=generator)
    return Split(centres[targets] + torch.randn(examples, *shape, generator=generator), targets)


def mlp(seed: int, widths: Sequence[int] = (8, 5)) -> Network:
    return networks.initialise(networks.build("mlp", (6,), 3, widths=widths), seed)


def conv(seed: int) -> Network:
    modules = [
        nn.Conv2d(1, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 3),
    ]
    return networks.initialise(nn.Sequential(*modules), seed)


def dropout_mlp(seed: int) -> Network:
    modules = [nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3)]
    return networks.initialise(nn.Sequential(*modules), seed)


def in_place_mlp(seed: int) -> Network:
    modules = [nn.Linear(6, 8), nn.ReLU(inplace=True), nn.Linear(8, 5), nn.LeakyReLU(inplace=True)]
    return networks.initialise(nn.Sequential(*modules, nn.Linear(5, 3), nn.Flatten()), seed)


def wrapped_mlp(seed: int) -> Network:
    """Modules that do nothing before the first layer, between two and after the last."""
    first = [nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(6, 8, bias=False), nn.Identity()]
    last = [nn.ReLU6(), nn.Flatten(), nn.Linear(8, 3), nn.Identity(), nn.Flatten()]
    return networks.initialise(nn.Sequential(*first, *last), seed)


# A network that is trained in a stack, and two that are trained one by one.
KINDS: dict[str, tuple[Callable[[int], Network], tuple[int, ...]]] = {
    "mlp": (mlp, (6,)),
    "conv": (conv, (1, 4, 4)),
    "dropout": (dropout_mlp, (6,)),
    "in place": (in_place_mlp, (6,)),
    "wrapped": (wrapped_mlp, (6,)),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def some(kind: str, count: int = 3) -> tuple[list[Network], Split]:
    build, shape = KINDS[kind]
    return [build(seed) for seed in range(count)], clusters(shape)


def half_masks(network: nn.Module, seed: int) -> Masks:
    """About half of every weight with more than one dimension removed."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(p.shape, generator=generator) < 0.5
        for name, p in network.named_parameters()
        if p.dim() > 1
    }


def state(network: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(network.state_dict())


def same_bits(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def train_alone(
    network: nn.Module,
    split: Split,
    recipe: Recipe,
    seed: int,
    masks: Masks,
    bits: int | None = None,
) -> list[float]:
    """The loop that every PyTorch tutorial has; removed weights are zeroed after every step.

    With `bits` the gradient is taken at the rounded weights, and the step from the full ones.
    """
    options: Any = {"lr": 1.0, "weight_decay": recipe.weight_decay}
    optimiser: torch.optim.Optimizer
    if recipe.optimiser == "adam":
        betas = (recipe.momentum, 0.999)
        optimiser = torch.optim.Adam(network.parameters(), betas=betas, **options)
    else:
        optimiser = torch.optim.SGD(network.parameters(), momentum=recipe.momentum, **options)

    def remove() -> None:
        with torch.no_grad():
            for name, mask in masks.items():
                network.get_parameter(name).mul_(mask)

    remove()
    network.train()
    generator = torch.Generator().manual_seed(seed)
    history = []
    for epoch in range(recipe.epochs):
        order = torch.randperm(len(split), generator=generator)
        batches = order.split(recipe.batch_size)
        total = 0.0
        for step, batch in enumerate(batches):
            rate = learning_rate(recipe, epoch + (step + 0.5) / len(batches))
            optimiser.param_groups[0]["lr"] = rate
            optimiser.zero_grad()
            full = {n: p.detach().clone() for n, p in network.named_parameters() if p.dim() > 1}
            if bits is not None:
                network.load_state_dict(
                    {n: rounded(w, bits) for n, w in full.items()}, strict=False
                )
            loss = F.cross_entropy(network(split.inputs[batch]), split.targets[batch])
            loss.backward()
            network.load_state_dict(full, strict=False)
            optimiser.step()
            remove()
            total += loss.item() * len(batch)
        history.append(total / len(split))
    network.eval()
    return history


@pytest.mark.parametrize(
    ("masked", "bits"),
    [(False, None), (True, None), (False, 3), (True, 3)],
    ids=["dense", "masked", "quantization-aware", "both"],
)
@pytest.mark.parametrize("kind", ["mlp", "conv"])
@pytest.mark.parametrize(
    "options",
    [
        {"optimiser": "adam"},
        {"optimiser": "adam", "momentum": 0.5, "weight_decay": 0.01, "warmup_epochs": 1},
        {"optimiser": "sgd", "schedule": "constant", "momentum": 0.0},
        {"optimiser": "sgd", "momentum": 0.9, "weight_decay": 0.01},
    ],
    ids=["adam", "adam, decay, warm-up", "sgd", "sgd, momentum, decay"],
)
def test_training_together_equals_a_plain_loop_for_each(
    options: dict[str, Any], kind: str, masked: bool, bits: int | None
) -> None:
    together, split = some(kind)
    alone = copy.deepcopy(together)
    masks = [half_masks(n, seed) if masked else {} for seed, n in enumerate(together)]
    history = fit(together, split, recipe(**options), masks, seeds=[7, 8, 9], bits=bits)
    for i, network in enumerate(alone):
        losses = train_alone(network, split, recipe(**options), 7 + i, masks[i], bits)
        assert history[:, i].tolist() == pytest.approx(losses, abs=1e-5)
        assert not together[i].training
        for name, tensor in together[i].state_dict().items():
            torch.testing.assert_close(
                tensor, network.state_dict()[name], rtol=1e-5, atol=1e-5, msg=name
            )


def test_networks_of_different_shapes_train_in_one_list() -> None:
    split = clusters()
    mixed = [mlp(0), mlp(1, (4,)), dropout_mlp(2), mlp(3), mlp(4, (4,))]
    mixed[3].insert(0, nn.Flatten())
    alone = copy.deepcopy(mixed)
    history = fit(mixed, split, recipe(), seeds=[5, 6, 7, 8, 9])
    for i, network in enumerate(alone):
        single = fit([network], split, recipe(), seeds=[5 + i])
        torch.testing.assert_close(history[:, [i]], single, rtol=0, atol=1e-5)
        for one, other in zip(mixed[i].parameters(), network.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_a_convolutional_network_keeps_its_running_statistics() -> None:
    trained, split = some("conv", 1)
    before = state(trained[0])
    fit(trained, split, recipe())
    after = state(trained[0])
    assert not torch.equal(after["1.running_mean"], before["1.running_mean"])
    # 50 examples in batches of 16: four steps an epoch.
    assert after["1.num_batches_tracked"].item() == 3 * 4


# Bits


@every_kind
def test_the_same_seeds_give_the_same_bits(kind: str) -> None:
    once, split = some(kind)
    again = copy.deepcopy(once)
    torch.manual_seed(1)
    histories = [fit(once, split, recipe())]
    torch.manual_seed(2)
    histories.append(fit(again, split, recipe()))
    assert torch.equal(*histories)
    assert all(same_bits(state(a), state(b)) for a, b in zip(once, again, strict=True))


@every_kind
def test_another_seed_trains_another_network(kind: str) -> None:
    one, split = some(kind, 1)
    other = copy.deepcopy(one)
    fit(one, split, recipe(), seeds=[0])
    fit(other, split, recipe(), seeds=[1])
    assert not same_bits(state(one[0]), state(other[0]))


@pytest.mark.parametrize("seed", [0, 1])
def test_dropout_follows_from_the_seed_of_its_own_network(seed: int) -> None:
    networks_, split = some("dropout", 2)
    alone = copy.deepcopy(networks_[seed])
    fit(networks_, split, recipe(), seeds=[0, 1])
    fit([alone], split, recipe(), seeds=[seed])
    assert same_bits(state(alone), state(networks_[seed]))


@every_kind
def test_training_leaves_the_global_generator_untouched(kind: str) -> None:
    trained, split = some(kind)
    before = torch.get_rng_state()
    fit(trained, split, recipe())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.fixture(scope="module", params=get_args(arithmetic.Arithmetic))
def pipeline_arithmetic(request: pytest.FixtureRequest) -> Iterator[ProcessPoolExecutor]:
    """A process with the vector width that `minified` sets, before torch is imported."""
    with (
        pytest.MonkeyPatch.context() as environment,
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process,
    ):
        environment.setattr(os, "environ", os.environ.copy())
        arithmetic.pin(1, request.param)
        pinned = dict(os.environ)
        environment.undo()
        for variable, value in pinned.items():
            environment.setenv(variable, value)
        yield process


def replicates_that_depend_on_company(
    widths: Sequence[int], activation: str, options: dict[str, Any], bits: int | None
) -> list[tuple[list[int], int]]:
    """(companions, replicate) whose weights or losses differ from those trained all five."""
    inputs, *hidden, classes = widths
    generator = torch.Generator().manual_seed(0)
    split = Split(
        torch.randn(45, inputs, generator=generator),
        torch.randint(classes, (45,), generator=generator),
    )
    start = []
    for seed in range(5):
        network: Network = networks.build("mlp", (inputs,), classes, widths=hidden)
        for i in range(1, len(network), 2):
            network[i] = getattr(nn, activation)()
        start.append(networks.initialise(network, seed))

    def train(members: list[int]) -> dict[int, list[Tensor]]:
        trained = [copy.deepcopy(start[i]) for i in members]
        losses = fit(trained, split, recipe(epochs=6, **options), seeds=members, bits=bits)
        return {
            i: [*network.parameters(), losses[:, k]]
            for k, (i, network) in enumerate(zip(members, trained, strict=True))
        }

    five = train([0, 1, 2, 3, 4])
    return [
        (members, i)
        for members in ([0], [4], [0, 1], [3, 4], [0, 1, 2], [2, 3, 4])
        for i, found in train(members).items()
        if not all(torch.equal(a, b) for a, b in zip(found, five[i], strict=True))
    ]


@pytest.mark.parametrize(
    ("widths", "activation"),
    [
        ((64, 300, 100, 10), "ReLU"),
        ((64, 100, 50, 10), "ReLU"),
        ((5, 7, 3), "ReLU"),
        ((5, 7, 3), "LeakyReLU"),
        ((5, 7, 3), "Tanh"),
        ((5, 7, 3), "Sigmoid"),
    ],
)
@pytest.mark.parametrize(
    ("options", "bits"),
    [
        ({"optimiser": "adam", "weight_decay": 0.001}, None),
        ({"optimiser": "sgd"}, None),
        ({"optimiser": "adam"}, 2),
    ],
    ids=["adam", "sgd", "quantization-aware"],
)
def test_a_replicate_is_the_same_to_the_bit_however_many_train_beside_it(
    pipeline_arithmetic: ProcessPoolExecutor,
    widths: Sequence[int],
    activation: str,
    options: dict[str, Any],
    bits: int | None,
) -> None:
    differing = pipeline_arithmetic.submit(
        replicates_that_depend_on_company, widths, activation, options, bits
    )
    assert differing.result() == []


# Masks


@every_kind
@pytest.mark.parametrize("bits", [None, 3])
@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_removed_weights_are_exactly_zero_after_training(
    kind: str, optimiser: str, bits: int | None
) -> None:
    trained, split = some(kind)
    masks: list[Masks] = [half_masks(network, seed) for seed, network in enumerate(trained)]
    masks[1] = {}  # a mask beside none
    before = [state(network) for network in trained]
    options = recipe(optimiser=optimiser, momentum=0.9, weight_decay=0.1)
    fit(trained, split, options, masks, bits=bits)
    for network, mask, old in zip(trained, masks, before, strict=True):
        for name, stays in mask.items():
            weight = network.get_parameter(name).detach()
            assert not weight[~stays].any()
            assert (weight[stays] != old[name][stays]).all()


@pytest.mark.parametrize(
    ("name", "shape"),
    [("1.weight", (8, 6)), ("0.bias", (8,)), ("0.weight", (6, 8)), ("0.weight", (8,))],
)
def test_a_mask_that_fits_no_weight_is_refused_by_name(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(MaskError, match=name):
        fit([mlp(0)], clusters(), recipe(), [{name: torch.ones(shape, dtype=torch.bool)}])


def test_every_network_needs_its_own_seed_and_mask() -> None:
    with pytest.raises(ValueError, match=r"2 networks, 1 masks, 3 seeds"):
        fit([mlp(0), mlp(1)], clusters(), recipe(), [{}], seeds=[1, 2, 3])


# Divergence


@every_kind
def test_an_example_that_is_not_a_number_stops_the_first_epoch(kind: str) -> None:
    trained, split = some(kind)
    split.inputs[13] = float("nan")
    with pytest.raises(DivergenceError) as stopped:
        fit(trained, split, recipe())
    assert (stopped.value.replicate, stopped.value.epoch) == (0, 1)


@every_kind
def test_far_too_high_a_learning_rate_is_divergence(kind: str) -> None:
    trained, split = some(kind)
    options = recipe(optimiser="sgd", learning_rate=1e6, schedule="constant", weight_decay=1.0)
    with pytest.raises(DivergenceError, match=r"replicate 0, epoch [1-9]\d*"):
        fit(trained, split, options.model_copy(update={"epochs": 20}))


@pytest.mark.parametrize("position", [0, 1, 3])
@pytest.mark.parametrize("mixed", [False, True], ids=["one shape", "several shapes"])
def test_divergence_names_the_network_by_its_place_in_the_list(position: int, mixed: bool) -> None:
    trained = [mlp(seed, (8, 5) if not mixed or seed % 2 else (4,)) for seed in range(4)]
    nn.init.constant_(trained[position][2].weight, float("inf"))
    with pytest.raises(DivergenceError, match=rf"replicate {position}, epoch 1") as stopped:
        fit(trained, clusters(), recipe())
    assert stopped.value.replicate == position


# Schedules


def test_a_constant_schedule_stays() -> None:
    options = recipe(schedule="constant", epochs=10)
    assert {learning_rate(options, epoch / 2) for epoch in range(20)} == {0.01}


def test_a_cosine_schedule_falls_from_the_rate_to_zero() -> None:
    options = recipe(schedule="cosine", epochs=10)
    rates = [learning_rate(options, epoch / 10) for epoch in range(101)]
    assert rates[0] == 0.01
    assert rates[50] == pytest.approx(0.005)
    assert rates[100] == pytest.approx(0.0, abs=1e-12)
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_warm_up_rises_in_a_line_to_the_rate(schedule: str) -> None:
    options = recipe(schedule=schedule, epochs=10, warmup_epochs=4)
    rates = [learning_rate(options, epoch) for epoch in (0, 1, 2, 3, 4)]
    assert rates == pytest.approx([0.0, 0.0025, 0.005, 0.0075, 0.01])
    assert learning_rate(options, 10) == pytest.approx(
        0.0 if schedule == "cosine" else 0.01, abs=1e-12
    )


# Losses


@every_kind
def test_the_loss_of_every_network_falls(kind: str) -> None:
    trained, split = some(kind)
    history = fit(trained, split, recipe(epochs=30))
    assert history.shape == (30, 3)
    assert history.dtype == torch.float64
    assert bool((history[-1] < 0.8 * history[0]).all())


def test_no_network_is_no_work() -> None:
    assert fit([], clusters(), recipe()).shape == (3, 0)


# Quantization-aware training


def test_the_loss_that_is_trained_is_that_of_the_rounded_network() -> None:
    split = clusters()
    trained = [mlp(0), mlp(1), nn.Sequential(nn.Flatten(), nn.Dropout(0.0), *mlp(2))]
    expected = [evaluation.loss(quantize(network, 2), split) for network in trained]
    whole_batch = recipe(epochs=1, batch_size=len(split))
    history = fit(trained, split, whole_batch, bits=2)
    assert history[0].tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_training_aware_of_two_bits_beats_rounding_afterwards(kind: str) -> None:
    aware, split = some(kind)
    unaware = copy.deepcopy(aware)
    fit(aware, split, recipe(epochs=100), bits=2)
    fit(unaware, split, recipe(epochs=100))
    for one, other in zip(aware, unaware, strict=True):
        weight = next(p for p in one.parameters() if p.dim() > 1).detach()
        assert len(weight[0].unique()) > 4, "full-precision weights were given up"
        assert evaluation.loss(quantize(one, 2), split) < evaluation.loss(quantize(other, 2), split)


def test_a_weight_frozen_in_one_network_alone_stays_there_alone() -> None:
    networks_, split = some("mlp")
    networks_[1][0].weight.requires_grad_(False)
    before = [state(network) for network in networks_]
    fit(networks_, split, recipe())
    same = [
        torch.equal(n[0].weight, old["0.weight"]) for n, old in zip(networks_, before, strict=True)
    ]
    assert same == [False, True, False]


@pytest.mark.parametrize("kind", ["mlp", "dropout"])
def test_a_network_frozen_as_a_whole_stays_as_it_is(kind: str) -> None:
    networks_, split = some(kind, 1)
    networks_[0].requires_grad_(False)
    before = state(networks_[0])
    fit(networks_, split, recipe())
    assert same_bits(state(networks_[0]), before)
