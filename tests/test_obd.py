"""OBD and its four readings, against double backward of each single unit, and against BackPACK."""

import copy
from functools import cache
from typing import Any

import pytest
import torch
from backpack import backpack, extend
from backpack.extensions import DiagGGNExact, SumGradSquared
from torch import Tensor, nn

from minified import networks
from minified.criteria import derivatives, score, walk
from oracles import NETWORKS, Problem, obd_oracle, problem

READINGS = ("obd", "obd_sd", "obd_signed", "obd_absolute", "obd_squared")
QUANTITIES = ("gradient", "curvature", "deviation", "squared")
LEVELS = ("parameter", "neuron")

cached_problem = cache(problem)
expected = cache(lambda name, level: obd_oracle(cached_problem(name), level))


def scores_of(task: Problem, level: str, criterion: str) -> dict[str, Tensor]:
    return score(f"{level}-{criterion}", task.network, task.inputs, task.targets, seed=0)


def relative_error(found: Tensor, truth: Tensor) -> float:
    """The largest error, as a fraction of the tensor's largest score."""
    return float((found - truth).abs().max() / truth.abs().max())


@pytest.mark.parametrize("criterion", READINGS)
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", NETWORKS)
def test_scores_equal_double_backward_of_each_single_unit(
    name: str, level: str, criterion: str
) -> None:
    truth = expected(name, level)[criterion]
    found = scores_of(cached_problem(name), level, criterion)
    assert list(found) == list(truth)
    for layer in truth:
        assert found[layer].shape == truth[layer].shape
        assert relative_error(found[layer], truth[layer]) < 1e-5, layer


PEERS: dict[str, tuple[tuple[int, ...], dict]] = {
    "mlp": ((64,), {"widths": [30, 20]}),
    "lenet5": ((1, 28, 28), {}),
    "vgg": ((3, 32, 32), {"channels": [[6, 8], [8], [12, 12], [16], [16]], "widths": [20]}),
}


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize(
    "dtype", [torch.float64, pytest.param(torch.float32, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("name", PEERS)
def test_second_derivatives_and_squared_gradients_equal_backpack_s(
    name: str, dtype: torch.dtype
) -> None:
    shape, options = PEERS[name]
    generator = torch.Generator().manual_seed(0)
    network = networks.initialise(networks.build(name, shape, 10, **options), 0)
    inputs = torch.randn(24, *shape, generator=generator, dtype=dtype)
    targets = torch.randint(10, (24,), generator=generator)
    network.to(dtype).train()(inputs)  # for statistics that are not those of a new network
    network.eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.5)
    found = {
        criterion: score(f"parameter-{criterion}", network, inputs, targets, seed=0)
        for criterion in ("obd", "obd_squared")
    }

    twin, criterion = extend(copy.deepcopy(network)), extend(nn.CrossEntropyLoss())
    with backpack(DiagGGNExact(), SumGradSquared()):
        criterion(twin(inputs), targets).backward()
    weights = {name: p for name, p in twin.named_parameters() if p.dim() > 1}
    tolerance = 1e-10 if dtype == torch.float64 else 1e-4
    for scores in found.values():
        assert list(scores) == list(weights)
    for layer, weight in weights.items():
        truth = weight.diag_ggn_exact * weight.detach() ** 2 / 2
        assert relative_error(found["obd"][layer], truth) < tolerance
        # BackPACK's gradients are those of l_n / N, and their squares are summed.
        truth = weight.sum_grad_squared * len(inputs) * weight.detach() ** 2 / 2
        assert relative_error(found["obd_squared"][layer], truth) < tolerance


def with_dead_neuron(name: str, layer: int, neuron: int) -> Problem:
    """The problem with a neuron that a ReLU holds at zero for every input."""
    task = problem(name)
    with torch.no_grad():
        task.network[layer].weight[neuron] = 0.0
        task.network[layer].bias[neuron] = -1.0
    return task


@pytest.mark.parametrize(("name", "layer"), [("relu", 0), ("relu", 2), ("conv_strided", 0)])
def test_a_dead_neuron_has_no_curvature_and_finite_scores(name: str, layer: int) -> None:
    task, dead = with_dead_neuron(name, layer, 1), 1
    for level in LEVELS:
        for criterion in READINGS:
            assert all(s.isfinite().all() for s in scores_of(task, level, criterion).values())
    for criterion in READINGS:
        gates = scores_of(task, "neuron", criterion)[str(layer)]
        assert gates[dead] == 0.0
        assert (gates != 0.0).any()
        weights = scores_of(task, "parameter", criterion)
        assert (weights[f"{layer}.weight"][dead] == 0.0).all()
        assert (weights[f"{layer + 2}.weight"][:, dead] == 0.0).all()


@pytest.mark.parametrize("criterion", READINGS)
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ["relu", "conv_padded"])
def test_a_float32_network_gives_nearly_the_scores_of_float64(
    name: str, level: str, criterion: str
) -> None:
    task = cached_problem(name)
    single = copy.deepcopy(task.network).float()
    found = score(f"{level}-{criterion}", single, task.inputs.float(), task.targets, seed=0)
    for layer, truth in scores_of(task, level, criterion).items():
        assert relative_error(found[layer].double(), truth) < 1e-4, layer


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", NETWORKS)
def test_scores_do_not_depend_on_how_the_examples_are_cut_into_chunks(
    name: str, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = cached_problem(name)
    whole = derivatives.derivatives(task.network, task.inputs, task.targets, level)
    monkeypatch.setattr(walk, "CHUNK_BYTES", 1)
    monkeypatch.setattr(walk, "FEW_EXAMPLES", 1)
    single = derivatives.derivatives(task.network, task.inputs, task.targets, level)
    for layer in whole:
        for value in QUANTITIES:
            one, other = getattr(whole[layer], value), getattr(single[layer], value)
            torch.testing.assert_close(other, one, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("classes", [2, 30])
def test_curvatures_of_convolutions_do_not_depend_on_the_way_they_are_summed(
    classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = networks.initialise(
        networks.build("vgg", (2, 8, 8), classes, channels=[[3, 4], [5]]), 0
    ).double()
    inputs = torch.randn(5, 2, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    targets = torch.arange(5) % classes
    ways = []
    # By pairs of positions where that is less work; never, for want of memory; class by class.
    for few, chunk in ((2**26, 2**23), (0, 2**23), (0, 1)):
        monkeypatch.setattr(walk, "FEW_EXAMPLES_BYTES", few)
        monkeypatch.setattr(walk, "CHUNK_BYTES", chunk)
        ways.append(derivatives.derivatives(network, inputs, targets, "parameter"))
    for way in ways[1:]:
        for layer, expected in ways[0].items():
            for value in QUANTITIES:
                found = getattr(way[layer], value)
                torch.testing.assert_close(found, getattr(expected, value), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(("few", "chunk"), [(0, 2**23), (2**26, 2**18)])
def test_a_convolution_that_takes_its_chunk_in_several_parts_counts_every_example_once(
    few: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    classes = 30
    network = nn.Sequential(
        nn.Conv2d(16, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, classes)
    ).double()
    inputs, targets = torch.randn(40, 16, 4, 4).double(), torch.arange(40) % classes
    each = [
        derivatives.derivatives(network, x[None], y[None], "parameter")["0.weight"]
        for x, y in zip(inputs, targets, strict=True)
    ]
    # 15 examples at a time class by class, of a chunk of 40; 4 by pairs of positions, of 16.
    monkeypatch.setattr(walk, "FEW_EXAMPLES_BYTES", few)
    monkeypatch.setattr(walk, "CHUNK_BYTES", chunk)
    whole = derivatives.derivatives(network, inputs, targets, "parameter")["0.weight"]
    for value in ("gradient", "curvature", "squared"):
        expected = torch.stack([getattr(one, value) for one in each]).mean(0)
        torch.testing.assert_close(getattr(whole, value), expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("criterion", READINGS)
@pytest.mark.parametrize("level", LEVELS)
def test_one_pass_over_the_data_serves_all_readings_to_the_bit(level: str, criterion: str) -> None:
    task = cached_problem("conv_strided")
    shared = derivatives.derivatives(task.network, task.inputs, task.targets, level)
    alone = scores_of(task, level, criterion)
    # Other examples, which then must not matter.
    inputs, targets = task.inputs[:1], task.targets[:1]
    method = f"{level}-{criterion}"
    read = score(method, task.network, inputs, targets, seed=0, derivatives=shared)
    assert all(torch.equal(read[name], alone[name]) for name in alone)


def test_the_squared_derivative_is_that_of_each_example_not_of_their_mean() -> None:
    """Two examples whose gradients cancel have a mean of 0, and squares that do not."""
    network: Any = nn.Sequential(nn.Linear(1, 2, bias=False)).double()
    with torch.no_grad():
        network[0].weight.fill_(1.0)
    inputs, targets = torch.tensor([[3.0], [3.0]]).double(), torch.tensor([0, 1])
    shared = derivatives.derivatives(network, inputs, targets, "parameter")["0.weight"]
    assert shared.gradient.abs().max() < 1e-12
    assert shared.squared.flatten().tolist() == pytest.approx([2.25, 2.25])


def test_small_squares_do_not_underflow_in_a_float32_network() -> None:
    network: Any = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 2))
    with torch.no_grad():
        network[2].weight.mul_(1e-12)
        network[0].bias.fill_(5.0)
    inputs, targets = torch.full((3, 1), 1e-12), torch.zeros(3, dtype=torch.long)
    for level in LEVELS:
        shared = derivatives.derivatives(network, inputs, targets, level)
        assert all((one.squared > 0).all() for one in shared.values())
