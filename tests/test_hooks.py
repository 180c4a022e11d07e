"""Networks of known layers that compute something else: refused by name, with what undoes it."""

import copy
import re
import types
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

from argument_cases import with_inputs
from conftest import REPOSITORY
from learners import clusters, mlp, recipe, same_bits, state
from minified import evaluation, networks, pruning, quantization
from minified.criteria import score
from minified.data import Split
from minified.foundations.errors import (
    AlteredNetworkError,
    MinifiedError,
    UnsupportedNetworkError,
)
from minified.networks import chains
from minified.training import apply_masks, clones, fit, re_estimate

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


def images(seed: int = 0) -> Any:
    """A nested network with a layer of each role."""
    features = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)
    )
    classifier = nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(16, 3))
    network = nn.Sequential(OrderedDict(features=features, classifier=classifier))
    networks.initialise(network, seed)
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.constant_(parameter, 0.1)  # the direction of a vector of zeros is not known
    return network.eval()


SPLIT = clusters((1, 4, 4))
SPARSE = {"classifier.2.weight": torch.ones(3, 16, dtype=torch.bool)}


def uses(network: nn.Module, split: Split = SPLIT) -> dict[str, Callable[[], Any]]:
    """Every public function, on `network`."""
    return with_inputs(network, split) | {
        "read": lambda: chains.read(network),
        "prunable": lambda: networks.prunable(network),
        "quantize": lambda: quantization.quantize(network, 4),
        "remove_neurons": lambda: pruning.remove_neurons(network, {}),
        "parameters": lambda: evaluation.parameters(network),
        "flops": lambda: evaluation.flops(network, tuple(split.inputs.shape[1:])),
        "stored_bytes": lambda: evaluation.stored_bytes(network),
        "apply_masks": lambda: apply_masks(network, {}),
        "fit alone": lambda: fit([network], split, recipe(epochs=1)),
        "fit aware": lambda: fit([network], split, recipe(epochs=1), bits=4),
        "re_estimate aware": lambda: re_estimate(network, split, 16, 4),
    }


def assert_refused(network: nn.Module, says: str, split: Split = SPLIT) -> None:
    for name, use in uses(network, split).items():
        with pytest.raises(UnsupportedNetworkError, match=says) as refusal:
            use()
        assert "\n" not in str(refusal.value), name


def assert_taken(network: nn.Module, split: Split = SPLIT) -> None:
    """By reading, and by a function that computes; all of them read a network in the same way."""
    chains.read(network)
    assert evaluation.loss(network, split) > 0
    quantization.quantize(network, 4)


def nothing(*_: object) -> None:
    """A hook that changes nothing."""


# Weights that are recomputed

Change = Callable[[nn.Module, str], object]
RECOMPUTED: dict[str, tuple[Change, Change, str]] = {
    "prune": (
        lambda module, name: prune.l1_unstructured(module, name, 0.5),
        lambda module, name: prune.remove(module, name),
        "torch.nn.utils.prune.remove",
    ),
    "custom mask": (
        lambda module, name: prune.custom_from_mask(
            module, name, torch.ones_like(getattr(module, name))
        ),
        lambda module, name: prune.remove(module, name),
        "torch.nn.utils.prune.remove",
    ),
    "weight_norm": (
        lambda module, name: nn.utils.weight_norm(module, name),
        lambda module, name: nn.utils.remove_weight_norm(module, name),
        "torch.nn.utils.remove_weight_norm",
    ),
    "spectral_norm": (
        lambda module, name: nn.utils.spectral_norm(module, name),
        lambda module, name: nn.utils.remove_spectral_norm(module, name),
        "torch.nn.utils.remove_spectral_norm",
    ),
    "parametrizations.weight_norm": (
        lambda module, name: parametrizations.weight_norm(module, name),
        lambda module, name: parametrize.remove_parametrizations(module, name),
        "torch.nn.utils.parametrize.remove_parametrizations",
    ),
    "parametrizations.spectral_norm": (
        lambda module, name: parametrizations.spectral_norm(module, name),
        lambda module, name: parametrize.remove_parametrizations(module, name),
        "torch.nn.utils.parametrize.remove_parametrizations",
    ),
    "parametrizations.orthogonal": (
        lambda module, name: parametrizations.orthogonal(module, name),
        lambda module, name: parametrize.remove_parametrizations(module, name),
        "torch.nn.utils.parametrize.remove_parametrizations",
    ),
    "parametrize": (
        lambda module, name: parametrize.register_parametrization(module, name, nn.Identity()),
        lambda module, name: parametrize.remove_parametrizations(module, name),
        "torch.nn.utils.parametrize.remove_parametrizations",
    ),
}
PLACES = [
    *((place, "weight") for place in ("features.0", "classifier.2")),
    *((place, "bias") for place in ("features.0", "features.1", "classifier.2")),
    ("features.1", "weight"),
]
# Norms of a vector's rows, and orthogonal vectors, are defined for matrices.
OF_MATRICES = ("spectral_norm", "parametrizations.spectral_norm", "parametrizations.orthogonal")
RECOMPUTING = [
    (how, place, name)
    for how in RECOMPUTED
    for place, name in PLACES
    if not (how in OF_MATRICES and (place == "features.1" or name == "bias"))
]


@pytest.mark.parametrize(("how", "place", "name"), RECOMPUTING)
def test_a_recomputed_weight_is_refused_until_it_is_plain_again(
    how: str, place: str, name: str
) -> None:
    network = images()
    module = network.get_submodule(place)
    apply, undo, call = RECOMPUTED[how]
    apply(module, name)
    fix = re.escape(f"{call}(module, '{name}')")
    assert_refused(network, rf"^{place} \(\w+\): its {name} is recomputed by .*{fix}")
    with pytest.raises(AlteredNetworkError, match=rf"^{place} "):
        networks.initialise(network, 0)
    undo(module, name)
    assert_taken(network)


@pytest.mark.parametrize("how", RECOMPUTED)
def test_a_recomputed_weight_is_refused_in_a_network_that_trains_in_a_stack(how: str) -> None:
    network = mlp(0)
    RECOMPUTED[how][0](network[2], "weight")
    assert_refused(network, r"^2 \(\w+\): its weight is recomputed", clusters())


@pytest.mark.parametrize("how", ["prune", "weight_norm", "spectral_norm"])
def test_a_reloaded_network_with_recomputed_weights_is_not_measured(how: str) -> None:
    """It had an accuracy of 0.37 instead of 1.00: the weights that torch had not yet recomputed."""
    split = clusters()
    trained = mlp(0)
    for module in (trained[0], trained[2], trained[4]):
        RECOMPUTED[how][0](module, "weight")
    optimiser = torch.optim.Adam(trained.parameters(), lr=0.05)
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.cross_entropy(trained(split.inputs), split.targets).backward()
        optimiser.step()
    reloaded = mlp(1)
    for module in (reloaded[0], reloaded[2], reloaded[4]):
        RECOMPUTED[how][0](module, "weight")
    reloaded.load_state_dict(trained.state_dict())
    reloaded.eval()
    with pytest.raises(AlteredNetworkError, match=how):
        evaluation.accuracy(reloaded, split)
    for module in (reloaded[0], reloaded[2], reloaded[4]):
        RECOMPUTED[how][1](module, "weight")
    trained.eval()
    expected = (trained(split.inputs).argmax(1) == split.targets).float().mean().item()
    assert expected > 0.8
    assert evaluation.accuracy(reloaded, split) == pytest.approx(expected)


# Hooks

REGISTERED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "forward hook": (lambda module: module.register_forward_hook(nothing), "forward hook"),
    "forward pre-hook": (
        lambda module: module.register_forward_pre_hook(nothing),
        "forward pre-hook",
    ),
    "forward hook with arguments": (
        lambda module: module.register_forward_hook(nothing, with_kwargs=True, always_call=True),
        "forward hook",
    ),
    "full backward hook": (
        lambda module: module.register_full_backward_hook(nothing),
        "backward hook",
    ),
    "full backward pre-hook": (
        lambda module: module.register_full_backward_pre_hook(nothing),
        "backward pre-hook",
    ),
    "old backward hook": (lambda module: module.register_backward_hook(nothing), "backward hook"),
}
MODULES = [name for name, _ in images().named_modules()]


@pytest.mark.parametrize("place", MODULES, ids=lambda place: place or "the network")
@pytest.mark.parametrize("hook", REGISTERED)
def test_a_hook_is_refused_on_every_kind_of_module_until_it_is_removed(
    hook: str, place: str
) -> None:
    network = images()
    module = network.get_submodule(place)
    handle = REGISTERED[hook][0](module)
    kind = type(module).__name__
    begins = re.escape(f"{place} ({kind}): " if place else f"{kind}: ")
    assert_refused(network, rf"^{begins}has a {REGISTERED[hook][1]}.*handle\.remove\(\)")
    handle.remove()
    assert_taken(network)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_hook_is_refused_in_a_network_that_trains_in_a_stack(place: int) -> None:
    network = mlp(0)
    network[place].register_forward_hook(nothing)
    assert_refused(network, rf"^{place} ", clusters())
    with pytest.raises(AlteredNetworkError, match=rf"^{place} "):
        fit([mlp(1), network], clusters(), recipe())


GLOBAL: dict[str, Callable[[Any], Any]] = {
    "forward hook": nn.modules.module.register_module_forward_hook,
    "forward pre-hook": nn.modules.module.register_module_forward_pre_hook,
    "backward hook": nn.modules.module.register_module_full_backward_hook,
    "backward pre-hook": nn.modules.module.register_module_full_backward_pre_hook,
}


@pytest.mark.parametrize("hook", GLOBAL)
def test_a_hook_on_all_modules_is_refused_until_it_is_removed(hook: str) -> None:
    network = images()
    handle = GLOBAL[hook](nothing)
    try:
        assert_refused(network, rf"^a {hook} is registered for all modules")
    finally:
        handle.remove()
    assert_taken(network)


@pytest.mark.parametrize("name", ["features.0.weight", "features.1.bias", "classifier.2.weight"])
@pytest.mark.parametrize("kind", ["register_hook", "register_post_accumulate_grad_hook"])
def test_a_hook_on_a_gradient_is_refused_until_it_is_removed(kind: str, name: str) -> None:
    network = images()
    handle = getattr(network.get_parameter(name), kind)(nothing)
    assert_refused(network, rf"^{re.escape(name)}: has a hook on its gradient")
    handle.remove()
    assert_taken(network)


def test_hooks_on_saving_and_loading_are_taken() -> None:
    """They run when torch saves and loads a network, and in no computation."""
    network = images()
    module = network.classifier[2]
    module.register_state_dict_pre_hook(nothing)
    module.register_load_state_dict_pre_hook(nothing)
    module.register_load_state_dict_post_hook(nothing)
    assert_taken(network)


def test_a_hook_with_what_cannot_be_copied_is_refused_as_any_other() -> None:
    network = images().train()
    uncopied: Iterator[int] = (i for i in range(3))
    network.classifier[2].register_forward_hook(types.MethodType(nothing, uncopied))
    assert_refused(network, r"^classifier\.2 \(Linear\): has a forward hook")


def test_a_module_of_one_s_own_is_measured_with_its_hooks_and_recomputed_weights() -> None:
    class Doubled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.utils.weight_norm(nn.Linear(6, 3))

        def forward(self, inputs: Tensor) -> Tensor:
            return 2 * self.layer(inputs)

    network = Doubled().eval()
    calls = []
    network.layer.register_forward_hook(lambda *_: calls.append(1))
    split = clusters()
    expected = nn.functional.cross_entropy(network(split.inputs), split.targets).item()
    assert evaluation.loss(network, split) == pytest.approx(expected, rel=1e-5)
    assert len(calls) == 2
    network(split.inputs)
    with pytest.raises(AlteredNetworkError, match=r"^layer \(Linear\): its weight is recomputed"):
        evaluation.loss(network.train(), split)  # only a copy could be put into eval mode
    with pytest.raises(AlteredNetworkError, match=r"^layer \(Linear\): its weight is recomputed"):
        networks.initialise(network, 0)


@pytest.mark.parametrize("first", [True, False])
def test_what_is_no_chain_is_called_as_it_is_wherever_its_hook_is(first: bool) -> None:
    hooked = nn.Linear(6, 6)
    hooked.register_forward_hook(nothing)
    modules = [hooked, nn.LayerNorm(6)] if first else [nn.LayerNorm(6), hooked]
    network = nn.Sequential(*modules, nn.Linear(6, 3)).eval()
    split = clusters()
    expected = nn.functional.cross_entropy(network(split.inputs), split.targets).item()
    assert evaluation.loss(network, split) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(UnsupportedNetworkError, match="LayerNorm"):
        chains.read(network)


# Other alterations


def replaced_forward(network: Any) -> str:
    network.classifier[2].forward = lambda inputs: inputs[:, :3]
    return r"^classifier\.2 \(Linear\): its method forward was replaced"


def replaced_forward_of_the_whole(network: Any) -> str:
    network.forward = types.MethodType(lambda self, inputs: inputs, network)
    return "^Sequential: its method forward was replaced"


def replaced_inner_method(network: Any) -> str:
    network.features[0]._conv_forward = lambda inputs, weight, bias: inputs
    return r"^features\.0 \(Conv2d\): its method _conv_forward was replaced"


def frozen_in_eval_mode(network: Any) -> str:
    network.features[1].train = lambda mode=True: network.features[1]
    return r"^features\.1 \(BatchNorm2d\): its method train was replaced"


def extra_parameter(network: Any) -> str:
    network.classifier[2].register_parameter("gate", nn.Parameter(torch.ones(3)))
    return r"^classifier\.2 \(Linear\): has a parameter 'gate'"


def extra_parameter_of_a_container(network: Any) -> str:
    network.classifier.register_parameter("gate", nn.Parameter(torch.ones(3)))
    return r"^classifier \(Sequential\): has a parameter 'gate'"


def extra_buffer(network: Any) -> str:
    network.features[2].register_buffer("seen", torch.zeros(1))
    return r"^features\.2 \(ReLU\): has a buffer 'seen'"


def extra_module(network: Any) -> str:
    network.classifier[2].add_module("adapter", nn.Linear(16, 3))
    return r"^classifier\.2 \(Linear\): has a module 'adapter'"


def plain_tensor(network: Any) -> str:
    module = network.classifier[2]
    weight = module.weight.detach()
    del module._parameters["weight"]
    module.weight = weight
    return r"^classifier\.2 \(Linear\): its weight is a plain tensor"


def buffer_for_a_weight(network: Any) -> str:
    module = network.classifier[2]
    weight = module.weight.detach()
    del module._parameters["weight"]
    module.register_buffer("weight", weight)
    return r"^classifier\.2 \(Linear\): its weight is no Parameter"


def computed_weight(network: Any) -> str:
    module = network.classifier[2]
    module._parameters["weight"] = module.weight * 2
    return r"^classifier\.2\.weight: is a Tensor"


def weight_of_a_subclass(network: Any) -> str:
    class Own(nn.Parameter):
        pass

    module = network.classifier[2]
    module._parameters["weight"] = Own(module.weight.detach())
    return r"^classifier\.2\.weight: is a Own"


def expanded_weight(network: Any) -> str:
    network.classifier[2].weight = nn.Parameter(torch.ones(1, 16).expand(3, 16))
    return r"^classifier\.2\.weight: is expanded"


def compiled_in_place(network: Any) -> str:
    network.features[0].compile()
    return r"^features\.0 \(Conv2d\): is compiled in place"


def compiled_as_a_whole(network: Any) -> str:
    network.compile()
    return "^Sequential: is compiled in place"


ALTERATIONS = [
    *(replaced_forward, replaced_forward_of_the_whole, replaced_inner_method, frozen_in_eval_mode),
    *(extra_parameter, extra_parameter_of_a_container, extra_buffer, extra_module),
    *(plain_tensor, buffer_for_a_weight, computed_weight, weight_of_a_subclass, expanded_weight),
    *(compiled_in_place, compiled_as_a_whole),
]


@pytest.mark.parametrize("alter", ALTERATIONS, ids=lambda alter: alter.__name__)
def test_any_other_alteration_is_refused_by_name(alter: Callable[[Any], str]) -> None:
    network = images()
    assert_refused(network, alter(network))


def test_a_copy_of_what_was_compiled_in_place_is_taken() -> None:
    network = images()
    compiled_in_place(network)
    assert_taken(copy.deepcopy(network))


# What is no chain: refused where a chain is needed, and measured as it is


def tied_by_a_view(network: Any) -> str:
    network.add_module("more", nn.Sequential(nn.ReLU(), nn.Linear(3, 16)))
    network.add_module("last", nn.Linear(16, 3))
    network.more[1].weight = nn.Parameter(network.classifier[2].weight.detach().T)
    return r"^more\.1: shares its weights with classifier\.2"


def tied_by_its_data(network: Any) -> str:
    network.features[1].bias = nn.Parameter(network.features[0].bias.data)
    return r"^features\.1: shares its weights with features\.0"


def of_other_sizes(network: Any) -> str:
    network.classifier[2].weight = nn.Parameter(torch.ones(2, 16))
    network.classifier[2].bias = nn.Parameter(torch.ones(2))
    return r"^classifier\.2\.weight: has shape \(2, 16\), but Linear.* needs \(3, 16\)"


@pytest.mark.parametrize(
    "change", [tied_by_a_view, tied_by_its_data, of_other_sizes], ids=lambda one: one.__name__
)
def test_weights_that_a_chain_cannot_have_are_refused_by_name(
    change: Callable[[Any], str],
) -> None:
    network = images()
    says = change(network)
    for use in (
        lambda: chains.read(network),
        lambda: fit([network], SPLIT, recipe()),
        lambda: quantization.quantize(network, 4),
        lambda: score("parameter-magnitude", network, SPLIT.inputs, SPLIT.targets, 0),
        lambda: pruning.remove_neurons(network, {}),
    ):
        with pytest.raises(UnsupportedNetworkError, match=says):
            use()


class Wrapper(nn.Linear):
    """A class of its own, which may compute something else."""


WRAPPED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "DataParallel": (lambda: nn.DataParallel(images()), r"DataParallel: not supported; .*\.module"),
    "torch.compile": (lambda: torch.compile(images()), r"OptimizedModule: .*\._orig_mod"),  # type: ignore[dict-item, return-value]
    "torch.jit.script": (lambda: torch.jit.script(images()), "scripted"),
    "torch.jit.trace": (lambda: torch.jit.trace(images(), SPLIT.inputs), "traced"),
    "torch.fx": (lambda: torch.fx.symbolic_trace(images()), "traced"),
    "lazy": (
        lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(3)),
        r"1 \(LazyLinear\): .*run the network on one example first",
    ),
    "subclass": (lambda: nn.Sequential(nn.Flatten(), Wrapper(16, 3)), r"1 \(Wrapper\): "),
    "quantized": (
        lambda: nn.Sequential(nn.Flatten(), torch.ao.nn.quantized.Linear(16, 3)),
        r"1 \(Linear\): not supported; it is a torch\.ao\.nn\.quantized",
    ),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_what_is_wrapped_traced_or_lazy_is_refused_with_what_to_pass(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = WRAPPED[name][0]()
    for use in (
        lambda: chains.read(network),
        lambda: fit([network], SPLIT, recipe()),
        lambda: quantization.quantize(network, 4),
        lambda: score("neuron-obd", network, SPLIT.inputs, SPLIT.targets, 0),
        lambda: pruning.merge_neurons(network, SPLIT.inputs, 0.5),
    ):
        with pytest.raises(UnsupportedNetworkError, match=WRAPPED[name][1]) as refusal:
            use()
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["DataParallel", "torch.jit.script", "torch.fx", "subclass"])
def test_what_is_wrapped_is_measured_as_it_is(name: str) -> None:
    network = WRAPPED[name][0]().eval()
    expected = nn.functional.cross_entropy(network(SPLIT.inputs), SPLIT.targets).item()
    assert evaluation.loss(network, SPLIT) == pytest.approx(expected, rel=1e-5)


def test_a_lazy_network_has_no_accuracy_yet() -> None:
    network = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
    for use in (
        lambda: evaluation.accuracy(network, SPLIT),
        lambda: evaluation.parameters(network),
        lambda: evaluation.latency(network, SPLIT.inputs, 1),
    ):
        with pytest.raises(UnsupportedNetworkError, match=r"1\.weight: .*one example first"):
            use()


# What is still taken


def test_views_that_share_no_number_are_taken() -> None:
    """As in networks whose parameters lie in one flat tensor."""
    network = images()
    flat = torch.cat([p.detach().flatten() for p in network.parameters()])
    start = 0
    for module in network.modules():
        for name, parameter in list(module._parameters.items()):
            view = flat[start : start + parameter.numel()].view_as(parameter)
            setattr(module, name, nn.Parameter(view))
            start += parameter.numel()
    assert_taken(network)


def test_a_subclass_of_sequential_that_adds_nothing_is_taken() -> None:
    class Block(nn.Sequential):
        pass

    network = nn.Sequential(Block(nn.Flatten(), nn.Linear(16, 8)), nn.ReLU(), nn.Linear(8, 3))
    assert_taken(network)

    class Reversed(nn.Sequential):
        def __iter__(self) -> Iterator[nn.Module]:
            return iter([*self._modules.values()][::-1])

    with pytest.raises(UnsupportedNetworkError, match=r"^0 \(Reversed\)"):
        chains.read(nn.Sequential(Reversed(nn.Linear(4, 4), nn.ReLU()), nn.Linear(4, 3)))


@pytest.mark.parametrize("how", RECOMPUTED)
def test_a_network_that_cannot_be_copied_is_refused_by_name(how: str) -> None:
    network = images().train()
    RECOMPUTED[how][0](network.classifier[2], "weight")
    network(SPLIT.inputs)
    for copied in (lambda: chains.read(chains.frozen(network)), lambda: clones([network])):
        with pytest.raises(MinifiedError, match=r"^classifier\.2 "):
            copied()


def test_refusing_a_network_leaves_it_as_it_was() -> None:
    network = images().train()
    prune.l1_unstructured(network.classifier[2], "weight", 0.5)
    before = state(network)
    for use in uses(network).values():
        with pytest.raises(UnsupportedNetworkError):
            use()
    assert network.training
    assert same_bits(before, state(network))


def test_the_page_names_every_alteration() -> None:
    page = (REPOSITORY / "docs" / "library.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ") and line.count("|") == 3]
    listed = [
        row.strip("|").split("|")[0].strip()
        for row in rows
        if "alteration" not in row and "---" not in row
    ]
    known = {
        *("a forward, forward pre-, backward or backward pre-hook on a module",),
        *("a hook on all modules", "a hook on a parameter's gradient"),
        *("`prune`", "`weight_norm`", "`spectral_norm`", "`parametrize`, `parametrizations`"),
        *("a replaced method, such as `module.forward = ...`", "`module.compile()`"),
        *("a parameter, buffer or module of a layer that its kind does not have",),
        *("a weight that is a plain or computed tensor, a buffer, or expanded",),
    }
    assert set(listed) == known
