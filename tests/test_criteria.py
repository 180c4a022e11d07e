"""What every criterion promises, whatever it computes, and what `score` refuses by name."""

import copy
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from minified.criteria import CRITERIA, LEVELS, score
from minified.criteria.record import Criterion, Option
from minified.foundations.errors import ScoreError, UnsupportedNetworkError
from oracles import Problem, problem

METHODS = [f"{level}-{name}" for name, entry in CRITERIA.items() for level in entry.levels]
every_method = pytest.mark.parametrize("method", METHODS)


def image_problem() -> Problem:
    """A nested network with batch norm, dropout and activations that work in place."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        features = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2)
        )
        classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(16, 5), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(5, 3)
        )
        network = nn.Sequential(OrderedDict(features=features, classifier=classifier))
        # Enough examples for dropout damage's masks to drop every neuron.
        return Problem(network, torch.randn(30, 1, 6, 6), torch.randint(3, (30,)), {})


def scores_of(method: str, task: Problem, seed: int = 0, **options: Any) -> dict[str, Tensor]:
    return score(method, task.network, task.inputs, task.targets, seed, **options)


@every_method
def test_scores_are_keyed_and_shaped_as_the_network_names_its_units(method: str) -> None:
    shapes = {
        name: tuple(scores.shape) for name, scores in scores_of(method, image_problem()).items()
    }
    if method.startswith("parameter"):
        expected = {
            "features.0.weight": (4, 1, 3, 3),
            "classifier.1.weight": (5, 16),
            "classifier.4.weight": (3, 5),
        }
    else:
        expected = {"features.0": (4,), "classifier.1": (5,)}
    assert list(shapes.items()) == list(expected.items())


@every_method
def test_only_data_free_scores_are_the_same_for_other_examples(method: str) -> None:
    task = image_problem()
    other = Problem(task.network, task.inputs.flip(0) * 0.5, task.targets.roll(1), {})
    pairs = zip(scores_of(method, task).values(), scores_of(method, other).values(), strict=True)
    same = all(torch.equal(one, two) for one, two in pairs)
    assert same == CRITERIA[method.partition("-")[2]].data_free


@every_method
def test_scoring_leaves_the_network_unchanged(method: str) -> None:
    task = image_problem()
    network = task.network.train()
    network.classifier.eval()
    network.features[0].weight.requires_grad_(False)
    before = copy.deepcopy(network)
    inputs = task.inputs.clone()
    scores_of(method, task)
    assert torch.equal(task.inputs, inputs)
    for (name, tensor), old in zip(
        network.state_dict().items(), before.state_dict().values(), strict=True
    ):
        assert torch.equal(tensor, old), name
    for parameter, old in zip(network.parameters(), before.parameters(), strict=True):
        assert parameter.requires_grad == old.requires_grad
        assert parameter.grad is None
    for module, old in zip(network.modules(), before.modules(), strict=True):
        assert module.training == old.training
        assert getattr(module, "inplace", None) == getattr(old, "inplace", None)


@every_method
def test_scores_are_those_of_the_network_in_eval_mode(method: str) -> None:
    task = image_problem()
    task.network.train()
    training = scores_of(method, task)
    task.network.eval()
    for name, scores in scores_of(method, task).items():
        assert torch.equal(training[name], scores)


@every_method
def test_activations_that_work_in_place_change_no_score(method: str) -> None:
    task = problem("conv_strided", examples=30)
    expected = scores_of(method, task)
    for module in task.network:
        if isinstance(module, nn.ReLU):
            module.inplace = True
    for name, scores in scores_of(method, task).items():
        assert torch.equal(scores, expected[name])


@every_method
def test_the_same_seed_gives_the_same_scores_whatever_the_global_generator(method: str) -> None:
    first = scores_of(method, image_problem(), seed=7)
    torch.manual_seed(123)
    state = torch.random.get_rng_state()
    for name, scores in scores_of(method, image_problem(), seed=7).items():
        assert torch.equal(first[name], scores)
    assert torch.equal(torch.random.get_rng_state(), state)


@every_method
def test_only_random_criteria_depend_on_the_seed(method: str) -> None:
    one, other = (scores_of(method, image_problem(), seed) for seed in (0, 1))
    differs = any(not torch.equal(one[name], other[name]) for name in one)
    assert differs == (method.partition("-")[2] in ("random", "dropout_damage"))


@every_method
@pytest.mark.parametrize("name", ["relu", "conv_padded"])
def test_dead_neurons_get_finite_scores(method: str, name: str) -> None:
    task = problem(name, examples=30)
    for layer in task.gates:
        with torch.no_grad():
            for module in task.network[int(layer) : task.gates[layer] + 1]:
                if hasattr(module, "weight"):
                    module.weight[:2] = 0.0
                    module.bias[:2] = -1.0
    assert all(scores.isfinite().all() for scores in scores_of(method, task).values())


@pytest.mark.parametrize("method", [method for method in METHODS if method.startswith("neuron")])
def test_a_network_without_hidden_layers_has_no_neurons_to_score(method: str) -> None:
    network = nn.Sequential(nn.Linear(4, 3))
    assert score(method, network, torch.ones(6, 4), torch.zeros(6, dtype=torch.long), 0) == {}


def test_magnitude_of_a_weight_is_its_absolute_value() -> None:
    task = problem("conv_padded")
    scores = scores_of("parameter-magnitude", task)
    for name in scores:
        assert torch.equal(scores[name], task.network.get_parameter(name).abs())


def test_magnitude_of_a_neuron_is_the_mean_of_its_incoming_weights() -> None:
    network: Any = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, -3.0], [0.5, 0.0]]))
        network[0].bias.fill_(100.0)
    scores = score("neuron-magnitude", network, torch.ones(1, 2), torch.tensor([0]), seed=0)
    assert scores["0"].tolist() == [2.0, 0.25]


def test_random_scores_are_uniform() -> None:
    network = nn.Sequential(nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 10))
    scores = score("parameter-random", network, torch.ones(1, 100), torch.tensor([0]), seed=0)
    sorted_scores = scores["0.weight"].flatten().sort().values
    uniform = torch.linspace(0, 1, len(sorted_scores), dtype=torch.float64)
    assert (sorted_scores - uniform).abs().max() < 0.02  # Kolmogorov-Smirnov, n = 10,000


# What is refused


@pytest.mark.parametrize(
    ("method", "options", "says"),
    [
        ("parameter-obdd", {}, "'parameter-obdd'.*parameter-obd,"),
        ("layer-obd", {}, "'layer-obd'.*neuron-obd"),
        ("obd", {}, "'obd'.*parameter-obd"),
        ("parameter-merging", {}, "merging works at level neuron only"),
        ("parameter-dropout_damage", {}, "dropout_damage works at level neuron only"),
        ("parameter-obd", {"passes": 3}, "obd has no option 'passes'"),
        ("neuron-dropout_damage", {"pass": 3}, "no option 'pass'.*'passes'"),
        ("neuron-dropout_damage", {"passes": 1}, "option passes: 1 .*at least 2"),
        ("neuron-dropout_damage", {"passes": 2.5}, "option passes: 2.5 .*an integer"),
        ("neuron-dropout_damage", {"passes": True}, "option passes: True .*an integer"),
        ("neuron-dropout_damage", {"probability": 0.0}, "option probability: 0.0 .*above 0"),
        ("neuron-dropout_damage", {"probability": 1.0}, "option probability: 1.0 .*below 1"),
        ("neuron-dropout_damage", {"probability": float("nan")}, "option probability: nan"),
        ("neuron-dropout_damage", {"probability": "high"}, "option probability: 'high'"),
    ],
)
def test_an_unknown_method_level_or_option_is_refused_by_name(
    method: str, options: dict, says: str
) -> None:
    with pytest.raises(ScoreError, match=says):
        scores_of(method, problem("relu"), **options)


@every_method
@pytest.mark.parametrize(("inputs", "targets"), [(0, 0), (6, 5)])
def test_no_examples_or_too_few_targets_are_refused(method: str, inputs: int, targets: int) -> None:
    task = problem("relu")
    with pytest.raises(ScoreError, match=f"{method}.*{inputs} inputs and {targets} targets"):
        score(method, task.network, task.inputs[:inputs], task.targets[:targets], seed=0)


class Residual(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + x.relu()


class Skipping(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


def with_shared_module() -> nn.Module:
    shared = nn.Linear(4, 4)
    return nn.Sequential(shared, nn.ReLU(), shared, nn.ReLU(), nn.Linear(4, 3))


def with_tied_weights() -> nn.Module:
    network: Any = nn.Sequential(
        nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3)
    )
    network[2].weight = network[0].weight
    return network


UNSUPPORTED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "custom_forward": (Residual, "Residual"),
    "custom_module_within": (
        lambda: nn.Sequential(nn.Linear(4, 4), Residual(), nn.Linear(4, 3)),
        r"1 \(Residual\)",
    ),
    "custom_sequential": (
        lambda: nn.Sequential(Skipping(nn.Linear(4, 4)), nn.Linear(4, 3)),
        r"0 \(Skipping\)",
    ),
    "lstm": (lambda: nn.Sequential(nn.LSTM(4, 4), nn.Linear(4, 3)), r"0 \(LSTM\)"),
    "layer_norm": (
        lambda: nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 3)),
        r"1 \(LayerNorm\)",
    ),
    "grouped_convolution": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.Flatten(), nn.Linear(4, 3)),
        r"0 \(Conv2d\).*ungrouped",
    ),
    "batch_norm_away_from_its_layer": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 3)
        ),
        r"2 \(BatchNorm2d\).*0",
    ),
    "sigmoid_away_from_its_layer": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.Sigmoid(), nn.Flatten(), nn.Linear(4, 3)
        ),
        r"2 \(Sigmoid\).*0",
    ),
    "shared_module": (with_shared_module, "2: shares its weights with 0"),
    "tied_weights": (with_tied_weights, "2: shares its weights with 0"),
    "batch_norm_without_running_statistics": (
        lambda: nn.Sequential(
            nn.Linear(4, 4), nn.BatchNorm1d(4, track_running_stats=False), nn.Linear(4, 3)
        ),
        r"1 \(BatchNorm1d\)",
    ),
    "convolution_read_unflattened": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.Linear(8, 2), nn.Flatten(), nn.Linear(64, 3)),
        "1.*0",
    ),
    "linear_at_several_positions": (
        lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)),
        "3.*0",
    ),
    "probabilities_for_logits": (
        lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3), nn.Sigmoid()),
        r"3 \(Sigmoid\).*logits",
    ),
    "no_weights": (lambda: nn.Sequential(nn.ReLU()), "no Linear or Conv2d"),
}


@pytest.mark.parametrize("method", ["parameter-magnitude", "neuron-obd", "neuron-merging"])
@pytest.mark.parametrize("case", UNSUPPORTED)
def test_a_network_that_is_no_chain_is_refused_by_the_module_s_name(case: str, method: str) -> None:
    build, says = UNSUPPORTED[case]
    with pytest.raises(UnsupportedNetworkError, match=says):
        score(method, build(), torch.randn(6, 4), torch.zeros(6, dtype=torch.long), seed=0)


# A reader's own criterion


PLUGIN = """
import torch

def outgoing(level, network, inputs, targets, generator, *, power):
    '''Norm of the weights that leave each neuron of a three-layer perceptron.'''
    return {name: network[int(name) + 2].weight.abs().pow(power).sum(0) for name in ("2", "0")}

def nans(level, network, inputs, targets, generator):
    return {"0": torch.zeros(5), "2": torch.tensor([0.0, float("nan"), 0.0, 0.0])}

def misshapen(level, network, inputs, targets, generator):
    return {"0": torch.zeros(5), "2": torch.zeros(7)}

def partial(level, network, inputs, targets, generator):
    return {"0": torch.zeros(5)}
"""


def plugin(name: str, path: Path, **fields: Any) -> dict[str, Criterion]:
    return {**CRITERIA, name: Criterion(name, path, ("neuron",), name, **fields)}


@pytest.fixture
def plugin_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    return path


def test_a_criterion_in_a_reader_s_own_file_scores_like_any_other(plugin_file: Path) -> None:
    task = problem("relu")
    registry = plugin("outgoing", plugin_file, options={"power": Option(2, at_least=1)})
    scores = scores_of("neuron-outgoing", task, registry=registry)
    assert list(scores) == ["0", "2"]
    assert torch.equal(scores["2"], task.network[4].weight.detach().square().sum(0))
    assert not any(values.requires_grad for values in scores.values())
    cubes = scores_of("neuron-outgoing", task, registry=registry, power=3)
    assert torch.equal(cubes["2"], task.network[4].weight.detach().abs().pow(3).sum(0))
    with pytest.raises(ScoreError, match=r"option power: 0 .*at least 1"):
        scores_of("neuron-outgoing", task, registry=registry, power=0)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nans", "neuron-nans: 2 has scores that are not finite"),
        ("misshapen", r"neuron-misshapen: 2 has shape \(7,\), not \(4,\)"),
        ("partial", r"neuron-partial: scored \['0'\], but the units are \['0', '2'\]"),
        ("absent", r"criterion absent: .*mine\.py has no function absent"),
    ],
)
def test_what_a_reader_s_criterion_got_wrong_is_named(
    plugin_file: Path, name: str, says: str
) -> None:
    with pytest.raises(ScoreError, match=says):
        scores_of(f"neuron-{name}", problem("relu"), registry=plugin(name, plugin_file))


def test_a_criterion_s_missing_file_is_named(tmp_path: Path) -> None:
    registry = plugin("mine", tmp_path / "nowhere.py")
    with pytest.raises(ScoreError, match=r"criterion mine: .*nowhere\.py is not a Python file"):
        scores_of("neuron-mine", problem("relu"), registry=registry)


def test_every_criterion_is_a_function_in_the_file_that_the_registry_names() -> None:
    for name, criterion in CRITERIA.items():
        assert criterion.file.is_file()
        assert criterion.function().__name__ == name
        assert set(criterion.levels) <= set(LEVELS)
