"""Allocation against a greedy oracle, and smaller networks against silenced neurons."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
import torch_pruning
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from minified import networks
from minified.criteria import score
from minified.errors import AllocationError
from minified.pruning import SCOPES, kept_neurons, parameter_masks, remove_neurons

Scores = dict[str, Tensor]
Units = set[tuple[str, int]]

LEVELS = ("parameter", "neuron")
every_scope = pytest.mark.parametrize("scope", SCOPES)
every_level = pytest.mark.parametrize("level", LEVELS)
sparsities = st.floats(0.0, 1.0, exclude_max=True)


@st.composite
def several_scores(draw: st.DrawFn, dimensions: int = 1) -> Scores:
    """Scores of up to four layers, with many ties, infinities and zeros of both signs."""
    values = st.integers(-3, 3) | st.sampled_from([-0.0, 0.1, float("inf"), -float("inf")])
    scores = {}
    for i in range(draw(st.integers(1, 4))):
        shape = draw(st.lists(st.integers(1, 5), min_size=dimensions, max_size=dimensions))
        size = int(torch.tensor(shape).prod())
        drawn = draw(st.lists(values, min_size=size, max_size=size))
        scores[f"{2 * i}"] = torch.tensor(drawn, dtype=torch.float32).reshape(shape)
    return scores


def removed(level: str, scores: Scores, sparsity: float, scope: str) -> Units:
    """What the library removes, as (layer, row-major index)."""
    if level == "parameter":
        masks = parameter_masks(scores, sparsity, scope)
        return {(n, i) for n in scores for i, s in enumerate(masks[n].flatten()) if not s}
    kept = kept_neurons(scores, sparsity, scope)
    return {(n, i) for n in scores for i in range(len(scores[n])) if i not in kept[n].tolist()}


def greedily_removed(level: str, scores: Scores, sparsity: float, scope: str) -> Units:
    """One unit at a time: the lowest score that may still go, of equals the first."""
    spare = 1 if level == "neuron" else 0
    units: Units = set()
    for group in [list(scores)] if scope == "global" else [[name] for name in scores]:
        left = {name: scores[name].flatten().tolist() for name in group}
        candidates = {(n, i): score for n in group for i, score in enumerate(left[n])}
        for _ in range(round(sparsity * len(candidates))):
            # min() takes the first of equals, and dictionaries keep their order.
            free = {
                u: s for u, s in candidates.items() if u not in units and len(left[u[0]]) > spare
            }
            if free:
                lowest = min(free, key=lambda unit: free[unit])
                left[lowest[0]].pop()
                units.add(lowest)
    return units


@every_scope
@every_level
@settings(deadline=None)
@given(scores=several_scores(), sparsity=sparsities)
def test_allocation_equals_taking_the_lowest_score_again_and_again(
    level: str, scope: str, scores: Scores, sparsity: float
) -> None:
    assert removed(level, scores, sparsity, scope) == greedily_removed(
        level, scores, sparsity, scope
    )


@every_scope
@settings(deadline=None)
@given(scores=several_scores(dimensions=2), sparsity=sparsities)
def test_exactly_the_rounded_fraction_of_the_weights_goes(
    scope: str, scores: Scores, sparsity: float
) -> None:
    gone = {
        name: int((~mask).sum()) for name, mask in parameter_masks(scores, sparsity, scope).items()
    }
    if scope == "global":
        assert sum(gone.values()) == round(sparsity * sum(s.numel() for s in scores.values()))
    else:
        assert gone == {name: round(sparsity * s.numel()) for name, s in scores.items()}


@settings(deadline=None)
@given(scores=several_scores(dimensions=2), sparsity=sparsities)
def test_no_weight_stays_that_scores_below_a_removed_one(scores: Scores, sparsity: float) -> None:
    masks = parameter_masks(scores, sparsity, "global")
    stays = torch.cat([scores[name][masks[name]] for name in scores])
    goes = torch.cat([scores[name][~masks[name]] for name in scores])
    assert not len(stays) or not len(goes) or goes.max() <= stays.min()


def test_of_equal_scores_the_lowest_index_goes_first_layer_by_layer_and_row_by_row() -> None:
    # Neither names nor sizes decide, the order of the dictionary does.
    scores = {"b": torch.zeros(2, 2), "a": torch.zeros(2, 3)}
    masks = parameter_masks(scores, 0.6, "global")
    assert not masks["b"].any()
    assert masks["a"].tolist() == [[False, False, True], [True, True, True]]
    kept = kept_neurons({"b": torch.zeros(3), "a": torch.zeros(4)}, 0.5, "global")
    assert {name: indices.tolist() for name, indices in kept.items()} == {
        "b": [2],
        "a": [2, 3],
    }


@every_scope
@every_level
@settings(deadline=None)
@given(scores=several_scores(), pair=st.tuples(sparsities, sparsities))
def test_what_a_lower_sparsity_removes_a_higher_one_removes_too(
    level: str, scope: str, scores: Scores, pair: tuple[float, float]
) -> None:
    lower, higher = sorted(pair)
    assert removed(level, scores, lower, scope) <= removed(level, scores, higher, scope)


@every_scope
@every_level
@settings(deadline=None)
@given(
    values=st.lists(st.lists(st.integers(-50, 50), min_size=1, max_size=9), min_size=1, max_size=4),
    sparsity=sparsities,
)
def test_only_the_order_of_the_scores_counts(
    level: str, scope: str, values: list[list[int]], sparsity: float
) -> None:
    scores = {str(i): torch.tensor(v, dtype=torch.float64) for i, v in enumerate(values)}
    transformed = {name: (s**3 + 7 * s - 100).float() for name, s in scores.items()}
    assert removed(level, scores, sparsity, scope) == removed(level, transformed, sparsity, scope)


@every_scope
@settings(deadline=None)
@given(scores=several_scores(), sparsity=sparsities)
def test_every_layer_keeps_a_neuron(scope: str, scores: Scores, sparsity: float) -> None:
    assert all(len(kept) > 0 for kept in kept_neurons(scores, sparsity, scope).values())


def test_a_global_ranking_passes_over_the_last_neuron_of_a_layer() -> None:
    scores = {"0": torch.tensor([1.0, 3.0, 2.0]), "2": torch.tensor([4.0, 6.0, 5.0])}
    kept = kept_neurons(scores, 0.67, "global")
    assert {name: indices.tolist() for name, indices in kept.items()} == {"0": [1], "2": [1]}


@every_scope
def test_masks_are_bool_and_kept_neurons_are_sorted_indices(scope: str) -> None:
    generator = torch.Generator().manual_seed(0)
    weights = {"0.weight": (4, 2, 3, 3), "2.weight": (5, 16)}
    scores = {name: torch.rand(shape, generator=generator) for name, shape in weights.items()}
    masks = parameter_masks(scores, 0.5, scope)
    assert {name: tuple(mask.shape) for name, mask in masks.items()} == weights
    assert {mask.dtype for mask in masks.values()} == {torch.bool}
    for indices in kept_neurons({"0": torch.rand(40, generator=generator)}, 0.5, scope).values():
        assert indices.dtype == torch.int64
        assert indices.tolist() == sorted(set(indices.tolist()))


@pytest.mark.parametrize("allocate", [parameter_masks, kept_neurons])
@pytest.mark.parametrize(
    ("scores", "sparsity", "scope", "named"),
    [
        ([1.0, float("nan")], 0.5, "global", "2: .*NaN"),
        ([1.0, float("nan")], 0.5, "layer", "2: .*NaN"),
        ([1.0, 2.0], -0.1, "global", "-0.1"),
        ([1.0, 2.0], 1.0, "layer", "1.0"),
        ([1.0, 2.0], float("nan"), "layer", "nan"),
        ([1.0, 2.0], 0.5, "network", "network"),
    ],
)
def test_scores_from_which_no_allocation_follows_are_refused_by_name(
    allocate: Callable[[Scores, float, str], object],
    scores: list[float],
    sparsity: float,
    scope: str,
    named: str,
) -> None:
    with pytest.raises(AllocationError, match=named):
        allocate({"0": torch.ones(3), "2": torch.tensor(scores)}, sparsity, scope)


# Removing neurons. Each builder takes the widths of its two hidden layers, so that a network from
# which neurons were removed must be a twin of one that was built smaller.


def mlp(a: int, b: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, a), nn.ReLU(), nn.Linear(a, b), nn.ReLU(), nn.Linear(b, 3))


def sigmoid_mlp(a: int, b: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(6, a), nn.Sigmoid(), nn.Linear(a, b, bias=False), nn.Sigmoid(), nn.Linear(b, 3)
    )


def batch_norm_mlp(a: int, b: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(6, a),
        nn.BatchNorm1d(a),
        nn.ReLU(),
        nn.Linear(a, b),
        nn.Tanh(),
        nn.BatchNorm1d(b, affine=False),
        nn.Linear(b, 3),
    )


def pooled_conv(a: int, b: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, a, 3),
        nn.BatchNorm2d(a),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * a, b),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(b, 3),
    )


def strided_convs(a: int, b: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, a, 3, stride=2, padding=1),
        nn.Sigmoid(),
        nn.Conv2d(a, b, 2, padding=1, bias=False),
        nn.LeakyReLU(),
        nn.BatchNorm2d(b),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * b, 3),
    )


def nested(a: int, b: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Sequential(nn.Linear(6, a), nn.ReLU()),
        nn.Sequential(nn.Sequential(nn.Linear(a, b)), nn.ELU()),
        nn.Linear(b, 3),
    )


# Builder, input shape, and per hidden layer the place of its gate among the modules as they run.
NETWORKS: Mapping[str, tuple[Callable[[int, int], nn.Sequential], tuple[int, ...], dict[str, int]]]
NETWORKS = {
    "mlp": (mlp, (6,), {"0": 1, "2": 3}),
    "sigmoid_mlp": (sigmoid_mlp, (6,), {"0": 1, "2": 3}),
    "batch_norm_mlp": (batch_norm_mlp, (6,), {"0": 2, "3": 5}),
    "pooled_conv": (pooled_conv, (2, 6, 6), {"0": 2, "5": 6}),
    "strided_convs": (strided_convs, (2, 6, 6), {"0": 1, "2": 4}),
    "nested": (nested, (6,), {"0.0": 1, "1.0.0": 3}),
}
WIDTHS = (7, 5)
every_network = pytest.mark.parametrize("name", NETWORKS)


def example(name: str) -> tuple[nn.Sequential, Tensor]:
    """A network in eval mode with random parameters and statistics, and inputs; float64."""
    build, shape, _ = NETWORKS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(*WIDTHS).double().eval()
        for tensor in [*network.parameters(), *network.buffers()]:
            if tensor.is_floating_point():
                nn.init.uniform_(tensor, 0.2, 1.5) if tensor.dim() == 1 else nn.init.normal_(tensor)
        return network, torch.randn(4, *shape, dtype=torch.float64)


def some_neurons(name: str, *kept: list[int]) -> dict[str, list[int]]:
    return dict(zip(NETWORKS[name][2], kept, strict=True))


def silenced(
    name: str, network: nn.Module, inputs: Tensor, kept: Mapping[str, list[int]]
) -> Tensor:
    """Logits of the whole network, the neurons that are not in `kept` multiplied by 0."""
    at = {NETWORKS[name][2][layer]: indices for layer, indices in kept.items()}
    modules = [module for module in network.modules() if not isinstance(module, nn.Sequential)]
    x = inputs
    for i, module in enumerate(modules):
        x = module(x)
        if i in at:
            gate = torch.zeros(x.shape[1], dtype=x.dtype)
            gate[at[i]] = 1.0
            x = x * gate.reshape(-1, *[1] * (x.dim() - 2))
    return x


@every_network
@pytest.mark.parametrize(
    "kept", [([0, 2, 3, 6], [1, 4]), ([5], [0]), ([0, 1, 2, 3, 4, 5, 6], [2, 3])]
)
def test_removing_neurons_leaves_the_logits_of_silencing_them(
    name: str, kept: tuple[list[int], list[int]]
) -> None:
    network, inputs = example(name)
    stay = some_neurons(name, *kept)
    smaller = remove_neurons(network, stay)
    torch.testing.assert_close(smaller(inputs), silenced(name, network, inputs, stay))


@every_network
def test_a_pruned_network_is_the_twin_of_one_built_smaller(name: str) -> None:
    network, _ = example(name)
    smaller = remove_neurons(network, some_neurons(name, [1, 2, 5], [0, 4]))
    twin = NETWORKS[name][0](3, 2)
    assert str(smaller) == str(twin)
    assert {n: p.shape for n, p in smaller.state_dict().items()} == {
        n: p.shape for n, p in twin.state_dict().items()
    }
    assert all(p.requires_grad for p in smaller.parameters())


@every_network
def test_a_layer_that_is_not_named_keeps_all_its_neurons(name: str) -> None:
    network, inputs = example(name)
    last = list(NETWORKS[name][2])[-1]
    smaller = remove_neurons(network, {last: torch.tensor([1, 3])})
    assert str(smaller) == str(NETWORKS[name][0](WIDTHS[0], 2))
    expected = silenced(name, network, inputs, {last: [1, 3]})
    torch.testing.assert_close(smaller(inputs), expected)


@every_network
def test_removing_neurons_leaves_the_original_untouched(name: str) -> None:
    network, _ = example(name)
    before, described = copy.deepcopy(network.state_dict()), str(network)
    smaller = remove_neurons(network, some_neurons(name, [1, 2], [0, 4]))
    with torch.no_grad():
        for parameter in smaller.parameters():
            parameter.zero_()
    assert str(network) == described
    for key, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[key])


@every_network
def test_removing_in_two_steps_is_removing_in_one(name: str) -> None:
    network, _ = example(name)
    once = remove_neurons(network, some_neurons(name, [1, 5], [4]))
    halfway = remove_neurons(network, some_neurons(name, [0, 1, 3, 5], [0, 2, 4]))
    twice = remove_neurons(halfway, some_neurons(name, [1, 3], [2]))
    assert str(once) == str(twice)
    for key, tensor in once.state_dict().items():
        assert torch.equal(tensor, twice.state_dict()[key])


@pytest.mark.parametrize(
    ("layer", "indices"),
    [("9", [0]), ("1", [0]), ("4", [0]), ("0", []), ("0", [0, 7]), ("2", [-1, 0])],
    ids=["unknown", "not weighted", "the logits", "none stays", "too high", "negative"],
)
def test_neurons_that_cannot_be_kept_are_refused_by_layer(layer: str, indices: list[int]) -> None:
    with pytest.raises(AllocationError, match=rf"^{layer}: "):
        remove_neurons(mlp(*WIDTHS), {layer: indices})


# The networks of the studies, small; VGG's pooling, flatten and hidden Linear layer included.
BUILT: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "mlp": ((1, 28, 28), {"widths": [30, 20]}),
    "lenet5": ((1, 28, 28), {}),
    "vgg": ((3, 32, 32), {"channels": [[8, 6], [10], [12, 7]], "widths": [9]}),
}


def trained(name: str) -> tuple[nn.Module, Tensor]:
    """A network of a study in eval mode, its statistics not those of a new one, and inputs."""
    shape, options = BUILT[name]
    network = networks.initialise(networks.build(name, shape, 10, **options), 0).double()
    inputs = torch.randn(20, *shape, generator=torch.Generator().manual_seed(0)).double()
    network.train()(inputs)
    return network.eval(), inputs


@pytest.mark.parametrize("sparsity", [0.3, 0.8])
@pytest.mark.parametrize("name", BUILT)
def test_the_smaller_network_is_that_of_torch_pruning_on_the_same_channels(
    name: str, sparsity: float
) -> None:
    network, inputs = trained(name)
    kept = kept_neurons(score("neuron-random", network, inputs, torch.arange(20) % 10, 3), sparsity)
    smaller = remove_neurons(network, kept)

    theirs = copy.deepcopy(network)
    graph = torch_pruning.DependencyGraph().build_dependency(theirs, inputs[:1])
    for layer, stay in kept.items():
        module = theirs.get_submodule(layer)
        gone = sorted(set(range(len(theirs.get_parameter(f"{layer}.weight")))) - set(stay.tolist()))
        prune = (
            torch_pruning.prune_conv_out_channels
            if isinstance(module, nn.Conv2d)
            else torch_pruning.prune_linear_out_channels
        )
        graph.get_pruning_group(module, prune, idxs=gone).prune()
    assert str(smaller) == str(theirs)
    expected = theirs.state_dict()
    for key, tensor in smaller.state_dict().items():
        assert torch.equal(tensor, expected[key]), key
    assert torch.equal(smaller(inputs), theirs(inputs))
    assert not torch.allclose(smaller(inputs), network(inputs))


@pytest.mark.parametrize("name", BUILT)
def test_removing_channels_of_a_study_s_network_is_silencing_them(name: str) -> None:
    network, inputs = trained(name)
    kept = kept_neurons(score("neuron-magnitude", network, inputs, torch.arange(20) % 10, 0), 0.5)
    smaller = remove_neurons(network, kept)
    activation = inputs
    waiting: list[int] | None = None
    for key, module in network.named_children():
        activation = module(activation)
        waiting = kept[key].tolist() if key in kept else waiting
        if isinstance(module, nn.ReLU):
            gate = torch.zeros(activation.shape[1], dtype=activation.dtype)
            gate[waiting] = 1.0
            activation = activation * gate.view(-1, *[1] * (activation.dim() - 2))
    torch.testing.assert_close(smaller(inputs), activation)
