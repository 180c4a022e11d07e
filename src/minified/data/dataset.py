"""Data sets as tensors: loaded by name, split by a seed, normalised by the training split.

`load("digits", root)` returns a `Dataset` of three `Split`s. `save` writes it to one safetensors
file, and `read` reads that file; later jobs use only this file.
"""

import importlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from minified.data.catalogue import CATALOGUE
from minified.foundations import arguments, files, seeds
from minified.foundations.errors import ArgumentError, ArtefactError, DataError, StudyError

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
        examples = arguments.whole("examples", examples, 0)
        return Split(self.inputs[:examples], self.targets[:examples])

    def to(self, device: str) -> "Split":
        """The same examples on `device`, not copied if they are already there."""
        return Split(self.inputs.to(device), self.targets.to(device))


@dataclass(frozen=True)
class Dataset:
    """Three splits: for training, for decisions (validation), and only for reporting (test)."""

    training: Split
    validation: Split
    test: Split
    classes: int
    checksums: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of the raw data, by name."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        return tuple(self.training.inputs.shape[1:])

    def to(self, device: str) -> "Dataset":
        """The same splits on `device`."""
        moved = {split: getattr(self, split).to(device) for split in SPLITS}
        return replace(self, **moved)


@dataclass(frozen=True)
class Raw:
    """A data set before splitting: inputs in [0, 1]; `test` if it has its own test split."""

    inputs: Tensor
    targets: Tensor
    classes: int
    test: Split | None = None
    checksums: Mapping[str, str] = field(default_factory=dict)


def check_split(split: object) -> None:
    """Raise ArgumentError if `split` is something else, such as a pair of tensors."""
    if not isinstance(split, Split):
        raise ArgumentError(
            f"split: must be a minified.data.Split(inputs, targets), not {arguments.shown(split)}"
        )


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
        name: a key of `catalogue.CATALOGUE`.
        root: the data root, in torchvision's layout; missing files are downloaded into it. Not used
            for data sets that come with a library.
        validation: fraction of the data set's training examples held out for decisions.
        test: fraction held out for reporting, if the data set does not have its own test split.
        seed: seeds the shuffle and the split.
        training_examples: keep only this many training examples, the first after the shuffle.

    Inputs are normalised by the mean and standard deviation of the training split, per channel.

    Raises:
        DataError: an unknown, missing, altered or malformed data set.
        StudyError: a split that would lack some class.
        ArgumentError: another argument that it does not take.
    """
    if not isinstance(name, str) or name not in CATALOGUE:
        raise DataError(
            f"unknown data set {arguments.shown(name)}; known data sets: {sorted(CATALOGUE)}"
        )
    if not isinstance(root, str | os.PathLike):
        raise ArgumentError(f"root: must be a path, not {arguments.shown(root)}")
    validation = arguments.real("validation", validation, below=1.0)
    test = arguments.real("test", test, below=1.0)
    seed = arguments.seed(seed)
    if training_examples is not None:
        training_examples = arguments.whole("training_examples", training_examples, 0)
    reader = importlib.import_module(f"minified.data.{CATALOGUE[name].module}")
    raw: Raw = reader.read(name, Path(root))
    everything = Split(raw.inputs, raw.targets)
    for prefix, whole in (("", everything), ("test ", raw.test)):
        if whole is not None and (problem := _problem(whole, raw.classes)):
            raise DataError(f"data set {name}: {prefix}{problem}")
    found, entry = (tuple(raw.inputs.shape[1:]), raw.classes), CATALOGUE[name]
    if found != (entry.input_shape, entry.classes):
        raise DataError(
            f"data set {name}: has inputs of {found[0]} and {found[1]} classes, but the catalogue"
            f" says {entry.input_shape} and {entry.classes}; correct its entry"
        )
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
            fix = "use more" if short else "choose a fraction nearer to 0.2"
            raise StudyError(
                f"data.{key}: {value[key]}: the {split} split of {name} would have {len(part)}"
                f" examples and lack some class; {fix}"
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
    """What is wrong with the shapes, types or values of a split; None if nothing is."""
    inputs, targets = split.inputs, split.targets
    for kind, tensor in (("inputs", inputs), ("targets", targets)):
        if not isinstance(tensor, Tensor) or tensor.is_meta:
            return f"{kind} must be a tensor, not {arguments.shown(tensor)}"
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
    # Checking only the extremes is enough, and needs no copy of all inputs.
    if not all(bool(extreme.isfinite()) for extreme in inputs.aminmax()):
        return "has inputs that are not finite numbers"
    return None


def stratified(
    targets: Tensor, fractions: tuple[float, ...], generator: torch.Generator
) -> list[Tensor]:
    """Split indices so that every part has the classes in the same proportions.

    Returns `[rest, part for each fraction]`, each shuffled. Of a class of n examples, a part gets
    round(fraction * n), or what is left of them.

    Args:
        targets: (N,) int64, at least one. fractions: each in [0, 1), their sum at most 1.
        generator: on the CPU.

    Raises:
        ArgumentError: other targets, fractions or generators.
    """
    if not isinstance(targets, Tensor) or targets.dim() != 1 or targets.dtype != torch.int64:
        raise ArgumentError(f"targets: must be (N,) int64, not {arguments.shown(targets)}")
    if len(targets) == 0 or targets.is_meta:
        raise ArgumentError("targets: there are none; at least one example is needed")
    if isinstance(fractions, str) or not isinstance(fractions, Sequence):
        raise ArgumentError(f"fractions: must be a list, not {arguments.shown(fractions)}")
    fractions = tuple(arguments.real("fractions", one, below=1.0) for one in fractions)
    if sum(fractions) > 1.0:
        raise ArgumentError(f"fractions: must add up to at most 1, not {sum(fractions):g}")
    if not isinstance(generator, torch.Generator) or generator.device.type != "cpu":
        raise ArgumentError(
            f"generator: must be a torch.Generator on the CPU, not {arguments.shown(generator)}"
        )
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
    """Write a data set to the safetensors file `path`, which `read` reads.

    Raises:
        DataError: a split that `read` would refuse; says what is wrong with it.
    """
    if not isinstance(dataset, Dataset):
        raise ArgumentError(f"dataset: must be a Dataset, not {arguments.shown(dataset)}")
    classes = arguments.whole("dataset.classes", dataset.classes, 2)
    for split in SPLITS:
        check_split(getattr(dataset, split))
        if problem := _problem(getattr(dataset, split), classes):
            raise DataError(f"data set {name}: {split} {problem}")
    tensors = {}
    places = set()
    for split in SPLITS:
        for kind in ("inputs", "targets"):
            tensor = getattr(getattr(dataset, split), kind)
            place = tensor.untyped_storage().data_ptr()
            # A file holds no views: splits that share memory are stored apart.
            tensors[f"{split}.{kind}"] = tensor.clone() if place in places else tensor
            places.add(place)
    metadata = {"data": name, "classes": dataset.classes, "checksums": dict(dataset.checksums)}
    files.write_tensors(Path(path), tensors, metadata)


def read(path: Path) -> Dataset:
    """Read a data set that `save` wrote."""
    path = Path(path)
    tensors, metadata = files.read_tensors(path)
    try:
        splits = [Split(tensors[f"{s}.inputs"], tensors[f"{s}.targets"]) for s in SPLITS]
        dataset = Dataset(
            splits[0], splits[1], splits[2], metadata["classes"], metadata["checksums"]
        )
    except KeyError as error:
        raise ArtefactError(path, f"is not a prepared data set: lacks {error}") from None
    for name, split in zip(SPLITS, splits, strict=True):
        if problem := _problem(split, dataset.classes):
            raise ArtefactError(path, f"{name} {problem}")
    return dataset


def _take(split: Split, indices: Tensor) -> Split:
    return Split(split.inputs[indices], split.targets[indices])
