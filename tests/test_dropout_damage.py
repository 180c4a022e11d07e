"""Dropout damage, against enumeration of every mask and against a plain simulation."""

import re

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from minified.criteria import score
from minified.criteria.dropout_damage import damage_and_error
from minified.foundations.errors import ScoreError
from oracles import Problem, exact_dropout_damage, problem, simulated_dropout_damage

LAYERS = {"relu": ("0", "2"), "conv_padded": ("0", "4")}


def together(by_layer: dict[str, Tensor]) -> np.ndarray:
    return torch.cat(list(by_layer.values())).numpy()


def estimate(
    task: Problem, seed: int = 0, probability: float = 0.2, passes: int = 300
) -> tuple[np.ndarray, np.ndarray]:
    damage, error = damage_and_error(
        task.network,
        task.inputs,
        task.targets,
        torch.Generator().manual_seed(seed),
        probability=probability,
        passes=passes,
    )
    return together(damage), together(error)


def tiny_problem(examples: int = 3) -> Problem:
    """Three and two hidden neurons: 32 masks."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = nn.Sequential(
            nn.Linear(4, 3), nn.LeakyReLU(), nn.Linear(3, 2), nn.LeakyReLU(), nn.Linear(2, 3)
        ).double()
        inputs = 2 * torch.randn(examples, 4, dtype=torch.float64)
        return Problem(network, inputs, torch.randint(3, (examples,)), {"0": 1, "2": 3})


@pytest.mark.parametrize(
    "probability", [0.5, *(pytest.param(p, marks=pytest.mark.slow) for p in (0.1, 0.8))]
)
def test_damage_is_the_expectation_over_all_masks(probability: float) -> None:
    truth = exact_dropout_damage(tiny_problem(), probability)
    damage, error = estimate(tiny_problem(), probability=probability, passes=6000)
    assert (np.abs(damage - truth) < 4 * error).all()
    assert (error < 0.1 * np.abs(truth).max()).all()  # else it would be easy to be near


@pytest.mark.parametrize("name", LAYERS)
def test_damage_agrees_with_an_independent_simulation(name: str) -> None:
    task = problem(name, examples=20)
    damage, error = estimate(task, passes=1000)
    truth, its_error = simulated_dropout_damage(task, 0.2, passes=60, batches=15, seed=1)
    assert (np.abs(damage - truth) < 4 * np.hypot(error, its_error)).all()
    assert (error < 0.1 * np.abs(truth).max()).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_the_standard_error_is_the_spread_between_seeds(name: str) -> None:
    task = problem(name, examples=10)
    runs = [estimate(task, seed, passes=40) for seed in range(150)]
    spread = np.std([damage for damage, _ in runs], axis=0, ddof=1)
    reported = np.sqrt(np.mean([error**2 for _, error in runs], axis=0))
    ratio = reported / spread
    assert (ratio > 0.7).all()
    assert (ratio < 1.4).all()


def test_scores_are_the_damage_by_layer() -> None:
    task = problem("relu", examples=20)
    scores = score("neuron-dropout_damage", task.network, task.inputs, task.targets, 3, passes=20)
    assert {name: len(values) for name, values in scores.items()} == task.widths
    # The default probability is 0.1.
    assert (together(scores) == estimate(task, seed=3, probability=0.1, passes=20)[0]).all()


def test_a_seed_decides_the_masks() -> None:
    task = problem("relu", examples=20)
    first, again, other = (estimate(task, seed)[0] for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


def test_a_neuron_that_was_never_dropped_is_an_error_that_says_to_raise_passes() -> None:
    task, named = tiny_problem(examples=1), set()
    for seed in range(20):
        with pytest.raises(ScoreError, match="raise passes") as caught:
            estimate(task, seed, probability=0.4, passes=2)
        found = re.search(r"layer (\d), neuron (\d)", str(caught.value))
        assert found is not None
        assert int(found[2]) < task.widths[found[1]]
        named.add(found[1])
    assert named == {"0", "2"}


def test_one_pass_cannot_tell_its_error_and_is_refused() -> None:
    with pytest.raises(ScoreError, match="passes"):
        estimate(tiny_problem(), passes=1)
