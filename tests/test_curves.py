"""Training curves: every training's loss and validation accuracy, epoch by epoch."""

import csv
import shutil
import statistics
from collections import defaultdict
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minified import study
from minified.analysis.aggregate import aggregate
from minified.analysis.records import CURVE_COLUMNS
from minified.analysis.trainings import trainings
from minified.data.dataset import Split
from minified.foundations.errors import ArtefactError
from minified.jobs import curves
from minified.jobs.curves import Curve, Watch
from minified.networks import build, initialise
from minified.study import Paths
from minified.study.recipes import Recipe
from minified.study.rows import EPOCH_COLUMNS
from minified.training import fit

EPOCHS = 3


def split(examples: int) -> Split:
    generator = torch.Generator().manual_seed(examples)
    inputs = torch.randn(examples, 1, 6, 6, generator=generator)
    return Split(inputs, inputs.flatten(1)[:, :4].argmax(1))


def mlps(*widths: list[int]) -> list[nn.Module]:
    return [
        initialise(build("mlp", (1, 6, 6), 4, widths=width), i) for i, width in enumerate(widths)
    ]


def convolutional(count: int) -> list[nn.Module]:
    return [
        initialise(
            nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 4)), seed
        )
        for seed in range(count)
    ]


def accuracy_of(network: nn.Module, examples: Split, bits: int | None = None) -> float:
    """The slow way: one example after another, by torch's own layers, on rounded weights."""
    right = 0
    for x, y in zip(examples.inputs, examples.targets, strict=True):
        output = x.unsqueeze(0)
        for module in network.modules():
            if isinstance(module, nn.Linear):
                output = F.linear(output, nearest(module.weight, bits), module.bias)
            elif isinstance(module, nn.Conv2d):
                weight = nearest(module.weight, bits)
                output = F.conv2d(output, weight, module.bias, padding=module.padding)
            elif not list(module.children()):
                output = module(output)
        right += int(output.argmax()) == int(y)
    return right / len(examples)


def nearest(weight: Tensor, bits: int | None) -> Tensor:
    if bits is None:
        return weight
    rows = weight.detach().flatten(1).numpy().copy()
    for row in rows:
        low, high = min(row.min(), 0), max(row.max(), 0)
        scale = (high - low) / (2**bits - 1) or 1
        zero = round(-low / scale)
        row[:] = [(min(max(round(w / scale) + zero, 0), 2**bits - 1) - zero) * scale for w in row]
    return torch.from_numpy(rows).view_as(weight)


@pytest.mark.parametrize("bits", [None, 3])
@pytest.mark.parametrize(
    "networks",
    [
        mlps([9, 7]),
        mlps([9, 7], [9, 7], [9, 7]),
        mlps([9, 7], [5, 7], [9, 7], [4, 3]),
        convolutional(2),
    ],
    ids=["one", "a stack", "two stacks and one apart", "convolutions"],
)
def test_the_accuracy_of_each_epoch_is_that_of_the_networks_at_its_end(
    networks: list[nn.Module], bits: int | None
) -> None:
    training, validation = split(40), split(25)
    watch = Watch(networks, validation, EPOCHS, bits)
    expected = torch.zeros(EPOCHS, len(networks), dtype=torch.float64)

    def observe(epoch: int, group: list[nn.Module]) -> None:
        watch(epoch, group)
        for network in group:
            place = next(i for i, one in enumerate(networks) if one is network)
            expected[epoch - 1, place] = accuracy_of(network, validation, bits)

    fit(networks, training, recipe(), bits=bits, observe=observe)  # type: ignore[arg-type]
    assert torch.equal(watch.accuracy, expected)
    assert expected.unique().numel() > 1


@pytest.mark.parametrize("bits", [None, 3])
def test_a_stack_in_training_is_measured_as_its_networks_would_be(bits: int | None) -> None:
    training, validation = split(40), split(25)
    accuracies = []
    for plain in (False, True):
        networks = mlps([9, 7], [9, 7], [5, 7])
        watch = Watch(networks, validation, EPOCHS, bits)
        observe = (lambda epoch, group, watch=watch: watch(epoch, group)) if plain else watch
        fit(networks, training, recipe(), bits=bits, observe=observe)
        accuracies.append(watch.accuracy)
    assert torch.equal(*accuracies)
    assert accuracies[0].unique().numel() > EPOCHS


def test_an_observer_with_an_attribute_of_that_name_is_called_as_any_other() -> None:
    class Mine:
        stacked = False
        seen = 0

        def __call__(self, epoch: int, networks: object) -> None:
            self.seen += 1

    mine = Mine()
    fit(mlps([6, 5], [6, 5]), split(30), recipe(), observe=mine)
    assert mine.seen == EPOCHS


def test_watching_leaves_the_examples_as_they_are() -> None:
    networks: list[nn.Module] = [
        nn.Sequential(nn.Flatten(), nn.ReLU(inplace=True), *mlps([5])[0].children())
    ]
    validation = split(11)
    before = validation.inputs.clone()
    Watch(networks, validation, 1)(1, networks)
    assert torch.equal(validation.inputs, before)


def recipe() -> Recipe:
    return Recipe(learning_rate=0.02, epochs=EPOCHS, batch_size=16)


def test_more_examples_than_fit_at_once_are_all_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "BATCH", 4)
    networks, validation = mlps([5], [5]), split(11)
    for network in networks:
        network.eval()
    watch = Watch(networks, validation, 1)
    watch(1, networks)
    assert watch.accuracy.tolist() == [[accuracy_of(one, validation) for one in networks]]


def test_watching_changes_no_weight_and_no_loss() -> None:
    alone, watched = mlps([6, 5], [6, 5]), mlps([6, 5], [6, 5])
    examples = split(30)
    before = examples.inputs.clone()
    losses = fit(alone, examples, recipe())
    seen = fit(watched, examples, recipe(), observe=Watch(watched, examples, EPOCHS))
    assert torch.equal(losses, seen)
    assert torch.equal(examples.inputs, before)
    for one, other in zip(alone, watched, strict=True):
        for p, q in zip(one.parameters(), other.parameters(), strict=True):
            assert torch.equal(p, q)


def test_a_line_has_mean_and_sample_spread_over_replicates(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(1)
    rounds = [
        Curve(*(torch.rand(epochs, 4, dtype=torch.float64, generator=generator) for _ in "la"))
        for epochs in (2, 3)
    ]
    curves.write(tmp_path / "curve.csv", rounds)
    with open(tmp_path / "curve.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    places = [(int(line["round"]), int(line["epoch"])) for line in lines]
    assert places == [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3)]
    for (number, epoch), line in zip(places, lines, strict=True):
        curve = rounds[number - 1]
        for name, values in (
            ("loss", curve.losses[epoch - 1].tolist()),
            ("accuracy_validation", curve.accuracies[epoch - 1].tolist()),
        ):
            assert float(line[f"{name}_mean"]) == pytest.approx(statistics.mean(values), rel=1e-12)
            assert float(line[f"{name}_sd"]) == pytest.approx(statistics.stdev(values), rel=1e-12)
        assert line["replicates"] == "4"


def test_one_replicate_has_no_spread(tmp_path: Path) -> None:
    curves.write(tmp_path / "curve.csv", [Curve(torch.ones(1, 1), torch.ones(1, 1) / 2)])
    assert (tmp_path / "curve.csv").read_text().splitlines()[1] == "1,1,1,1.0,,0.5,"


def test_a_job_that_trains_nothing_has_an_empty_curve(tmp_path: Path) -> None:
    curves.write(tmp_path / "curve.csv", [])
    assert (tmp_path / "curve.csv").read_text() == ",".join(EPOCH_COLUMNS) + "\n"


def test_every_training_of_a_study_has_one_curve(small_study: Path) -> None:
    found = [
        (one.stage, one.method, one.sparsity, one.bits, one.regime)
        for one in trainings(study.load(small_study))
    ]
    assert found == [
        ("train", "", "", "", "train"),
        ("scratch", "neuron", "0.75", "", "scratch"),
        ("retrain", "parameter-magnitude", "0.9", "", "fine_tune"),
        ("retrain", "parameter-magnitude", "0.9", "", "scratch"),
        ("retrain", "parameter-obd_sd", "0.9", "", "fine_tune"),
        ("retrain", "parameter-obd_sd", "0.9", "", "scratch"),
        ("retrain", "neuron-merging", "0.75", "", "fine_tune"),
        ("quantize", "quantization", "", "2", "fine_tune"),
    ]


def test_the_rounds_of_a_network_are_counted_through_all_of_its_trainings(
    small_study: Path, tmp_path: Path
) -> None:
    file = tmp_path / "rounds.yaml"
    text = small_study.read_text()
    assert text.count("scope: global") == 1
    file.write_text(text.replace("scope: global", "scope: global\n    rounds: 3"))
    loaded, paths = study.load(file), Paths("rounds", tmp_path / "results")
    found = {}
    for one in trainings(loaded):
        if one.method == "parameter-obd_sd":
            own = 2 if one.stage == "iterate" else 1  # as the jobs write them: see test_iterate
            curve = Curve(torch.ones(1, loaded.replicates), torch.ones(1, loaded.replicates))
            curves.write(one.file(paths), [curve] * own)
            lines = one.read(loaded, paths)
            assert {tuple(line) for line in lines} == {CURVE_COLUMNS}
            found[one.stage, one.regime] = [line["round"] for line in lines]
    assert found == {
        ("iterate", "fine_tune"): ["1", "2"],
        ("retrain", "fine_tune"): ["3"],
        ("retrain", "scratch"): ["1"],
    }


@pytest.mark.slow
def test_the_last_epoch_is_what_the_rows_say(finished: Path) -> None:
    tables = finished / "figures" / "small" / "tables"
    with open(tables / "curves.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert tuple(lines[0]) == CURVE_COLUMNS
    accuracies = defaultdict(list)
    with open(tables / "results.csv", newline="") as file:
        for row in csv.DictReader(file):
            method = "" if row["method"] == "baseline" else row["method"]
            key = (method, row["sparsity"], row["bits"], row["regime"])
            accuracies[key].append(float(row["accuracy_validation"]))
    epochs = defaultdict(list)
    for line in lines:
        key = (line["method"], line["sparsity"], line["bits"], line["regime"])
        epochs[key].append(int(line["epoch"]))
        assert float(line["loss_mean"]) > 0
        if line["epoch"] == "4":
            # Whatever the method, shared networks are the same.
            shared = [key, ("neuron-merging", *key[1:])]
            values = next(accuracies[one] for one in shared if one in accuracies)
            mean, spread = statistics.mean(values), statistics.stdev(values)
            assert float(line["accuracy_validation_mean"]) == pytest.approx(mean, rel=1e-5)
            assert float(line["accuracy_validation_sd"]) == pytest.approx(spread, rel=1e-4)
    assert len(epochs) == 8
    assert all(numbers == [1, 2, 3, 4] for numbers in epochs.values())
    without = finished / "results/small/curves/retrain/neuron-merging/0.75/scratch.csv"
    assert len(without.read_text().splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("1,2,3,", "1,2,4,", "line 3: has 4 replicates, not 3"),
        ("\n1,1,3,", "\n1,0,3,", "has no first epoch"),
        ("\n1,1,3,", "\n1,1,3,nine", "not a finite number"),
        ("\n1,2,3,", "\none,2,3,", "line 3: round is 'one', not a whole number"),
        ("round,", "rounds,", "its columns are not round, epoch"),
    ],
)
def test_a_damaged_curve_is_named(
    finished: Path, tmp_path: Path, before: str, after: str, problem: str
) -> None:
    folder = shutil.copytree(finished, tmp_path / "copy")
    paths = Paths("small", folder / "results")
    file = paths.curve("retrain", "parameter-obd_sd", "0.9", "scratch")
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))
    file.with_name(f".{file.name}.sha256").unlink()
    with pytest.raises(ArtefactError) as caught:
        aggregate(study.load(folder / "config" / "small.yaml"), paths)
    assert str(file) in str(caught.value)
    assert problem in str(caught.value)
