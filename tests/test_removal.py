"""Smaller networks against silenced neurons, against those built smaller, and Torch-Pruning's."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
import torch_pruning
from torch import Tensor, nn

from minified import networks
from minified.criteria import score
from minified.foundations.errors import AllocationError
from minified.pruning import kept_neurons, remove_neurons

# Each builder takes the widths of its two hidden layers, so that a network from
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
