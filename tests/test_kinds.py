"""Every kind of layer in the table is right wherever it is met; every other is refused by name."""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from minified import networks
from minified.criteria.derivatives import derivatives
from minified.data import Split
from minified.foundations.errors import UnsupportedNetworkError
from minified.networks import chains, kinds
from minified.networks.kinds import KINDS, Kind
from minified.networks.stacks import groups
from minified.study import Recipe
from minified.training import fit
from oracles import Problem, gauss_newton_oracle, obd_oracle, problem_of

LEVELS = ("parameter", "neuron")
ACTIVATIONS = [kind for kind, entry in KINDS.items() if entry.role == "activation"]
PIECEWISE_LINEAR = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.Hardtanh, nn.Identity)
UNCURVED = [kind for kind in KINDS if kind not in ACTIVATIONS or kind in PIECEWISE_LINEAR]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)

# A class of modules; it is called with what its `__init__` needs.
Class = Callable[..., nn.Module]


def around(kind: Class, role: str) -> tuple[tuple[int, ...], dict[str, int], Callable[[], list]]:
    """A network with a layer of this kind: input shape, where gates are, and its modules."""
    of_images = "2d" in getattr(kind, "__name__", "")
    match role:
        case "weighted":
            if of_images:
                return (
                    (2, 3, 3),
                    {"0": 1},
                    lambda: [*(kind(2, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(12, 3))],
                )
            return (6,), {"0": 1}, lambda: [kind(6, 5), nn.ReLU(), nn.Linear(5, 3)]
        case "activation":
            layers = ((6, 5), (5, 4))
            return (
                (6,),
                {"0": 1, "2": 3},
                lambda: [
                    *(module for sizes in layers for module in (nn.Linear(*sizes), kind())),
                    nn.Linear(4, 3),
                ],
            )
        case "pooling" | "flatten":
            pooled = [lambda: kind(2)] if role == "pooling" else []
            flat = kind if role == "flatten" else nn.Flatten
            return (
                (2, 5, 5),
                {"0": 1},
                lambda: [
                    *(nn.Conv2d(2, 3, 2), nn.ReLU()),
                    *(make() for make in pooled),
                    *(flat(), nn.Linear(12 if pooled else 48, 3)),
                ],
            )
        case "normalisation" | "dropout":
            own = (lambda: kind(3)) if role == "normalisation" else kind
            first = (lambda: nn.Conv2d(2, 3, 2)) if of_images else (lambda: nn.Linear(6, 3))
            rest = (
                [nn.Flatten, lambda: nn.Linear(12, 3)] if of_images else [lambda: nn.Linear(3, 3)]
            )
            gate = 2 if role == "normalisation" else 1
            middle = [own, nn.ReLU] if role == "normalisation" else [nn.ReLU, own]
            return (
                ((2, 3, 3) if of_images else (6,)),
                {"0": gate},
                lambda: [make() for make in (first, *middle, *rest)],
            )
    raise AssertionError(f"{kind}: no network is known here that has a layer of role {role}")


def task_of(kind: Class) -> Problem:
    return problem_of(*around(kind, KINDS[kind].role), examples=3)  # type: ignore[index]


def assert_close(found: Tensor, truth: Tensor) -> None:
    assert float((found - truth).abs().max()) <= 1e-9 * max(1.0, float(truth.abs().max()))


def assert_derivatives_are_right(task: Problem, level: str) -> None:
    found = derivatives(task.network, task.inputs, task.targets, level)
    truth = gauss_newton_oracle(task, level)
    assert list(found) == list(truth)
    for layer, (gradient, curvature, deviation, squared) in truth.items():
        assert_close(found[layer].gradient, gradient)
        assert_close(found[layer].curvature, curvature)
        # A difference of squares: its square is what is exact.
        assert_close(found[layer].deviation ** 2, deviation**2)
        assert_close(found[layer].squared, squared)


# In the table


@every_kind
def test_a_chain_with_it_is_read(kind: Class) -> None:
    task = task_of(kind)
    chain = chains.read(task.network)
    assert {layer.name: layer.gate for layer in chain.hidden} == task.gates
    of_this_kind = [i for i, module in enumerate(task.network) if type(module) is kind]
    assert of_this_kind
    if KINDS[kind].role == "normalisation":  # type: ignore[index]
        assert chain.hidden[0].norms == tuple(of_this_kind)
    else:
        assert not any(layer.norms for layer in chain.layers)


@every_kind
def test_the_table_names_its_parameters_and_buffers(kind: Class) -> None:
    module = next(one for one in task_of(kind).network if type(one) is kind)
    own = {name for name, _ in (*module.named_parameters(), *module.named_buffers())}
    assert KINDS[kind].tensors == own  # type: ignore[index]


@every_kind
@pytest.mark.parametrize("level", LEVELS)
def test_its_derivatives_are_those_of_the_whole_jacobian(kind: Class, level: str) -> None:
    assert_derivatives_are_right(task_of(kind), level)


@pytest.mark.parametrize("kind", UNCURVED, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("level", LEVELS)
def test_they_are_exact_where_it_is_piecewise_linear(kind: Class, level: str) -> None:
    task = task_of(kind)
    found = derivatives(task.network, task.inputs, task.targets, level)
    for layer, scores in obd_oracle(task, level)["obd"].items():
        units = task.network.get_parameter(layer).detach() if level == "parameter" else 1.0
        assert_close(found[layer].curvature * units**2 / 2, scores)


@every_kind
def test_it_keeps_a_zero_if_the_table_says_so(kind: Class) -> None:
    entry = KINDS[kind]  # type: ignore[index]
    if entry.role in ("weighted", "normalisation"):
        assert not entry.keeps_zero
        return
    task = task_of(kind)
    (module, *_) = (module for module in task.network if type(module) is kind)
    zeros = torch.zeros(2, *task.inputs.shape[1:], dtype=torch.float64)
    assert bool((module(zeros) == 0).all()) == entry.keeps_zero


@pytest.mark.parametrize("kind", ACTIVATIONS, ids=lambda kind: kind.__name__)
def test_it_may_be_apart_from_its_layer_only_if_it_keeps_a_zero(kind: Class) -> None:
    rest = [nn.Flatten(), nn.Linear(16, 3)]
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), kind(), *rest)
    if KINDS[kind].keeps_zero:  # type: ignore[index]
        assert chains.read(network).hidden[0].gate == 0
    else:
        with pytest.raises(
            UnsupportedNetworkError, match=rf"^2 \({kind.__name__}\): does not directly follow"
        ):
            chains.read(network)


def trained(kind: Class, role: str, count: int = 3) -> tuple[list[nn.Module], Split]:
    shape, _, modules = around(kind, role)
    some = [networks.initialise(nn.Sequential(*modules()), seed) for seed in range(count)]
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(30, *shape, generator=generator)
    return some, Split(inputs, torch.arange(30) % 3)


RECIPE = Recipe(learning_rate=0.01, epochs=2, batch_size=16)


@every_kind
@pytest.mark.parametrize("bits", [None, 3])
def test_networks_with_it_train_together_as_they_do_alone(kind: Class, bits: int | None) -> None:
    entry = KINDS[kind]  # type: ignore[index]
    together, split = trained(kind, entry.role)
    alone = copy.deepcopy(together)
    stacked = stacks(together[0])
    assert groups(together) == ([[0, 1, 2]] if stacked else [[0], [1], [2]])
    # To the bit where the arithmetic is that of a job: see test_training.py.
    tolerance = 1e-5 if stacked else 0.0
    losses = fit(together, split, RECIPE, seeds=[4, 5, 6], bits=bits)
    for i, network in enumerate(alone):
        own = fit([network], split, RECIPE, seeds=[4 + i], bits=bits)
        torch.testing.assert_close(own[:, 0], losses[:, i], rtol=0, atol=tolerance)
        state = network.state_dict()
        for name, tensor in together[i].state_dict().items():
            torch.testing.assert_close(tensor, state[name], rtol=0, atol=tolerance)


def stacks(network: nn.Module) -> bool:
    """Whether the table has every layer of `network` compute alike at every place of a tensor."""
    return all(KINDS[type(module)].stacks for module in network.children())


# Entries that say nothing but their role


@pytest.mark.parametrize(
    ("kind", "role"),
    [
        (nn.Softshrink, "activation"),
        (nn.LogSigmoid, "activation"),
        (lambda: nn.Threshold(0.1, 0.3), "activation"),
        (lambda size: nn.LPPool2d(2, size), "pooling"),
        (nn.AlphaDropout, "dropout"),
    ],
    ids=["Softshrink", "LogSigmoid", "Threshold", "LPPool2d", "AlphaDropout"],
)
def test_an_entry_with_its_role_alone_is_right_everywhere(
    kind: Class, role: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = kind(2) if role == "pooling" else kind()
    with pytest.raises(UnsupportedNetworkError):
        kinds.of(module)
    keeps_zero = role in ("pooling", "dropout")
    monkeypatch.setitem(KINDS, type(module), Kind(role, keeps_zero))
    for level in LEVELS:
        assert_derivatives_are_right(problem_of(*around(kind, role), examples=3), level)
    some, split = trained(kind, role)
    assert groups(some) == [[0], [1], [2]]
    assert bool(fit(some, split, RECIPE).isfinite().all())


# Not in the table


def other_modules() -> list[nn.Module]:
    """One of every class of torch.nn that is not in the table, if it can be made of a few words."""
    made: list[nn.Module] = []
    for name in dir(nn):
        kind = getattr(nn, name)
        if not isinstance(kind, type) or not issubclass(kind, nn.Module):
            continue
        if kind in KINDS or kind is nn.Sequential:
            continue
        for words in ((), (2,), (2, 2), (2, 2, 2), (1, 0.5), (nn.ReLU(),), (0, (2, 2)), ([2],)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    made.append(kind(*words))
                except Exception:
                    continue
            break
    return made


OTHERS = other_modules()


def test_nearly_every_class_of_torch_is_tried() -> None:
    assert len(OTHERS) > 120


@pytest.mark.parametrize("module", OTHERS, ids=lambda module: type(module).__name__)
def test_a_layer_of_any_other_kind_is_refused_by_name(module: nn.Module) -> None:
    network = nn.Sequential(nn.Linear(4, 4), module, nn.Linear(4, 3))
    with pytest.raises(UnsupportedNetworkError, match=rf"^1 \({type(module).__name__}\): "):
        chains.read(network)


@every_kind
def test_a_class_derived_from_a_known_one_is_refused_by_its_own_name(kind: type) -> None:
    task = task_of(kind)
    position = next(i for i, module in enumerate(task.network) if type(module) is kind)
    # It may compute something else.
    task.network[position].__class__ = type("Derived", (kind,), {})
    with pytest.raises(UnsupportedNetworkError, match=rf"^{position} \(Derived\): "):
        chains.read(task.network)


def test_an_activation_whose_options_move_zero_may_not_be_apart_from_its_layer() -> None:
    """Hardtanh keeps a zero by default, and makes 0.5 of it here."""
    apart = [nn.Conv2d(1, 2, 2), nn.ReLU(), nn.MaxPool2d(2), nn.Hardtanh(0.5, 1.0)]
    with pytest.raises(UnsupportedNetworkError, match=r"3 \(Hardtanh\)"):
        chains.read(nn.Sequential(*apart, nn.Flatten(), nn.Linear(2, 3)))
    own = [nn.Linear(4, 2), nn.Hardtanh(0.5, 1.0), nn.Linear(2, 3)]
    assert chains.read(nn.Sequential(*own)).hidden[0].gate == 1


@pytest.mark.parametrize(
    "pool", [nn.MaxPool2d(2, return_indices=True), nn.AdaptiveMaxPool2d(1, return_indices=True)]
)
def test_pooling_that_returns_more_than_its_output_is_refused_by_name(pool: nn.Module) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 2), pool, nn.Flatten(), nn.Linear(2, 3))
    with pytest.raises(UnsupportedNetworkError, match=r"1 \(.*MaxPool2d\): must not return"):
        chains.read(network)
