"""How often neurons are active, against counting; ties, thresholds and the two orders."""

from typing import Any

import pytest
import torch
from torch import nn

from minified.criteria import activity, score
from minified.foundations.errors import ScoreError
from oracles import NETWORKS, Problem, activity_oracle, problem, problem_of


def smooth() -> Problem:
    return problem_of(
        (6,),
        {"0": 1, "2": 4},
        lambda: [
            *(nn.Linear(6, 5), nn.Sigmoid(), nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Tanh()),
            nn.Linear(4, 3),
        ],
    )


def scores_of(task: Problem, name: str = "activity", **options: Any) -> dict[str, list[float]]:
    found = score(f"neuron-{name}", task.network, task.inputs, task.targets, seed=0, **options)
    return {layer: scores.tolist() for layer, scores in found.items()}


@pytest.mark.parametrize("threshold", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_score_is_the_fraction_of_examples_and_positions_at_which_it_is_active(
    name: str, threshold: float
) -> None:
    task = problem(name, examples=20)
    assert scores_of(task, threshold=threshold) == activity_oracle(task, threshold)


def test_by_default_an_output_is_active_unless_it_is_0() -> None:
    network: Any = nn.Sequential(nn.Linear(1, 3), nn.ReLU(), nn.Linear(3, 2))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0], [-1.0], [1e-30]]))
        network[0].bias.zero_()
    inputs, targets = torch.tensor([[1.0], [2.0], [0.0], [-1.0]]), torch.zeros(4, dtype=torch.long)
    task = Problem(network, inputs, targets, {"0": 1})
    assert scores_of(task) == {"0": [0.5, 0.25, 0.5]}
    assert scores_of(task, threshold=1.0) == {"0": [0.25, 0.0, 0.0]}


@pytest.mark.parametrize("name", ["relu", "conv_strided"])
def test_hyper_is_the_opposite_order(name: str) -> None:
    task = problem(name, examples=20)
    hypo, hyper = scores_of(task, threshold=0.1), scores_of(task, "activity_hyper", threshold=0.1)
    assert hyper == {layer: [-one for one in scores] for layer, scores in hypo.items()}


def test_a_dead_neuron_is_never_active_and_goes_first() -> None:
    task = problem("conv_strided")
    with torch.no_grad():
        task.network[0].bias[1] = -100.0
    assert scores_of(task)["0"][1] == 0.0
    assert scores_of(task, "activity_hyper")["0"][1] == 0.0


def test_activations_that_are_never_0_need_a_threshold() -> None:
    task = smooth()
    assert scores_of(task) == {"0": [1.0] * 5, "2": [1.0] * 4}
    found = scores_of(task, threshold=0.5)
    assert found == activity_oracle(task, 0.5)
    assert len(set(found["0"])) > 1
    assert scores_of(task, threshold=1.0) == {"0": [0.0] * 5, "2": [0.0] * 4}


def test_a_negative_output_counts_by_its_size() -> None:
    task = smooth()
    with torch.no_grad():
        task.network[3].weight.zero_()
        task.network[3].bias.fill_(-1.0)  # tanh(-1) = -0.76
    assert scores_of(task, threshold=0.7)["2"] == [1.0] * 4


def test_neurons_that_are_active_equally_often_have_equal_scores() -> None:
    """Whatever the positions and chunks: their order is then the lowest index first."""
    task = problem("conv_strided", examples=11)
    with torch.no_grad():
        for tensor in (task.network[0].weight, task.network[0].bias):
            tensor[2] = 3 * tensor[0]
    scores = scores_of(task)["0"]
    assert scores[2] == scores[0]
    assert 0 < scores[0] < 1


def test_scores_do_not_depend_on_how_the_examples_are_cut_into_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = problem("conv_padded", examples=11)
    whole = scores_of(task, threshold=0.2)
    monkeypatch.setattr(activity, "CHUNK", 2)
    assert scores_of(task, threshold=0.2) == whole


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", ["activity", "activity_hyper"])
def test_a_network_that_gives_no_numbers_is_refused(name: str) -> None:
    task = problem("relu")
    with torch.no_grad():  # finite weights, but a sum that is infinite, and then inf x 0
        task.inputs.fill_(10.0)
        task.network[0].weight[0] = 1e308
        task.network[2].weight[:, 0] = 0.0
    with pytest.raises(ScoreError, match=f"neuron-{name}: 2 has scores that are not finite"):
        scores_of(task, name)


@pytest.mark.parametrize("threshold", [-0.1, float("nan"), "low", True])
def test_a_threshold_that_is_no_size_is_refused(threshold: Any) -> None:
    with pytest.raises(ScoreError, match=r"activity, option threshold: .* must be a number at l"):
        scores_of(problem("relu"), threshold=threshold)
