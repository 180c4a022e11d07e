"""What the public functions take and refuse, as docs/library.md lists it: line by line.

A case has its line in the tables of that page, and every line has its case in argument_cases.py.
"""

import copy
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from argument_cases import (
    BUILT,
    CASES,
    EXAMPLES,
    SAVED,
    SHORT,
    Case,
    altered,
    network_of,
    split_of,
    with_inputs,
    with_labels,
)
from conftest import REPOSITORY
from learners import clusters, mlp, recipe, same_bits, state
from minified import data, evaluation, networks, pruning, quantization
from minified.criteria import score
from minified.data import Split
from minified.foundations.errors import DataError, DivergenceError, MinifiedError
from minified.study import Recipe
from minified.training import apply_masks, fit, re_estimate

every_network = pytest.mark.parametrize("kind", BUILT)


PAGE = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (REPOSITORY / "docs" / "library.md").read_text().splitlines()
    if line.startswith("| ") and line.count("|") == 5 and not line.startswith(("| arg", "| --"))
]
ERRORS = {argument: errors.split(", ") for argument, _, _, errors in PAGE}


def check(case: Case, calls: Mapping[str, Callable[[], Any]]) -> None:
    assert calls
    for name, call in calls.items():
        if case.outcome == "taken":
            call()
            continue
        with pytest.raises(MinifiedError) as refusal:
            call()
        message = str(refusal.value)
        assert "\n" not in message, name
        assert len(message) < 400, name
        assert re.search(case.named, message), f"{name}: {message}"
        assert type(refusal.value).__name__ in ERRORS[case.argument], name
        # Training says which network and which epoch.
        if not isinstance(refusal.value, DataError | DivergenceError):
            assert isinstance(refusal.value, ValueError | TypeError), name


@every_network
@pytest.mark.parametrize("case", EXAMPLES, ids=str)
def test_all_functions_take_or_refuse_the_same_examples(case: Case, kind: str) -> None:
    check(case, case.calls(kind))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_argument_is_taken_or_refused_in_one_line(case: Case) -> None:
    check(case, case.calls())


@pytest.mark.parametrize("case", SAVED, ids=str)
def test_what_is_saved_can_be_read(case: Case, tmp_path: Path) -> None:
    check(case, case.calls(tmp_path))
    if case.outcome == "taken":
        data.read(tmp_path / "data.safetensors")


@pytest.mark.parametrize("column", ["taken", "refused"])
def test_the_page_lists_these_cases_and_no_others(column: str) -> None:
    listed = {
        (argument, given)
        for argument, taken, refused, _ in PAGE
        for given in (taken if column == "taken" else refused).split("; ")
        if given
    }
    cases = (*EXAMPLES, *CASES, *SAVED)
    assert listed == {(c.argument, c.given) for c in cases if c.outcome == column}


# What is taken is taken rightly


@every_network
def test_how_inputs_lie_in_memory_changes_no_result(kind: str) -> None:
    split = split_of(kind)
    apart = torch.stack([split.inputs, torch.zeros_like(split.inputs)], -1)[..., 0]
    assert not apart.is_contiguous()
    network = network_of(kind)
    other = Split(apart, split.targets)
    assert evaluation.performance(network, other) == evaluation.performance(network, split)
    pair = [copy.deepcopy(network), copy.deepcopy(network)]
    assert torch.equal(fit(pair[:1], other, SHORT), fit(pair[1:], split, SHORT))
    assert same_bits(state(pair[0]), state(pair[1]))


@every_network
def test_a_network_of_float64_trains_and_is_measured_on_float64(kind: str) -> None:
    split = split_of(kind)
    double = Split(split.inputs.double(), split.targets)
    one, other = network_of(kind), network_of(kind).double()
    losses = fit([one], split, recipe())
    torch.testing.assert_close(fit([other], double, recipe()), losses, rtol=1e-3, atol=1e-3)
    assert next(other.parameters()).dtype == torch.float64
    assert evaluation.loss(other, double) == pytest.approx(evaluation.loss(one, split), abs=1e-2)
    assert next(quantization.quantize(other, 4).parameters()).dtype == torch.float64


@pytest.mark.parametrize("bits", [np.int8(8), np.uint8(8), np.int64(8)])
def test_numpy_s_bits_are_python_s(bits: Any) -> None:
    weight = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    assert torch.equal(quantization.rounded(weight, bits), quantization.rounded(weight, 8))
    assert evaluation.stored_bytes(mlp(0), bits=bits) == evaluation.stored_bytes(mlp(0), bits=8)
    assert same_bits(
        state(quantization.quantize(mlp(0), bits)), state(quantization.quantize(mlp(0), 8))
    )


def test_numpy_s_seeds_and_recipes_are_python_s() -> None:
    one, other = mlp(0), mlp(0)
    plain = SimpleNamespace(
        **(dict(recipe()) | {"epochs": np.int64(3), "momentum": np.float64(0.9)})
    )
    fit([one], clusters(), recipe(), seeds=[7])
    fit([other], clusters(), plain, seeds=np.array([7]))  # type: ignore[arg-type]
    assert same_bits(state(one), state(other))
    zero: Any = np.int64(0)
    networks.initialise(other, zero)
    assert same_bits(state(other), state(mlp(0)))


def test_neurons_are_kept_in_the_order_given() -> None:
    network = mlp(0)
    smaller: Any = pruning.remove_neurons(network, {"0": [5, 0, 2]})
    assert torch.equal(smaller[0].weight, network[0].weight[[5, 0, 2]])
    inputs = clusters().inputs
    sorted_: Any = pruning.remove_neurons(network, {"0": [0, 2, 5]})
    torch.testing.assert_close(smaller(inputs), sorted_(inputs))


def test_integer_scores_are_ranked_as_numbers() -> None:
    scores = {"0": torch.tensor([2**53, 3, 2**53 - 1, -4])}
    assert pruning.parameter_masks(scores, 0.75)["0"].tolist() == [True, False, False, False]


def test_masks_that_fit_are_counted() -> None:
    """Masks of 0 and 1 that are not bool counted 91 of 51 parameters."""
    network = networks.build("mlp", (4,), 3, widths=[6])
    assert evaluation.parameters(network) == 51
    mask = torch.ones(6, 4, dtype=torch.bool)
    mask[:2] = False
    assert evaluation.parameters(network, {"0.weight": mask}) == 43
    for kind in (torch.int64, torch.uint8, torch.float32, torch.int8):
        with pytest.raises(MinifiedError, match=r"0\.weight: must be bool"):
            evaluation.parameters(network, {"0.weight": mask.to(kind)})


@every_network
@pytest.mark.parametrize("switched_off", [torch.no_grad, torch.inference_mode])
def test_a_caller_s_gradient_mode_changes_no_result(kind: str, switched_off: Any) -> None:
    split = split_of(kind)
    one, other = network_of(kind), network_of(kind)
    losses = fit([one], split, recipe())
    scores = score("parameter-obd", one, split.inputs, split.targets, 0)
    with switched_off():
        assert torch.equal(fit([other], split, recipe()), losses)
        again = score("parameter-obd", other, split.inputs, split.targets, 0)
    assert same_bits(state(one), state(other))
    assert same_bits(scores, again)


def test_a_network_made_in_inference_mode_is_measured_but_not_changed() -> None:
    with torch.inference_mode():
        network = mlp(0)
    assert evaluation.performance(network, clusters()) == evaluation.performance(mlp(0), clusters())
    mask = torch.ones(8, 6, dtype=torch.bool)
    for change in (
        lambda: fit([mlp(1), network], clusters(), SHORT),
        lambda: apply_masks(network, {"0.weight": mask}),
    ):
        with pytest.raises(MinifiedError, match=r"0\.weight was made in torch\.inference_mode"):
            change()
    fit([copy.deepcopy(network)], clusters(), SHORT)


@every_network
def test_autocast_that_only_some_layers_would_use_is_refused(kind: str) -> None:
    for call in with_inputs(network_of(kind), split_of(kind)).values():
        with (
            torch.autocast("cpu", torch.bfloat16),
            pytest.raises(MinifiedError, match=r"torch\.autocast is on"),
        ):
            call()


def test_splits_that_share_memory_are_saved_apart(tmp_path: Path) -> None:
    whole = Split(torch.rand(9, 1, 2, 2), torch.arange(9) % 3)
    dataset = data.Dataset(whole, whole.first(6), Split(whole.inputs[3:], whole.targets[3:]), 3)
    data.save(dataset, tmp_path / "data.safetensors", "mine")
    found = data.read(tmp_path / "data.safetensors")
    for split in ("training", "validation", "test"):
        assert torch.equal(getattr(found, split).inputs, getattr(dataset, split).inputs)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nested_tensors_are_refused() -> None:
    nested = torch.nested.nested_tensor([torch.ones(6), torch.ones(6)])
    with pytest.raises(MinifiedError, match=r"inputs: .*nested"):
        evaluation.accuracy(mlp(0), Split(nested, torch.tensor([0, 1])))


# Refused before anything happens


@every_network
@pytest.mark.parametrize(
    "wrong",
    [
        lambda split: {"split": Split(split.inputs, altered(split.targets, -100))},
        lambda split: {"masks": [{}, {"0.weight": torch.zeros(1, dtype=torch.bool)}]},
        lambda split: {"masks": [{"0.weight": None}, {}]},
        lambda split: {"seeds": [0, -1]},
        lambda split: {"bits": 9},
        lambda split: {"recipe": recipe().model_copy(update={"batch_size": 0})},
    ],
    ids=["label", "mask", "no mask", "seed", "bits", "recipe"],
)
def test_a_refused_training_run_changes_no_network(kind: str, wrong: Any) -> None:
    some = [network_of(kind).train(), network_of(kind).eval()]
    before = [state(network) for network in some]
    arguments = {"split": split_of(kind), "recipe": SHORT} | wrong(split_of(kind))
    with pytest.raises(MinifiedError):
        fit(some, **arguments)
    assert [network.training for network in some] == [True, False]
    assert all(same_bits(old, state(network)) for old, network in zip(before, some, strict=True))


@pytest.mark.parametrize("position", [0, 1, 2])
def test_the_wrong_one_of_several_networks_is_found(position: int) -> None:
    some = [mlp(seed) for seed in range(3)]
    some[position] = networks.initialise(networks.build("mlp", (7,), 3, widths=(8, 5)), 0)
    with pytest.raises(MinifiedError, match=r"0 \(Linear\) reads \(7,\), not \(6,\)"):
        fit(some, clusters(), SHORT)


@pytest.mark.parametrize("examples", [17, 1])
@pytest.mark.parametrize(
    ("modules", "shape"),
    [
        ([nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)], (6,)),
        ([nn.Conv2d(1, 4, 4), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 3)], (1, 4, 4)),
    ],
    ids=["of values", "of images of one position"],
)
def test_batch_normalisation_of_one_number_is_refused_by_name(
    modules: list[nn.Module], shape: tuple[int, ...], examples: int
) -> None:
    split = clusters(shape, examples)
    for run in (
        lambda: fit([nn.Sequential(*modules)], split, SHORT),
        lambda: re_estimate(nn.Sequential(*modules), split.first(1), 16),
    ):
        with pytest.raises(ValueError, match=r"1 \(BatchNorm.d\): .* batch of one") as refusal:
            run()
        assert isinstance(refusal.value, MinifiedError)


@pytest.mark.parametrize(
    ("modules", "says"),
    [
        ([nn.Conv2d(1, 3, 2)], r"0 \(Conv2d\): gives outputs of shape \(3, 3, 3\).*Flatten"),
        ([nn.Conv2d(1, 3, 5), nn.Flatten()], r"0 \(Conv2d\) reads images as large as its kernel"),
        ([nn.Conv2d(2, 3, 2), nn.Flatten()], r"0 \(Conv2d\) reads \(2, height, width\)"),
        (
            [nn.Conv2d(1, 3, 3), nn.MaxPool2d(3), nn.Flatten(), nn.Linear(3, 3)],
            r"1 \(MaxPool2d\) .*too small",
        ),
        ([nn.BatchNorm2d(2), nn.Conv2d(1, 3, 4), nn.Flatten()], r"0 \(BatchNorm2d\) reads"),
        ([nn.Flatten(), nn.Linear(15, 3)], r"1 \(Linear\) reads \(15,\), not \(16,\)"),
    ],
)
def test_the_layer_that_cannot_read_the_images_is_named(
    modules: list[nn.Module], says: str
) -> None:
    network = nn.Sequential(*modules)
    split = clusters((1, 4, 4))
    for call in with_labels(network, split).values():
        with pytest.raises(MinifiedError, match=says):
            call()


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        (lambda x: x[:, :1], "at least two classes"),
        (lambda x: x[:-1, :3], "for 50 examples"),
        (lambda x: (x, x), "gives"),
        (lambda x: x.long(), "logits"),
        (lambda x: x[:, :2], "has a label 2"),
        (lambda x: x @ torch.ones(7, 3), "cannot be run on"),
    ],
    ids=["one logit", "fewer rows", "a pair", "integers", "too few classes", "its own error"],
)
def test_what_a_module_of_one_s_own_gives_is_checked_too(returned: Any, says: str) -> None:
    class Returning(nn.Module):
        def forward(self, inputs: Tensor) -> Any:
            return returned(inputs)

    with pytest.raises(MinifiedError, match=says):
        evaluation.performance(Returning(), clusters())


@pytest.mark.parametrize("seed", [0, 1])
def test_a_parameter_that_nothing_draws_is_not_left_as_it_was(seed: int) -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = nn.Parameter(torch.ones(3))

    with pytest.raises(MinifiedError, match=r"1 \(Gated\): has no reset_parameters.*gate"):
        networks.initialise(nn.Sequential(nn.Linear(3, 3), Gated()), seed)


def test_a_recipe_of_the_library_needs_no_second_look() -> None:
    """What minified.study.Recipe accepts, fit accepts."""
    for options in ({"learning_rate": 1e6}, {"momentum": 0.0, "optimiser": "sgd"}):
        made = Recipe(**{"learning_rate": 0.01, "epochs": 1, **options})  # type: ignore[arg-type]
        fit([nn.Sequential(nn.Linear(6, 3)).requires_grad_(False)], clusters(), made)
