"""Kronecker factors against patches and Jacobians, BackPACK's factors, and what they promise."""

import copy
from functools import cache
from typing import Any

import pytest
import torch
from backpack import backpack, extend
from backpack.extensions import KFLR
from torch import Tensor, nn

from minified.criteria import score, walk
from oracles import NETWORKS, Problem, kfac_oracle, problem, problem_of, second_derivatives

# Which batch normalisations stand right behind a layer, before its activation.
NORMS: dict[str, dict[str, list[int]]] = {
    "batch_norm": {"0": [1]},
    "conv_padded": {"0": [1], "4": [5]},
    "conv_pooled_in_overlapping_windows": {"0": [1], "4": [5]},
}
OTHERS: dict[str, tuple[tuple[int, ...], dict[str, int], Any, dict[str, list[int]]]] = {
    "smooth": (
        (6,),
        {"0": 1, "2": 3},
        lambda: [nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4), nn.Sigmoid(), nn.Linear(4, 3)],
        {},
    ),
    "norm_after_dropout_and_identity": (
        (6,),
        {"0": 4},
        lambda: [
            *(nn.Linear(6, 5, bias=False), nn.Identity(), nn.Dropout(), nn.BatchNorm1d(5)),
            *(nn.ReLU(), nn.Linear(5, 3)),
        ],
        {"0": [3]},
    ),
    "two_norms_then_one_behind_the_activation": (
        (2, 5, 5),
        {"0": 4},
        lambda: [
            *(nn.Conv2d(2, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3), nn.BatchNorm2d(3)),
            *(nn.LeakyReLU(0.1), nn.BatchNorm2d(3), nn.MaxPool2d(2), nn.Flatten()),
            nn.Linear(12, 3),
        ],
        {"0": [1, 2]},
    ),
    "conv_of_one_position": (
        (2, 3, 3),
        {"0": 1},
        lambda: [nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4, 3)],
        {},
    ),
    "conv_without_bias": (
        (2, 5, 5),
        {"0": 1},
        lambda: [
            *(nn.Conv2d(2, 3, 3, stride=2, bias=False), nn.ReLU(), nn.AvgPool2d(2)),
            *(nn.Flatten(), nn.Linear(3, 3)),
        ],
        {},
    ),
}


@cache
def case(name: str) -> tuple[Problem, dict[str, list[int]]]:
    if name in NETWORKS:
        return problem(name), NORMS.get(name, {})
    *made, norms = OTHERS[name]
    return problem_of(*made), norms


def scores_of(task: Problem) -> dict[str, Tensor]:
    return score("neuron-kfac", task.network, task.inputs, task.targets, seed=0)


@pytest.mark.parametrize("name", [*NETWORKS, *OTHERS])
def test_scores_are_products_of_kronecker_factors(name: str) -> None:
    task, norms = case(name)
    truth, found = kfac_oracle(task, norms), scores_of(task)
    assert list(found) == list(truth)
    for layer in truth:
        torch.testing.assert_close(found[layer], truth[layer], rtol=1e-9, atol=0)


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("name", ["relu", "conv_of_one_position"])
def test_the_factors_are_backpack_s(name: str) -> None:
    """Where the definitions agree: its factor of the inputs has no 1 for the bias, and with several
    positions it sums derivatives over them before it squares. For convolutions it needs float32.
    """
    task, _ = case(name)
    network, inputs = copy.deepcopy(task.network).float(), task.inputs.float()
    for module in network:
        if hasattr(module, "bias"):
            module.bias = None
    twin, criterion = extend(copy.deepcopy(network)), extend(nn.CrossEntropyLoss())
    with backpack(KFLR()):
        criterion(twin(inputs), task.targets).backward()
    for layer, scores in score("neuron-kfac", network, inputs, task.targets, seed=0).items():
        weight = twin.get_submodule(layer).weight
        g, a = (factor.double() for factor in weight.kflr)
        w = weight.detach().flatten(1).double()
        truth = g.diagonal() / 2 * torch.einsum("ji,ik,jk->j", w, a, w)
        torch.testing.assert_close(scores, truth, rtol=1e-4, atol=1e-9)


def test_for_one_example_it_is_obd_along_all_weights_of_the_neuron() -> None:
    task = problem("relu", examples=1)
    found = scores_of(task)
    for layer, scores in found.items():
        weight, bias = (task.network.get_parameter(f"{layer}.{n}") for n in ("weight", "bias"))

        def loss(
            kept: Tensor, layer: str = layer, weight: Tensor = weight, bias: Tensor = bias
        ) -> Tensor:
            scaled = {f"{layer}.weight": weight * kept[:, None], f"{layer}.bias": bias * kept}
            logits = torch.func.functional_call(task.network, scaled, (task.inputs,))
            return nn.functional.cross_entropy(logits, task.targets)

        _, second = second_derivatives(loss, torch.ones(len(scores), dtype=torch.float64))
        torch.testing.assert_close(scores, second / 2, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("name", ["batch_norm", "conv_padded"])
def test_folding_batch_normalisation_by_hand_changes_no_score(name: str) -> None:
    task, norms = case(name)
    network = copy.deepcopy(task.network)
    for layer, [norm] in norms.items():
        module, behind = network[int(layer)], network[norm]
        with torch.no_grad():
            scale = behind.weight / (behind.running_var + behind.eps).sqrt()
            module.weight *= scale.view(-1, *[1] * (module.weight.dim() - 1))
            module.bias.copy_((module.bias - behind.running_mean) * scale + behind.bias)
        network[norm] = nn.Identity()
    found = score("neuron-kfac", network, task.inputs, task.targets, seed=0)
    for layer, scores in scores_of(task).items():
        torch.testing.assert_close(found[layer], scores, rtol=1e-9, atol=0)


@pytest.mark.parametrize(("name", "layer"), [("relu", 0), ("relu", 2), ("conv_strided", 0)])
def test_a_dead_neuron_scores_0_whatever_its_weights(name: str, layer: int) -> None:
    task = problem(name)
    with torch.no_grad():
        task.network[layer].bias[1] = -100.0
    scores = scores_of(task)[str(layer)]
    assert scores[1] == 0.0
    assert (scores > 0.0).any()


def test_the_classes_of_the_examples_change_no_score() -> None:
    task, _ = case("conv_padded")
    others = (task.targets + 1) % 3
    found = score("neuron-kfac", task.network, task.inputs, others, seed=0)
    assert all(torch.equal(found[name], scores) for name, scores in scores_of(task).items())


@pytest.mark.parametrize("name", ["batch_norm", "conv_padded"])
def test_scores_do_not_depend_on_how_the_examples_are_cut_into_chunks(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, _ = case(name)
    whole = scores_of(task)
    monkeypatch.setattr(walk, "CHUNK_BYTES", 1)
    monkeypatch.setattr(walk, "FEW_EXAMPLES", 1)
    for layer, scores in scores_of(task).items():
        torch.testing.assert_close(scores, whole[layer], rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", ["relu", "conv_padded"])
def test_a_float32_network_gives_nearly_the_scores_of_float64(name: str) -> None:
    task, _ = case(name)
    single = copy.deepcopy(task.network).float()
    found = score("neuron-kfac", single, task.inputs.float(), task.targets, seed=0)
    for layer, truth in scores_of(task).items():
        assert (found[layer] - truth).abs().max() < 1e-4 * truth.max()
