"""Training against a plain PyTorch loop: its weights and losses, masks, schedules, divergence."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from learners import (
    Masks,
    clusters,
    dropout_mlp,
    every_kind,
    half_masks,
    mlp,
    recipe,
    same_bits,
    some,
    state,
)
from minified import evaluation
from minified.data import Split
from minified.foundations.errors import DivergenceError, MaskError
from minified.quantization import quantize, rounded
from minified.study import Recipe
from minified.training import fit, learning_rate


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


def test_a_weight_that_is_not_finite_is_divergence_though_no_loss_shows_it() -> None:
    trained, split = some("mlp")
    with torch.no_grad():
        trained[1][0].bias[0] = -torch.inf  # the neuron is never active
    with pytest.raises(DivergenceError, match="replicate 1, epoch 1"):
        fit(trained, split, recipe())


def test_weights_whose_sum_is_too_large_are_no_divergence() -> None:
    trained, split = some("mlp")
    split.inputs[:, 0] = 0.0
    with torch.no_grad():
        trained[1][0].weight[:, 0] = 3e38
    assert bool(fit(trained, split, recipe()).isfinite().all())
    assert bool((trained[1][0].weight[:, 0] == 3e38).all())


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


@pytest.mark.parametrize("kind", ["mlp", pytest.param("conv", marks=pytest.mark.slow)])
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
