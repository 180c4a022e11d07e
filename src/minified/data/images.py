"""Image data sets, downloaded and read by torchvision, and refused if any byte is altered.

`read_originals("mnist", root)` returns the original training and test examples from a data root in
torchvision's layout. Every file's MD5 is checked first: torchvision does not check the unpacked IDX
files, and CIFAR-10's files are pickles, which are safe to open only if they are the published ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minified.data import downloads, raw_files
from minified.data.catalogue import VARIABLE
from minified.data.dataset import Raw, Split
from minified.foundations import files
from minified.foundations.errors import DataError


@dataclass(frozen=True)
class Source:
    """A data set's folder below the data root, and the MD5 of its files as published."""

    loader: str
    """The name of its class in `torchvision.datasets`."""
    folder: str
    md5: Mapping[str, str]


@dataclass(frozen=True)
class Images:
    """One part of a data set: `pixels` (N, channels, height, width), uint8; `labels` (N,)."""

    pixels: Tensor
    labels: Tensor


# CIFAR-10's checksums are torchvision's. For IDX files torchvision has only those of the archives.
SOURCES = {
    "mnist": Source(
        "MNIST",
        "MNIST/raw",
        {
            "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
            "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
            "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
            "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
        },
    ),
    "fashion_mnist": Source(
        "FashionMNIST",
        "FashionMNIST/raw",
        {
            "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
            "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
            "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
        },
    ),
    "cifar10": Source(
        "CIFAR10",
        "cifar-10-batches-py",
        {
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
            "test_batch": "40351d587109b95175f43aff81a1287e",
            "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
        },
    ),
}


def read(name: str, root: Path) -> Raw:
    """Read a data set that has its own test split; inputs are scaled from 0..255 to [0, 1]."""
    training, test, checksums = read_originals(name, root)
    return Raw(
        training.pixels.float() / 255,
        training.labels.long(),
        classes=10,
        test=Split(test.pixels.float() / 255, test.labels.long()),
        checksums=checksums,
    )


def read_originals(name: str, root: Path) -> tuple[Images, Images, dict[str, str]]:
    """Training and test examples of a data set, and the SHA-256 of each file they came from.

    torchvision downloads the files that the root lacks; the root itself must exist.

    Raises:
        DataError: one line that names the data set, the root and the file, and says what to do.
    """
    source = SOURCES[name]
    folder = root / source.folder
    try:
        raw_files.check_root(name, root, folder)
        _refuse_copies(name, source, folder)
        published = source.md5.items()
        missing = [file for file, md5 in published if not _is_there(name, folder / file, md5)]
        if missing:
            _download(name, source, root, missing)
        training, test = (_part(name, source, root, train) for train in (True, False))
    except OSError as error:
        raise DataError(
            f"data set {name}: {error.filename or folder}: {error.strerror or error}"
        ) from None
    checksums = {file: files.sha256(folder / file) for file in source.md5}
    return training, test, checksums


def _is_there(name: str, path: Path, expected: str) -> bool:
    """Whether there is such a file; raise DataError if it is not the published one."""
    found = raw_files.md5(name, path)
    if found is not None and found != expected:
        raise DataError(
            f"data set {name}: {path} has MD5 {found}, not {expected}: it is truncated or"
            " altered; delete it to have it downloaded again, or replace it by the original"
        )
    return found is not None


def _refuse_copies(name: str, source: Source, folder: Path) -> None:
    """Refuse files processed by torchvision before 2020, which it would read without any check."""
    processed = folder.parent / "processed"
    copies = [processed / "training.pt", processed / "test.pt"]
    if folder.name == "raw" and any(copy.exists() for copy in copies):
        raise DataError(
            f"data set {name}: {processed} holds copies by an old torchvision, which are not the"
            f" published files; delete that folder (files are read from {folder})"
        )


def _loader(source: Source) -> Any:
    from torchvision import datasets

    return getattr(datasets, source.loader)


def _download(name: str, source: Source, root: Path, missing: list[str]) -> None:
    """Download the missing files; on failure the root stays as it was."""
    loader = _loader(source)
    for archive in downloads.archives(loader, source.folder):
        raw_files.md5(name, root / archive)  # refuses a pipe, which torchvision would wait for
    # torchvision passes on every exception of urllib, tarfile, gzip and its own checks.
    try:
        with downloads.downloaded(loader, root, source.folder) as folder:
            found = {file: raw_files.md5(name, folder / file) for file in missing}
            absent = [file for file, md5 in found.items() if md5 is None]
            if absent:
                raise DataError(_lacking(name, root, source, absent, "the download left them out"))
            for file, md5 in found.items():
                if md5 != source.md5[file]:
                    why = f"the downloaded {file} has MD5 {md5}, not {source.md5[file]}"
                    raise DataError(_lacking(name, root, source, missing, why))
            downloads.keep(folder, root / source.folder, missing)
    except DataError:
        raise
    except Exception as error:
        detail = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            _lacking(name, root, source, missing, f"download failed: {detail}")
        ) from None


def _lacking(name: str, root: Path, source: Source, missing: list[str], why: str) -> str:
    return (
        f"data set {name}: data root {root.absolute()} lacks {', '.join(missing)} in"
        f" {source.folder} ({why}); put the files there, or point {VARIABLE} (or the study's"
        " data_root) to a folder that has them"
    )


def _part(name: str, source: Source, root: Path, train: bool) -> Images:
    """The training or the test part, as torchvision reads it."""
    dataset = _loader(source)(root, train=train, download=False)
    pixels = torch.as_tensor(dataset.data)
    # MNIST's images have no channel dimension; CIFAR-10's have it last.
    pixels = pixels.unsqueeze(1) if pixels.dim() == 3 else pixels.permute(0, 3, 1, 2).contiguous()
    return Images(pixels, torch.as_tensor(dataset.targets))
