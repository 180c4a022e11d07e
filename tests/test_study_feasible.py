"""What no run could finish is refused by the check, and what any run can finish is not."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import SMALL
from minified import data
from minified.criteria import dropout_damage
from minified.criteria.record import CRITERIA, from_record
from minified.data.catalogue import CATALOGUE, Entry
from minified.foundations.errors import RecordError, StudyError
from minified.jobs import damage as job
from minified.networks import architectures, build, initialise
from minified.study.paths import Paths
from studies import load, outcome, refusal

pytestmark = pytest.mark.usefixtures("never_hangs")

MLP = "network: {name: mlp, widths: [16, 12]}"


def with_network(network: str, text: str = SMALL) -> str:
    return text.replace(MLP, f"network: {network}")


# Merging, where no neuron has another that could replace it

ONE_EACH = [
    ("{widths: [1]}", "network.widths: [1]"),
    ("{widths: [1, 1, 1]}", "network.widths: [1, 1, 1]"),
    ("{name: lenet5, channels: [1], widths: []}", "network.channels: [1]"),
    ("{name: lenet5, channels: [1], widths: [1]}", "network.channels: [1]"),
    ("{name: vgg, channels: [[1]]}", "network.channels: [[1]]"),
    ("{name: vgg, channels: [[1], [1, 1]], widths: [1]}", "network.channels: [[1], [1, 1]]"),
]


@pytest.mark.parametrize(("network", "start"), ONE_EACH)
def test_merging_needs_two_neurons_in_some_layer(network: str, start: str, tmp_path: Path) -> None:
    line = refusal(tmp_path, with_network(network))
    assert line.startswith(f"{start}: must give some hidden layer two neurons, since ")
    assert "grid.neuron.criteria has merging" in line


@pytest.mark.parametrize(("network", "start"), ONE_EACH)
def test_what_removes_neurons_only_may_have_one_per_layer(
    network: str, start: str, tmp_path: Path
) -> None:
    text = with_network(network).replace("[merging]", "[magnitude, random]")
    assert outcome(tmp_path, text) == ""


@pytest.mark.parametrize(
    "network",
    [
        "{widths: [1, 2]}",
        "{widths: [2, 1]}",
        "{name: lenet5, channels: [1], widths: [2]}",
        "{name: lenet5, channels: [2], widths: []}",
        "{name: vgg, channels: [[1], [1, 2]]}",
    ],
)
def test_two_neurons_in_one_layer_are_enough_for_merging(network: str, tmp_path: Path) -> None:
    assert outcome(tmp_path, with_network(network)) == ""


def test_a_study_without_merging_is_asked_for_nothing(tmp_path: Path) -> None:
    lines = with_network("{widths: [1]}").splitlines()
    start = lines.index("  neuron:")
    assert outcome(tmp_path, "\n".join(lines[:start] + lines[start + 5 :])) == ""


def test_a_sample_of_lone_neurons_only_leaves_merging_one_that_it_can_merge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = with_network("{widths: [1, 1, 2]}").replace("units: 20", "units: 1")
    study, paths = load(tmp_path, text), Paths("mine", tmp_path)
    split = data.load("digits").training.first(50)
    networks = [initialise(build("mlp", (1, 8, 8), 10, widths=[1, 1, 2]), r) for r in range(3)]
    monkeypatch.setattr(job.Context, "saliency", split)
    monkeypatch.setattr(job.Context, "baselines", lambda context: networks)
    for lone in ("1", "3", "5"):  # the first, second and third hidden layer
        monkeypatch.setattr(job, "sample_units", lambda *_, lone=lone: [(lone, 0)])
        job.damage(study, paths, "merging")
        rows = paths.damage("merging").read_text().splitlines()[1:]
        assert [row.split(",")[:3] for row in rows] == [[str(r), "5", "0"] for r in range(3)]


def test_a_verb_that_is_called_by_hand_says_that_nothing_can_be_merged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = load(tmp_path, with_network("{widths: [1]}").replace("[merging]", "[random]"))
    split = data.load("digits").training.first(50)
    monkeypatch.setattr(job.Context, "saliency", split)
    monkeypatch.setattr(
        job.Context, "baselines", lambda context: [build("mlp", (1, 8, 8), 10, widths=[1])]
    )
    with pytest.raises(StudyError, match=r"mine\.yaml: network: merging replaces a neuron by anot"):
        job.damage(study, Paths("mine", tmp_path), "merging")


# Splits that lack a class


@pytest.mark.parametrize("name", [name for name, entry in CATALOGUE.items() if entry.counts])
def test_a_data_set_with_counts_has_one_per_class(name: str) -> None:
    entry = CATALOGUE[name]
    assert len(entry.counts) == entry.classes
    totals = {"digits": 1797, "mnist": 60_000, "fashion_mnist": 60_000, "cifar10": 50_000}
    assert sum(entry.counts) == totals[name]


def test_the_digits_are_counted_as_they_are() -> None:
    whole = data.load("digits")
    targets = [getattr(whole, split).targets for split in ("training", "validation", "test")]
    assert tuple(torch.cat(targets).bincount().tolist()) == CATALOGUE["digits"].counts


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ("validation: 0.0001", "data.validation: 0.0001: must be above 0.002874"),
        ("validation: 0.0028", "data.validation: 0.0028: must be above 0.002874"),
        ("test: 1.0e-300", "data.test: 1e-300: must be above 0.002874"),
        ("training_examples: 9", "data.training_examples: 9: must be at least 10"),
        ("training_examples: 1", "data.training_examples: 1: must be at least 10"),
        ("name: mnist, validation: 0.00009", "data.validation: 9e-05: must be above 9.223e-05"),
        ("name: cifar10, validation: 0.0001", "data.validation: 0.0001: must be above 0.0001"),
        ("name: fashion_mnist, training_examples: 3", "data.training_examples: 3: must be at "),
    ],
)
def test_a_split_without_some_class_is_refused_by_its_key(
    options: str, key: str, tmp_path: Path
) -> None:
    assert refusal(tmp_path, f"{SMALL}data: {{{options}}}\n").startswith(key)


@pytest.mark.parametrize(
    "options",
    [
        "validation: 0.0029",
        "test: 0.0029",
        "validation: 0.0029, test: 0.94",
        "training_examples: 1000000",
        "saliency_examples: 1000000",
        "name: mnist, validation: 0.0001, test: 1.0e-300",
    ],
)
def test_a_split_that_is_small_or_asked_for_more_than_there_is_is_allowed(
    options: str, tmp_path: Path
) -> None:
    assert outcome(tmp_path, f"{SMALL}data: {{{options}}}\n") == ""


@pytest.mark.parametrize("part", ["validation", "test"])
@pytest.mark.parametrize("fraction", [0.002, 0.0028, 0.00287, 0.00288, 0.003, 0.0086, 0.2, 0.74])
def test_the_check_refuses_the_fractions_that_loading_refuses(
    part: str, fraction: float, tmp_path: Path
) -> None:
    refused = outcome(tmp_path, f"{SMALL}data: {{{part}: {fraction}}}\n") != ""
    try:
        data.load("digits", **{part: fraction})  # type: ignore[arg-type]
    except StudyError:
        assert refused
    else:
        assert not refused


def test_a_small_data_set_must_leave_training_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        CATALOGUE, "digits", Entry("digits", (1, 8, 8), 2, own_test=False, counts=(2, 40))
    )
    line = refusal(tmp_path, SMALL + "data: {validation: 0.4, test: 0.2}\n")
    assert line.startswith("data.test: 0.2: must be above 0.25, since a class of digits has 2 ")
    line = refusal(tmp_path, SMALL + "data: {validation: 0.4, test: 0.5}\n")
    assert line == "data.validation: 0.4: must leave each class a training example"


def test_a_data_set_that_is_not_counted_is_judged_when_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CATALOGUE, "digits", Entry("digits", (1, 8, 8), 10, own_test=False))
    assert outcome(tmp_path, SMALL + "data: {validation: 0.0001}\n") == ""
    assert refusal(tmp_path, SMALL + "data: {training_examples: 9}\n") != ""


# Random masks that leave a neuron out


def dropping(probability: float, passes: int, examples: int) -> str:
    options = f"options: {{dropout_damage: {{probability: {probability}, passes: {passes}}}}}\n"
    text = SMALL.replace("[merging]", "[dropout_damage]") + options
    return f"{text}data: {{saliency_examples: {examples}}}\n"


@pytest.mark.parametrize(
    ("probability", "passes", "examples", "key"),
    [
        (0.1, 2, 1, "passes: 2: must be more: 128 would do"),
        (0.9, 2, 1, "passes: 2: must be more: 128 would do"),
        (0.001, 2, 10, "passes: 2: must be more: 2048 would do"),
        (1e-7, 50, 1000, "passes: 50: must be more: "),
        (1e-200, 50, 1000, "probability: 1e-200: must be farther from 0 and 1"),
        (1 - 2**-53, 2, 1, "probability: 0.9999999999999999: must be farther from 0 and 1"),
    ],
)
def test_so_few_masks_that_neurons_are_left_out_are_refused(
    probability: float, passes: int, examples: int, key: str, tmp_path: Path
) -> None:
    line = refusal(tmp_path, dropping(probability, passes, examples))
    assert line.startswith(f"options.dropout_damage.{key}")
    assert "of 28 neurons in 3 replicates" in line


def test_the_default_number_of_passes_is_judged_like_one_that_is_given(tmp_path: Path) -> None:
    text = SMALL.replace("[merging]", "[dropout_damage]").replace("[16, 12]", "[300, 100]")
    line = refusal(tmp_path, text + "data: {saliency_examples: 1}\n")
    assert line.startswith("options.dropout_damage.passes: 50: must be more: 200 would do")
    assert outcome(tmp_path, text + "data: {saliency_examples: 2}\n") == ""


def test_examples_that_there_are_not_do_not_count(tmp_path: Path) -> None:
    text = dropping(0.1, 2, 1000)
    assert outcome(tmp_path, text) == ""
    line = refusal(tmp_path, text.replace("1000}", "1000, training_examples: 10}"))
    assert line.endswith("in 2 passes over 10 saliency examples")
    line = refusal(tmp_path, dropping(0.00001, 2, 10**9))
    assert "over 1079 saliency examples" in line


@pytest.mark.parametrize(("probability", "passes", "examples"), [(0.1, 128, 1), (0.9, 128, 1)])
def test_as_many_passes_as_the_refusal_names_are_enough(
    probability: float, passes: int, examples: int, tmp_path: Path
) -> None:
    assert outcome(tmp_path, dropping(probability, passes, examples)) == ""
    split = data.load("digits").training.first(examples)
    for replicate in range(3):
        network = initialise(build("mlp", (1, 8, 8), 10, widths=[16, 12]), replicate)
        generator = torch.Generator().manual_seed(replicate)
        dropout_damage.damage_and_error(
            network,
            split.inputs,
            split.targets,
            generator,
            probability=probability,
            passes=passes,
        )


def test_only_a_criterion_with_both_options_may_say_that_it_drops_neurons() -> None:
    record: dict[str, Any] = {
        "levels": ["neuron"],
        "title": "t",
        "look": ["#000000", "o"],
        "options": {"probability": {"default": 0.1}},
        "dropout": True,
    }
    with pytest.raises(RecordError, match="dropout: needs the options probability and passes"):
        from_record("mine", Path("mine.py"), record)
    whole = copy.deepcopy(record)
    whole["options"]["passes"] = {"default": 2}
    assert from_record("mine", Path("mine.py"), whole).dropout
    assert [name for name, criterion in CRITERIA.items() if criterion.dropout] == ["dropout_damage"]


# Networks that the data do not fit, and numbers that nothing can draw


@pytest.mark.parametrize(
    ("data_set", "network"),
    [
        ("digits", "{name: lenet5}"),
        ("digits", "{name: lenet5, channels: [2, 2]}"),
        ("digits", "{name: vgg}"),
        ("digits", "{name: vgg, channels: [[2], [2], [2], [2]]}"),
        ("mnist", "{name: lenet5, channels: [2, 2, 2]}"),
        ("fashion_mnist", "{name: vgg}"),
        ("cifar10", "{name: lenet5, channels: [2, 2, 2, 2]}"),
        ("cifar10", "{name: vgg, channels: [[2], [2], [2], [2], [2], [2]]}"),
    ],
)
def test_images_that_are_too_small_for_the_network_are_refused(
    data_set: str, network: str, tmp_path: Path
) -> None:
    line = refusal(tmp_path, with_network(network) + f"data: {{name: {data_set}}}\n")
    assert line.startswith("network.channels: ")
    assert "are too small for so much pooling; use fewer convolutions" in line


@pytest.mark.parametrize("name", ["lenet5", "vgg"])
@pytest.mark.parametrize("shape", [(30, 1, 1), (1, 2, 8), (1, 9, 1), (3, 5, 5)])
@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_a_plan_that_is_not_refused_can_be_run(
    name: str, shape: tuple[int, int, int], blocks: int
) -> None:
    channels: Any = [2] * blocks if name == "lenet5" else [[2]] * blocks
    try:
        architectures.plan(name, shape, 3, channels=channels)
    except architectures.UnsupportedNetworkError:
        return
    assert build(name, shape, 3, channels=channels)(torch.zeros(2, *shape)).shape == (2, 3)


def test_data_of_another_shape_than_the_catalogue_says_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for entry in (
        Entry("digits", (1, 9, 9), 10, own_test=False),
        Entry("digits", (64, 1, 1), 10, own_test=False),
        Entry("digits", (1, 8, 8), 11, own_test=False),
    ):
        monkeypatch.setitem(CATALOGUE, "digits", entry)
        with pytest.raises(data.dataset.DataError, match=r"digits.*\(1, 8, 8\) and 10 classes"):
            data.load("digits")


@pytest.mark.parametrize("confidence", ["1.0", "0.9999999999999999", "0.9999999999"])
def test_an_interval_without_ends_is_refused(confidence: str, tmp_path: Path) -> None:
    line = refusal(tmp_path, f"{SMALL}claims: {{confidence: {confidence}}}\n")
    assert line.startswith("claims.confidence: ")
    assert outcome(tmp_path, SMALL + "claims: {confidence: 0.999999999}\n") == ""
