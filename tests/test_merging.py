"""Merging: exact where a stand-in is exact, and greedy as a slow oracle that refits every pair."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from conftest import minified
from minified import pruning
from minified.criteria import merging, score
from minified.foundations.errors import AllocationError, ScoreError
from oracles import (
    NETWORKS,
    Network,
    Problem,
    activations_read,
    folds_intercept,
    merge_by_hand,
    problem,
    stand_in,
)

LAYERS = [(name, layer) for name, (_, gates, _) in NETWORKS.items() for layer in gates]
FOLDING = [
    (name, layer)
    for name, layer in LAYERS
    if folds_intercept((task := problem(name)).network[task.readers[layer]])
]


def assert_same_function(network: nn.Module, other: nn.Module, inputs: torch.Tensor) -> None:
    """On inputs that the merging has not seen."""
    fresh = torch.randn(inputs.shape, generator=torch.Generator().manual_seed(9)).to(inputs)
    logits = network(fresh)
    assert (other(fresh) - logits).abs().max() < 1e-6 * logits.abs().max()


def widths(network: Network) -> list[int]:
    return [len(m.weight) for m in network if isinstance(m, nn.Linear | nn.Conv2d)]


def last_scaling(task: Problem, layer: str) -> Any:
    """The layer itself, or its batch norm: whose weight and bias scale a neuron's output."""
    own = task.network[int(layer) : task.gates[layer] + 1]
    return [module for module in own if hasattr(module, "weight")][-1]


@torch.no_grad()
def make_twin(task: Problem, layer: str, source: int, twin: int, factor: float) -> None:
    """Make the output of neuron `twin` be `factor` times that of `source`."""
    for module in task.network[int(layer) : task.gates[layer] + 1]:
        for name in ("weight", "bias", "running_mean", "running_var"):
            if (tensor := getattr(module, name, None)) is not None:
                tensor[twin] = tensor[source]
    for tensor in last_scaling(task, layer).parameters():
        tensor[twin] *= factor


@torch.no_grad()
def make_constant(task: Problem, layer: str, neuron: int, value: float) -> None:
    """Make neuron `neuron` put out `value` whatever the input; the value 0 makes it dead."""
    module = last_scaling(task, layer)
    module.weight[neuron] = 0.0
    if module.bias is not None:
        module.bias[neuron] = value


def without_first_merged(task: Problem, layer: str) -> tuple[nn.Module, int]:
    """The network after one merge in one layer, and which neuron went."""
    network = copy.deepcopy(task.network)
    (gone,) = merging.merge_layer(network, layer, task.inputs, count=1)
    stay = [j for j in range(task.widths[layer]) if j != gone]
    return pruning.remove_neurons(network, {layer: stay}), gone


@pytest.mark.parametrize("factor", [1.0, 2.0])
@pytest.mark.parametrize("name", NETWORKS)
def test_merging_duplicates_up_to_scale_leaves_the_logits_unchanged(
    name: str, factor: float
) -> None:
    task = problem(name, examples=20)
    for layer in task.gates:
        make_twin(task, layer, source=2, twin=0, factor=factor)
    merged = pruning.merge_neurons(task.network, task.inputs, sparsity=0.25)
    assert widths(merged) == [*(width - 1 for width in task.widths.values()), 3]
    assert_same_function(task.network, merged, task.inputs)


@pytest.mark.parametrize(("name", "layer"), FOLDING)
def test_merging_a_constant_neuron_leaves_the_logits_unchanged(name: str, layer: str) -> None:
    task = problem(name, examples=20)
    make_constant(task, layer, neuron=0, value=0.1)
    assert (merging.least_squares(task.network, layer, task.inputs).residual[0] == 0.0).all()
    merged, gone = without_first_merged(task, layer)
    assert gone == 0
    assert_same_function(task.network, merged, task.inputs)


@pytest.mark.parametrize(("name", "layer"), LAYERS)
def test_merging_a_dead_neuron_leaves_the_logits_unchanged(name: str, layer: str) -> None:
    task = problem(name, examples=20, seed=1)
    make_constant(task, layer, neuron=0, value=0.0)
    merged, gone = without_first_merged(task, layer)
    assert gone == 0
    assert_same_function(task.network, merged, task.inputs)


def test_before_a_zero_padded_convolution_constants_merge_only_with_each_other() -> None:
    """Beside the padding a bias is no stand-in for a constant; another constant is."""
    task = problem("conv_padded", examples=20)
    make_constant(task, "0", neuron=0, value=0.5)
    make_constant(task, "0", neuron=2, value=1.5)
    merged, gone = without_first_merged(task, "0")
    assert gone in (0, 2)
    assert_same_function(task.network, merged, task.inputs)
    assert (merging.least_squares(task.network, "0", task.inputs).beta == 0.0).all()


@pytest.mark.parametrize(("name", "layer"), FOLDING)
def test_a_constant_neuron_stands_in_for_others_by_their_mean_alone(name: str, layer: str) -> None:
    task = problem(name, examples=20)
    make_constant(task, layer, neuron=1, value=0.1)
    fit = merging.least_squares(task.network, layer, task.inputs)
    assert (fit.alpha[:, 1] == 0.0).all()
    a = activations_read(task.network, task.readers[layer], task.widths[layer], task.inputs)
    torch.testing.assert_close(fit.beta[:, 1], torch.from_numpy(a.mean(0)))
    torch.testing.assert_close(fit.residual[:, 1], torch.from_numpy(a.var(0)))


@pytest.mark.parametrize("chunk", [merging.CHUNK_ELEMENTS, 1])
@pytest.mark.parametrize(("name", "layer"), LAYERS)
def test_stand_ins_are_the_least_squares_fits(
    name: str, layer: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "CHUNK_ELEMENTS", chunk)
    task = problem(name, examples=20)
    neurons, reader = task.widths[layer], task.readers[layer]
    a = activations_read(task.network, reader, neurons, task.inputs)
    intercept = folds_intercept(task.network[reader])
    fit = merging.least_squares(task.network, layer, task.inputs)
    for j in range(neurons):
        residuals = []
        for i in range(neurons):
            truth = stand_in(a[:, j], a[:, i], intercept)
            found = [float(t[j, i]) for t in (fit.alpha, fit.beta, fit.residual)]
            assert found == pytest.approx(truth, rel=1e-8, abs=1e-10)
            residuals.append(truth[2] if i != j else float("inf"))
        cheapest = merging.cheapest(fit, j)
        assert cheapest.gone == j
        assert residuals[cheapest.into] == pytest.approx(min(residuals), abs=1e-10)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("name", "layer"), LAYERS)
def test_the_greedy_order_is_that_of_refitting_every_pair_at_every_step(
    name: str, layer: str, seed: int
) -> None:
    task = problem(name, examples=40, seed=seed)
    last = task.widths[layer] - 1
    _, truth = merge_by_hand(task.network, int(layer), task.readers[layer], task.inputs, last)
    found = merging.greedy(*merging.prepare(task.network, layer, task.inputs), last)
    assert [(merge.gone, merge.into) for merge in found] == truth


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", NETWORKS)
def test_a_neuron_s_score_is_its_place_in_the_greedy_order(name: str, seed: int) -> None:
    task = problem(name, examples=40, seed=seed)
    scores = score("neuron-merging", task.network, task.inputs, task.targets, seed=0)
    for layer, neurons in task.widths.items():
        _, merges = merge_by_hand(
            task.network, int(layer), task.readers[layer], task.inputs, neurons - 1
        )
        gone = [j for j, _ in merges]
        order = [*gone, *set(range(neurons)) - set(gone)]
        assert scores[layer].tolist() == [order.index(j) for j in range(neurons)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", NETWORKS)
def test_each_layer_merges_on_the_activations_of_the_network_merged_so_far(
    name: str, seed: int
) -> None:
    task = problem(name, examples=40, seed=seed)
    truth = task.network
    for layer, neurons in task.widths.items():
        truth, _ = merge_by_hand(
            truth, int(layer), task.readers[layer], task.inputs, round(0.5 * neurons)
        )
    merged = pruning.merge_neurons(task.network, task.inputs, sparsity=0.5)
    assert widths(merged)[:-1] == [n - round(0.5 * n) for n in task.widths.values()]
    assert_same_function(truth, merged, task.inputs)


@pytest.mark.parametrize("name", NETWORKS)
def test_at_least_one_neuron_stays_per_layer(name: str) -> None:
    task = problem(name)
    merged = pruning.merge_neurons(task.network, task.inputs, sparsity=0.99)
    assert widths(merged) == [*(1 for _ in task.gates), 3]
    assert merged(task.inputs).isfinite().all()


def test_merging_returns_a_new_network_and_leaves_the_old_one_unchanged() -> None:
    task = problem("conv_padded")
    before = copy.deepcopy(task.network.state_dict())
    merged = pruning.merge_neurons(task.network, task.inputs, sparsity=0.0)
    assert_same_function(task.network, merged, task.inputs)
    pruning.merge_neurons(task.network.train(), task.inputs, sparsity=0.5)
    assert task.network.training
    for name, tensor in task.network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"scope": "global"}, "global"), ({"sparsity": 1.0}, "1.0"), ({"sparsity": -0.1}, "-0.1")],
)
def test_merging_refuses_another_scope_or_an_impossible_sparsity(
    arguments: dict, named: str
) -> None:
    task = problem("relu")
    with pytest.raises(AllocationError, match=named):
        pruning.merge_neurons(task.network, task.inputs, **{"sparsity": 0.5, **arguments})


def test_merging_away_the_last_neuron_is_refused() -> None:
    task = problem("relu")
    with pytest.raises(ScoreError, match="one must stay"):
        merging.greedy(*merging.prepare(task.network, "0", task.inputs), count=5)


def test_a_layer_s_only_neuron_is_merged_into_none() -> None:
    network = torch.nn.Sequential(
        torch.nn.Linear(6, 1), torch.nn.ReLU(), torch.nn.Linear(1, 3)
    ).double()
    fit = merging.least_squares(network, "0", problem("relu").inputs)
    with pytest.raises(ScoreError, match="only neuron of a layer"):
        merging.cheapest(fit, 0)


@pytest.mark.slow
def test_damage_of_merging_leaves_out_a_layer_of_one_neuron(small_study: Path) -> None:
    small_study.write_text(
        small_study.read_text().replace("widths: [16, 12]", "widths: [1, 3]")
        + "data: {training_examples: 200}\n"
    )
    for verb in (["prepare"], ["train"], ["damage", "--removal", "merging"]):
        minified(small_study.parent, verb[0], "small.yaml", *verb[1:], check=True)
    damage = (small_study.parent / "results/small/damage/merging.csv").read_text().splitlines()[1:]
    # Three replicates, three neurons of the second layer each.
    assert [line.split(",")[1] for line in damage] == ["3"] * 9
