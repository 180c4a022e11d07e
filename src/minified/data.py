"""Data sets as tensors: loaded by name, split by a seed, scaled by the training split.

`load("digits", root)` returns a `Dataset` of three `Split`s; `save` and `read` keep it as one
safetensors file, which is all that later jobs see.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from minified import files, seeds
from minified.errors import ArtefactError, StudyError

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


@dataclass(frozen=True)
class Dataset:
    """Training trains, validation decides, test is only reported."""

    training: Split
    validation: Split
    test: Split
    classes: int

    @property
    def input_shape(self) -> tuple[int, ...]:
        return tuple(self.training.inputs.shape[1:])


@dataclass(frozen=True)
class _Raw:
    """A data set before splitting: inputs in [0, 1]; `test` where the data set brings its own."""

    inputs: Tensor
    targets: Tensor
    classes: int
    test: Split | None = None


def _digits(root: Path) -> _Raw:
    """scikit-learn's 1,797 handwritten digits, 8 x 8, 16 grey levels (UCI; nothing to download)."""
    from sklearn.datasets import load_digits

    images, targets = load_digits(return_X_y=True)
    return _Raw(
        torch.from_numpy(images).float().reshape(-1, 1, 8, 8) / 16,
        torch.from_numpy(targets).long(),
        classes=10,
    )


DATASETS: dict[str, Callable[[Path], _Raw]] = {"digits": _digits}


def load(
    name: str,
    root: Path | str = "data",
    *,
    validation: float = 0.2,
    test: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """Load a data set, split it (stratified by class, shuffled by `seed`) and normalise it.

    Args:
        name: a key of `DATASETS`.
        root: the data root; unused by data sets that come with a library.
        validation: fraction of the data set's training examples held out for decisions.
        test: fraction held out for reporting, where the data set has no test split of its own.
        seed: seeds the shuffle and the split.

    Inputs are shifted and scaled by the mean and standard deviation of the training split, one
    of each per channel.
    """
    if name not in DATASETS:
        raise ArtefactError(f"unknown data set {name!r}; known are {sorted(DATASETS)}")
    raw = DATASETS[name](Path(root))
    everything = Split(raw.inputs, raw.targets)
    generator = torch.Generator().manual_seed(seeds.derive(seed, "split"))
    if raw.test is None:
        parts = stratified(raw.targets, (validation, test), generator)
        held_out = [_take(everything, part) for part in parts]
    else:
        parts = stratified(raw.targets, (validation,), generator)
        held_out = [*(_take(everything, part) for part in parts), raw.test]
    training, *rest = held_out
    for split, part in zip(SPLITS, held_out, strict=True):
        if len(part) == 0 or len(part.targets.unique()) < raw.classes:
            raise StudyError(
                f"data set {name}: the {split} split would lack examples of some class"
                f" ({len(part)} examples); raise data.{split if split != 'training' else 'test'}"
                " towards 0.2 in the study"
            )
    all_but_channels = [dim for dim in range(training.inputs.dim()) if dim != 1]
    mean = training.inputs.double().mean(all_but_channels, keepdim=True)
    deviation = training.inputs.double().std(all_but_channels, correction=0, keepdim=True)

    def normalised(split: Split) -> Split:
        return Split(((split.inputs.double() - mean) / deviation).float(), split.targets)

    validation_split, test_split = rest
    return Dataset(
        normalised(training), normalised(validation_split), normalised(test_split), raw.classes
    )


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
    files.write_tensors(path, tensors, {"data": name, "classes": dataset.classes})


def read(path: Path) -> Dataset:
    """Read what `save` wrote."""
    tensors, metadata = files.read_tensors(path)
    try:
        splits = [Split(tensors[f"{s}.inputs"], tensors[f"{s}.targets"]) for s in SPLITS]
        return Dataset(splits[0], splits[1], splits[2], metadata["classes"])
    except KeyError as error:
        raise ArtefactError(f"{path}: is not a prepared data set: lacks {error}") from None


def _take(split: Split, indices: Tensor) -> Split:
    return Split(split.inputs[indices], split.targets[indices])
