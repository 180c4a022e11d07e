"""Data sets: what the splits share, what they must not, and how they are kept."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minified import data
from minified.data import Dataset, Split
from minified.data.catalogue import CATALOGUE, Entry
from minified.data.dataset import SPLITS, Raw, stratified
from minified.foundations import files
from minified.foundations.errors import ArtefactError, DataError, StudyError


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return data.load("digits")


def splits(dataset: Dataset) -> list[Split]:
    return [getattr(dataset, name) for name in SPLITS]


def equal(one: Dataset, other: Dataset) -> bool:
    return one.classes == other.classes and all(
        torch.equal(a.inputs, b.inputs) and torch.equal(a.targets, b.targets)
        for a, b in zip(splits(one), splits(other), strict=True)
    )


def test_digits_has_1797_examples_of_8_by_8_in_ten_classes(digits: Dataset) -> None:
    assert sum(len(split) for split in splits(digits)) == 1797
    assert digits.input_shape == (1, 8, 8)
    assert digits.classes == 10
    for split in splits(digits):
        assert len(split.inputs) == len(split.targets)
        assert split.inputs.dtype == torch.float32
        assert split.targets.dtype == torch.int64


def test_no_digit_is_in_two_splits(digits: Dataset) -> None:
    # scikit-learn's digits are all different, so a repeated one would be shared by two splits.
    images = torch.cat([split.inputs for split in splits(digits)]).flatten(1)
    assert len(images.unique(dim=0)) == 1797


def test_training_pixels_have_mean_0_and_standard_deviation_1(digits: Dataset) -> None:
    pixels = digits.training.inputs.double()
    assert pixels.mean().item() == pytest.approx(0.0, abs=1e-6)
    assert pixels.std(correction=0).item() == pytest.approx(1.0, abs=1e-6)


def test_held_out_splits_are_scaled_as_the_training_split_is(digits: Dataset) -> None:
    # The same 17 grey levels everywhere: none was scaled by its own mean.
    greys = set(digits.training.inputs.unique().tolist())
    assert len(greys) == 17
    for split in (digits.validation, digits.test):
        assert set(split.inputs.unique().tolist()) <= greys


def test_the_split_follows_from_the_seed(digits: Dataset) -> None:
    assert equal(data.load("digits", seed=0), digits)
    other = data.load("digits", seed=1)
    assert [len(split) for split in splits(other)] == [len(split) for split in splits(digits)]
    assert not torch.equal(other.test.targets, digits.test.targets)


def test_loading_leaves_the_global_generator_untouched() -> None:
    before = torch.get_rng_state()
    data.load("digits")
    assert torch.equal(torch.get_rng_state(), before)


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    fractions=st.tuples(st.floats(0.05, 0.45), st.floats(0.05, 0.45)),
    seed=st.integers(0, 2**63 - 1),
)
def test_a_split_shares_out_every_class_in_proportion_and_no_example_twice(
    counts: list[int], fractions: tuple[float, float], seed: int
) -> None:
    targets = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts)).flip(0)
    parts = stratified(targets, fractions, torch.Generator().manual_seed(seed))
    assert sorted(torch.cat(parts).tolist()) == list(range(len(targets)))
    for part, fraction in zip(parts, (1 - sum(fractions), *fractions), strict=True):
        for label, count in enumerate(counts):
            assert abs(int((targets[part] == label).sum()) - fraction * count) <= 1 + 1e-9


@pytest.mark.parametrize(("validation", "test"), [(0.2, 0.2), (0.1, 0.3)])
def test_digits_are_stratified(validation: float, test: float) -> None:
    dataset = data.load("digits", validation=validation, test=test)
    whole = torch.cat([split.targets for split in splits(dataset)]).bincount(minlength=10)
    for split, fraction in [(dataset.validation, validation), (dataset.test, test)]:
        counts = split.targets.bincount(minlength=10)
        assert float((counts - fraction * whole).abs().max()) <= 1


def test_the_first_examples_are_as_many_as_there_are(digits: Dataset) -> None:
    assert torch.equal(digits.training.first(5).targets, digits.training.targets[:5])
    assert len(digits.training.first(10**6)) == len(digits.training)


def test_an_unknown_data_set_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(DataError, match=r"'letters'.*digits"):
        data.load("letters")


def test_what_is_saved_is_read_back(digits: Dataset, tmp_path: Path) -> None:
    data.save(digits, tmp_path / "data.safetensors", "digits")
    assert equal(data.read(tmp_path / "data.safetensors"), digits)


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:5],
        lambda whole: b"",
        lambda whole: b"\xff" * 200 + whole[200:],
        lambda whole: whole + b"more",
    ],
    ids=["half", "five bytes", "empty", "overwritten header", "longer"],
)
def test_a_damaged_file_is_named(
    damage: Callable[[bytes], bytes], digits: Dataset, tmp_path: Path
) -> None:
    file = tmp_path / "data.safetensors"
    data.save(digits, file, "digits")
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ArtefactError, match=r"data\.safetensors"):
        data.read(file)


def test_a_file_that_holds_something_else_is_named(tmp_path: Path) -> None:
    files.write_tensors(tmp_path / "other.safetensors", {"0.weight": torch.zeros(2)})
    with pytest.raises(ArtefactError, match=r"other\.safetensors.*training\.inputs"):
        data.read(tmp_path / "other.safetensors")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"absent\.safetensors"):
        data.read(tmp_path / "absent.safetensors")


def test_a_split_without_examples_of_some_class_is_refused() -> None:
    with pytest.raises(StudyError, match="validation split"):
        data.load("digits", validation=0.0001)


def raw(**changes: object) -> dict:
    """A sound data set of ten classes, in the form in which it is loaded, with some changes."""
    sound = {
        "inputs": torch.rand(100, 1, 4, 4),
        "targets": torch.arange(100) % 10,
        "classes": 10,
    }
    return sound | changes


def provide(monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    """Have the library know `raw(**changes)` as a data set called `odd`."""
    reader = SimpleNamespace(read=lambda name, root: Raw(**raw(**changes)))
    monkeypatch.setitem(sys.modules, "minified.data.odd", reader)
    monkeypatch.setitem(CATALOGUE, "odd", Entry("odd", (1, 4, 4), 10, own_test=False))


def labels(position: int, label: int) -> torch.Tensor:
    targets = torch.arange(100) % 10
    targets[position] = label
    return targets


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": labels(7, 10)}, "label 10; labels must be in 0 to 9"),
        ({"targets": labels(7, -1)}, "label -1; labels must be in 0 to 9"),
        ({"targets": torch.arange(99) % 10}, r"\(100,\), one per input, not torch.int64 \(99,\)"),
        ({"targets": torch.rand(100)}, "targets must be int64"),
        ({"inputs": torch.rand(100, 16)}, r"\(examples, channels, height, width\).*\(100, 16\)"),
        ({"inputs": torch.rand(100, 1, 0, 4)}, "at least one of each"),
        ({"inputs": torch.zeros(0, 1, 4, 4), "targets": torch.zeros(0).long()}, "at least one"),
        ({"inputs": torch.rand(100, 1, 4, 4).double()}, "float32"),
        ({"inputs": torch.full((100, 1, 4, 4), float("nan"))}, "not finite"),
        ({"inputs": torch.zeros(100, 1, 4, 4)}, "constant"),
        ({"test": Split(torch.rand(20, 1, 5, 5), torch.arange(20) % 10)}, r"\(1, 5, 5\) each"),
        ({"test": Split(torch.rand(20, 1, 4, 4), torch.arange(20))}, "test has a label 19"),
    ],
)
def test_a_malformed_data_set_is_refused_by_name_with_what_is_wrong(
    changes: dict, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    provide(monkeypatch)
    assert len(data.load("odd").training) == 60
    provide(monkeypatch, **changes)
    with pytest.raises(DataError, match="data set odd.*" + message):
        data.load("odd")


def test_digits_that_are_not_the_known_ones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import sklearn.datasets

    images, targets = sklearn.datasets.load_digits(return_X_y=True)
    for altered in (images[:-1], images + (images == 3)):
        monkeypatch.setattr(
            sklearn.datasets, "load_digits", lambda altered=altered, **_: (altered, targets)
        )
        with pytest.raises(DataError, match=r"digits.*SHA-256.*truncated or altered"):
            data.load("digits")

    def missing(**_: object) -> None:
        raise FileNotFoundError(2, "No such file or directory", "digits.csv.gz")

    monkeypatch.setattr(sklearn.datasets, "load_digits", missing)
    with pytest.raises(DataError, match=r"digits.*digits\.csv\.gz.*reinstall"):
        data.load("digits")


@pytest.mark.parametrize(
    ("tensor", "value", "message"),
    [
        ("training.targets", torch.full((60,), 10), "training has a label 10"),
        ("test.inputs", torch.rand(20, 16), "test inputs must be"),
        ("validation.inputs", torch.full((20, 1, 4, 4), float("inf")), "validation has inputs"),
    ],
)
def test_a_prepared_data_set_of_the_wrong_form_is_refused_by_split(
    tensor: str,
    value: torch.Tensor,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provide(monkeypatch)
    file = tmp_path / "data.safetensors"
    data.save(data.load("odd"), file, "odd")
    tensors, metadata = files.read_tensors(file)
    files.write_tensors(file, tensors | {tensor: value}, metadata)
    with pytest.raises(ArtefactError, match=message):
        data.read(file)
