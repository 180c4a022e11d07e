"""Download a data set by torchvision: all of its files, or none.

torchvision works in a hidden folder of the data root. Files leave it when they have been checked,
so an interrupted download leaves nothing that looks like a raw file, and two may run side by side.
"""

import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minified.foundations import files

SECONDS = 60.0
"""A server that sends nothing for so long ends the download."""


def archives(loader: Any, folder: str) -> list[Path]:
    """The archives that torchvision unpacks, relative to the data root."""
    if hasattr(loader, "tgz_md5"):
        return [Path(loader.filename)]
    return [Path(folder) / file for file, _ in loader.resources]


@contextmanager
def downloaded(loader: Any, root: Path, folder: str) -> Iterator[Path]:
    """Download a data set, and yield the folder that has its files until the block ends.

    Archives that the data root has are used, if they are the published ones. Every exception of
    urllib, tarfile, gzip and torchvision's own checks passes through.
    """
    target = root / folder
    # Below the same folder, and so on the same file system, as the files will be.
    parent = next(place for place in (target, *target.parents) if place.is_dir())
    files.sweep(parent, deep=False)
    with files.partial_folder(parent / "download") as place:
        for archive in archives(loader, folder):
            if (root / archive).is_file():
                (place / archive).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(root / archive, place / archive)
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(SECONDS)
        try:
            _by_torchvision(loader, place)
        finally:
            socket.setdefaulttimeout(before)
        yield place / folder


def _by_torchvision(loader: Any, place: Path) -> None:
    from torchvision.datasets.utils import download_and_extract_archive

    if hasattr(loader, "tgz_md5"):
        # CIFAR10 itself would not notice that batches.meta is missing.
        download_and_extract_archive(
            loader.url, str(place), filename=loader.filename, md5=loader.tgz_md5
        )
    else:
        loader(place, train=True, download=True)


def keep(folder: Path, target: Path, names: Sequence[str]) -> None:
    """Move files of a download to `target`, each whole or not at all."""
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        with open(folder / name, "rb") as file:
            os.fsync(file.fileno())
        (folder / name).replace(target / name)
