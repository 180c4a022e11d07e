"""The raw files of a data root, looked at before they are opened.

Opening a pipe waits for ever, and a device may have no end. So whatever is not a folder or a file
of a possible size is refused first, in one line that names it.
"""

import errno
import hashlib
import os
import shlex
import stat
from pathlib import Path

from minified.data.catalogue import VARIABLE
from minified.foundations.errors import DataError

MOST_BYTES = 2**28
"""More than any published file has: the largest archive has 163 MiB, the largest file 45 MiB."""


def check_root(name: str, root: Path, folder: Path) -> None:
    """Refuse a data root that does not exist or is not a folder; `folder` is the one below it that
    has the data set's files, or will have them.

    Raises:
        DataError: names the data set and the root, and says what to do.
        OSError: the root cannot be looked at.
    """
    shown = f"data set {name}: data root {root.absolute()}"
    elsewhere = f"or point {VARIABLE} (or the study's data_root) to another folder"
    try:
        status = root.stat()
    except FileNotFoundError:
        if root.is_symlink():
            problem = f"is a link to {root.readlink()}, which does not exist; correct it"
            raise DataError(f"{shown} {problem}, {elsewhere}") from None
        command = shlex.join(["mkdir", "-p", str(root)])
        raise DataError(
            f"{shown} does not exist; make it ({command}) to have {folder.relative_to(root)}"
            f" downloaded into it, {elsewhere}"
        ) from None
    if not stat.S_ISDIR(status.st_mode):
        raise DataError(f"{shown} is not a folder; replace it by one, {elsewhere}")
    if not os.access(root, os.R_OK | os.X_OK):
        raise DataError(f"{shown} may not be read; change its permissions, {elsewhere}")
    inner = root
    for part in folder.relative_to(root).parts:
        inner /= part
        if os.path.lexists(inner) and not inner.is_dir():
            raise DataError(f"data set {name}: {inner} is not a folder; delete it")


def md5(name: str, path: Path) -> str | None:
    """The MD5 of a raw file, or None if there is no such file.

    Raises:
        DataError: it is not a file, or is larger than any published one.
        OSError: it cannot be read.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        if path.is_symlink():
            raise DataError(
                f"data set {name}: {path} is a link to {path.readlink()}, which does not exist;"
                " delete it to have the file downloaded, or correct it"
            ) from None
        return None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise DataError(
            f"data set {name}: {path} is a device, pipe or socket, not a file; delete it to have"
            " the file downloaded, or replace it by the original"
        )
    if status.st_size > MOST_BYTES:
        raise DataError(
            f"data set {name}: {path} has {status.st_size:,} bytes, more than any file of the data"
            " set; delete it to have it downloaded again, or replace it by the original"
        )
    # The publishers give MD5, against accidents; hardened systems refuse it without this argument.
    digest = hashlib.md5(usedforsecurity=False)
    if status.st_size:  # files of the kernel say that they are empty, and may never end
        with path.open("rb") as file:
            digest.update(file.read(status.st_size))
    return digest.hexdigest()
