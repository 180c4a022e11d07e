"""Small image data sets in the formats of the originals, for the library to take for them."""

import hashlib
import pickle
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets

from minified.data import images

NAMES = list(images.SOURCES)
TRAINING, TEST = 60, 20

Files = dict[str, bytes]


def idx(values: np.ndarray) -> bytes:
    """The IDX format (LeCun): two zeros, the type, the number of dimensions, each big-endian."""
    header = struct.pack(">HBB", 0, 8, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape)
    return header + values.astype(np.uint8).tobytes()


def batch(pixels: np.ndarray, labels: list[int]) -> bytes:
    """A CIFAR-10 batch: rows of 1,024 red, 1,024 green, 1,024 blue."""
    return pickle.dumps({"data": pixels.reshape(len(pixels), -1), "labels": labels})


def written(name: str, labels: Callable[[int], int] = lambda i: i % 10) -> Files:
    """The files of a small data set, in the format of the original."""
    numbers = np.random.default_rng(NAMES.index(name))
    targets = [labels(i) for i in range(TRAINING)]
    test_targets = [i % 10 for i in range(TEST)]
    if name == "cifar10":
        pixels = numbers.integers(0, 256, (TRAINING + TEST, 3, 32, 32), dtype=np.uint8)
        each = TRAINING // 5
        parts = [slice(i * each, (i + 1) * each) for i in range(5)]
        found = {f"data_batch_{i + 1}": batch(pixels[p], targets[p]) for i, p in enumerate(parts)}
        found["test_batch"] = batch(pixels[TRAINING:], test_targets)
        found["batches.meta"] = pickle.dumps({"label_names": [str(i) for i in range(10)]})
        return found
    pixels = numbers.integers(0, 256, (TRAINING + TEST, 28, 28), dtype=np.uint8)
    return {
        "train-images-idx3-ubyte": idx(pixels[:TRAINING]),
        "train-labels-idx1-ubyte": idx(np.array(targets)),
        "t10k-images-idx3-ubyte": idx(pixels[TRAINING:]),
        "t10k-labels-idx1-ubyte": idx(np.array(test_targets)),
    }


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def publish(name: str, content: Files, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have the library and torchvision take these files for the published ones; their folder."""
    source = replace(images.SOURCES[name], md5={file: md5(c) for file, c in content.items()})
    monkeypatch.setitem(images.SOURCES, name, source)
    if name == "cifar10":
        known = [[file, md5(content[file])] for file in content if file.startswith("data_batch")]
        monkeypatch.setattr(datasets.CIFAR10, "train_list", known)
        test = [["test_batch", md5(content["test_batch"])]]
        monkeypatch.setattr(datasets.CIFAR10, "test_list", test)
        meta = datasets.CIFAR10.meta | {"md5": md5(content["batches.meta"])}
        monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    return Path(source.folder)


def put(folder: Path, content: Files) -> None:
    folder.mkdir(parents=True)
    for file, whole in content.items():
        (folder / file).write_bytes(whole)
