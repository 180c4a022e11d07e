"""Data sets as tensors: loaded by name, split by a seed, scaled by the training split.

`load("digits", root)` returns a `Dataset` of three `Split`s; `save` and `read` keep it as one
safetensors file, which is all that later jobs see.
"""

import hashlib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from minified import files, seeds
from minified.errors import ArtefactError, DataError, StudyError

SPLITS = ("training", "validation", "test")


@dataclass(frozen=True)
class Split:
    """Examples `inputs` (N, channels, height, width), float32, and `targets` (N,), int64."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def first(self, examples: int) -> "Split":
        """The first `examples` (or all, if fewer); splits are stored in a seeded shuffle."""
        return Split(self.inputs[:examples], self.targets[:examples])

    def to(self, device: str) -> "Split":
        """The same examples on `device` (themselves, if they are there)."""
        return Split(self.inputs.to(device), self.targets.to(device))


@dataclass(frozen=True)
class Dataset:
    """Training trains, validation decides, test is only reported."""

    training: Split
    validation: Split
    test: Split
    classes: int
    checksums: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of the raw data that this was made from, by name."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        return tuple(self.training.inputs.shape[1:])

    def to(self, device: str) -> "Dataset":
        """The same splits on `device`."""
        moved = {split: getattr(self, split).to(device) for split in SPLITS}
        return replace(self, **moved)


@dataclass(frozen=True)
class _Raw:
    """A data set before splitting: inputs in [0, 1]; `test` where the data set brings its own."""

    inputs: Tensor
    targets: Tensor
    classes: int
    test: Split | None = None
    checksums: Mapping[str, str] = field(default_factory=dict)


# Of the 1,797 x 64 grey levels and then the targets, float64 each: known, so that a release of the
# library with other digits is not taken for these.
_DIGITS_SHA256 = "f19a7d92591ca0a1ffc65ec172e8149afdff995e0d2c4cb0afd151f38471ff90"


def _digits(root: Path) -> _Raw:
    """scikit-learn's 1,797 handwritten digits, 8 x 8, 16 grey levels (UCI; nothing to download)."""
    from sklearn.datasets import load_digits

    try:
        images, targets = (array.astype("float64") for array in load_digits(return_X_y=True))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(
            f"data set digits: scikit-learn's copy cannot be read ({error}); reinstall scikit-learn"
        ) from None
    checksum = hashlib.sha256(images.tobytes() + targets.tobytes()).hexdigest()
    if checksum != _DIGITS_SHA256:
        raise DataError(
            f"data set digits: scikit-learn's copy has SHA-256 {checksum}, not {_DIGITS_SHA256}: it"
            " is truncated or altered; reinstall scikit-learn as requirements.lock pins it"
        )
    return _Raw(
        torch.from_numpy(images).float().reshape(-1, 1, 8, 8) / 16,
        torch.from_numpy(targets).long(),
        classes=10,
        checksums={"digits": checksum},
    )


def _images(name: str) -> Callable[[Path], _Raw]:
    """A data set of `minified.images`: 256 levels per channel, and a test split of its own."""

    def read(root: Path) -> _Raw:
        from minified import images

        training, test, checksums = images.read(name, root)
        return _Raw(
            training.pixels.float() / 255,
            training.labels.long(),
            classes=10,
            test=Split(test.pixels.float() / 255, test.labels.long()),
            checksums=checksums,
        )

    return read


DATASETS: dict[str, Callable[[Path], _Raw]] = {
    "digits": _digits,
    "mnist": _images("mnist"),
    "fashion_mnist": _images("fashion_mnist"),
    "cifar10": _images("cifar10"),
}


def load(
    name: str,
    root: Path | str = "data",
    *,
    validation: float = 0.2,
    test: float = 0.2,
    seed: int = 0,
    training_examples: int | None = None,
) -> Dataset:
    """Load a data set, split it (stratified by class, shuffled by `seed`) and normalise it.

    Args:
        name: a key of `DATASETS`.
        root: the data root, in torchvision's layout, where missing files are downloaded to; unused
            by data sets that come with a library.
        validation: fraction of the data set's training examples held out for decisions.
        test: fraction held out for reporting, where the data set has no test split of its own.
        seed: seeds the shuffle and the split.
        training_examples: keep only so many training examples, the first of the shuffle.

    Inputs are shifted and scaled by the mean and standard deviation of the training split, one
    of each per channel.
    """
    if name not in DATASETS:
        raise DataError(f"unknown data set {name!r}; known are {sorted(DATASETS)}")
    raw = DATASETS[name](Path(root))
    everything = Split(raw.inputs, raw.targets)
    for held, whole in (("", everything), ("test ", raw.test)):
        if whole is not None and (problem := _problem(whole, raw.classes)):
            raise DataError(f"data set {name}: {held}{problem}")
    if raw.test is not None and raw.test.inputs.shape[1:] != raw.inputs.shape[1:]:
        raise DataError(
            f"data set {name}: test inputs are {tuple(raw.test.inputs.shape[1:])} each, the others"
            f" {tuple(raw.inputs.shape[1:])}"
        )
    generator = torch.Generator().manual_seed(seeds.derive(seed, "split"))
    if raw.test is None:
        parts = stratified(raw.targets, (validation, test), generator)
        held_out = [_take(everything, part) for part in parts]
    else:
        parts = stratified(raw.targets, (validation,), generator)
        held_out = [*(_take(everything, part) for part in parts), raw.test]
    if training_examples is not None:
        held_out[0] = held_out[0].first(training_examples)
    training, *rest = held_out
    for split, part in zip(SPLITS, held_out, strict=True):
        if len(part) == 0 or len(part.targets.unique()) < raw.classes:
            short = split == "training" and training_examples is not None
            key = "training_examples" if short else split if split == "validation" else "test"
            value = {"training_examples": training_examples, "validation": validation, "test": test}
            mend = "with more" if short else "towards 0.2"
            raise StudyError(
                f"data.{key}: {value[key]}: the {split} split of {name} would have {len(part)}"
                f" examples and lack some class; {mend} it has them all"
            )
    all_but_channels = [dim for dim in range(training.inputs.dim()) if dim != 1]
    mean = training.inputs.double().mean(all_but_channels, keepdim=True)
    deviation = training.inputs.double().std(all_but_channels, correction=0, keepdim=True)
    if not bool(deviation.all()):
        raise DataError(f"data set {name}: a channel of the training inputs is constant")

    def normalised(split: Split) -> Split:
        return Split(((split.inputs.double() - mean) / deviation).float(), split.targets)

    validation_split, test_split = rest
    return Dataset(
        normalised(training),
        normalised(validation_split),
        normalised(test_split),
        raw.classes,
        raw.checksums,
    )


def _problem(split: Split, classes: int) -> str | None:
    """What is wrong with the form of a split, whatever its content."""
    inputs, targets = split.inputs, split.targets
    if inputs.dtype != torch.float32 or inputs.dim() != 4 or 0 in inputs.shape:
        return (
            "inputs must be float32 (examples, channels, height, width), at least one of each, not"
            f" {inputs.dtype} {tuple(inputs.shape)}"
        )
    if targets.dtype != torch.int64 or tuple(targets.shape) != (len(inputs),):
        return (
            f"targets must be int64 ({len(inputs)},), one per input, not {targets.dtype}"
            f" {tuple(targets.shape)}"
        )
    if int(targets.min()) < 0 or int(targets.max()) >= classes:
        wrong = int(targets.max()) if int(targets.max()) >= classes else int(targets.min())
        return f"has a label {wrong}; labels must be in 0 to {classes - 1}"
    # The extremes tell as well, and need no copy of all inputs.
    if not all(bool(extreme.isfinite()) for extreme in inputs.aminmax()):
        return "has inputs that are not finite numbers"
    return None


def stratified(
    targets: Tensor, fractions: tuple[float, ...], generator: torch.Generator
) -> list[Tensor]:
    """Split indices so that every part has each class in proportion.

    Returns `[rest, part for each fraction]`, each shuffled; a class of n examples gives
    round(fraction * n) of them to a part.
    """
    parts: list[list[Tensor]] = [[] for _ in range(len(fractions) + 1)]
    for label in targets.unique(sorted=True):
        members = (targets == label).nonzero().flatten()
        members = members[torch.randperm(len(members), generator=generator)]
        start = 0
        for part, fraction in enumerate(fractions, start=1):
            count = round(fraction * len(members))
            parts[part].append(members[start : start + count])
            start += count
        parts[0].append(members[start:])
    shuffled = []
    for pieces in parts:
        indices = torch.cat(pieces)
        shuffled.append(indices[torch.randperm(len(indices), generator=generator)])
    return shuffled


def save(dataset: Dataset, path: Path, name: str) -> None:
    """Keep a data set as one safetensors file."""
    tensors = {}
    for split in SPLITS:
        tensors[f"{split}.inputs"] = getattr(dataset, split).inputs
        tensors[f"{split}.targets"] = getattr(dataset, split).targets
    metadata = {"data": name, "classes": dataset.classes, "checksums": dict(dataset.checksums)}
    files.write_tensors(path, tensors, metadata)


def read(path: Path) -> Dataset:
    """Read what `save` wrote."""
    tensors, metadata = files.read_tensors(path)
    try:
        splits = [Split(tensors[f"{s}.inputs"], tensors[f"{s}.targets"]) for s in SPLITS]
        found = Dataset(splits[0], splits[1], splits[2], metadata["classes"], metadata["checksums"])
    except KeyError as error:
        raise ArtefactError(path, f"is not a prepared data set: lacks {error}") from None
    for name, split in zip(SPLITS, splits, strict=True):
        if problem := _problem(split, found.classes):
            raise ArtefactError(path, f"{name} {problem}")
    return found


def _take(split: Split, indices: Tensor) -> Split:
    return Split(split.inputs[indices], split.targets[indices])
