"""Reading and writing artefacts: complete or not at all, checked when read, and never pickled.

Every writer here writes a temporary file beside its target and then renames it, so that a file
under its final name is always complete. It also writes the file's checksum (`.rows.csv.sha256` for
`rows.csv`), so that a file damaged later is not mistaken for a result.
"""

import csv
import errno
import hashlib
import io
import json
import os
import platform
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minified.foundations.errors import ArtefactError, MinifiedError

if TYPE_CHECKING:
    from torch import Tensor

_PARTIAL = re.compile(r"\..*\.(\d+)@(.*)\.partial(\..*)?")
# What file systems say of a call that they do not have.
_CANNOT = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EISDIR)
_DAY = 24 * 60 * 60


@contextmanager
def replacing(path: Path, *, checksum: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; if the block succeeds, that file replaces `path`.

    The temporary name keeps the suffix, since some writers choose their format by it. With
    `checksum`, a checksum file is written beside `path`; published files have none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{_writer()}.partial{path.suffix}")
    try:
        yield temporary
        # Some writers make private files; colleagues on a shared disk should be able to read them.
        with suppress(PermissionError, NotImplementedError):  # some file systems have no such bits
            temporary.chmod(0o666 & ~umask())
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        # If the power fails before the new checksum is written, no checksum is better than a wrong
        # one.
        _checksum_file(path).unlink(missing_ok=True)
        digest = sha256(temporary) if checksum else None
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        # The error of a full disk names no file, and the temporary name means nothing to a user.
        if error.filename in (None, str(temporary)):
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)
    if digest is not None:
        with replacing(_checksum_file(path), checksum=False) as temporary:
            temporary.write_text(f"{digest}  {path.name}\n", encoding="utf-8")


@contextmanager
def partial_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside `path` for work in progress, which is removed after the block.

    If this process is killed, `sweep` removes it.
    """
    folder = path.with_name(f".{path.name}.{_writer()}.partial")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _writer() -> str:
    return f"{os.getpid()}@{platform.node()}"


def sha256(path: Path) -> str:
    """The checksum of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sweep(folder: Path, *, deep: bool = True) -> None:
    """Remove what killed writers left there incomplete: those of this machine, and of others what
    has not changed for a day. `deep`: also in the folders below `folder`.
    """
    pattern = ".*.partial*"
    for left in filter(_is_dead, list(folder.rglob(pattern) if deep else folder.glob(pattern))):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _is_dead(left: Path) -> bool:
    """Whether `left` is a killed writer's incomplete file or folder."""
    writer = _PARTIAL.fullmatch(left.name)
    if writer and writer[2] == platform.node():
        return not alive(int(writer[1]))
    with suppress(OSError):  # gone, or in another's folder
        return writer is not None and now(left.parent) - left.lstat().st_mtime > _DAY
    return False


def now(folder: Path) -> float:
    """The time in seconds by the clock that dates the files of `folder`, perhaps a server's."""
    probe = folder / f".clock.{_writer()}.partial"
    try:
        probe.write_bytes(b"")
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def alive(process: int) -> bool:
    """Whether a process with this ID is running on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    # A dead process keeps its ID until its parent has waited for it.
    return stat.rpartition(") ")[2][:1] not in ("Z", "X")


def _checksum_file(path: Path) -> Path:
    return path.with_name(f".{path.name}.sha256")


def _sync_folder(folder: Path) -> None:
    """Make sure that a renamed file keeps its new name after a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT:  # some file systems cannot sync a folder
            raise
    finally:
        os.close(descriptor)


def umask() -> int:
    """The caller's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def noted(path: Path) -> str | None:
    """The checksum that the writer of `path` noted beside it; None if there is none."""
    kept = _checksum_file(path)
    return kept.read_bytes().decode(errors="replace").partition(" ")[0] if kept.is_file() else None


def checksum(path: Path) -> str:
    """The checksum that the writer of `path` noted beside it, or else that of its bytes."""
    return noted(path) or sha256(path)


def verify(path: Path) -> None:
    """Raise ArtefactError if `path` is missing or has changed since it was written."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ArtefactError(path, "is a device, pipe or socket, not a file")  # it may have no end
    try:
        actual = sha256(path)
        expected = noted(path)
    except FileNotFoundError:
        raise ArtefactError(path, "no such file") from None
    except (OSError, ValueError) as error:
        raise ArtefactError(path, f"cannot be read ({_reason(error)})") from None
    if expected not in (None, actual):
        raise ArtefactError(path, "was altered or damaged after it was written (checksum differs)")


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def write_text(path: Path, text: str, *, checksum: bool = True) -> None:
    """Write `text` as UTF-8 with Unix line endings on every platform."""
    with replacing(path, checksum=checksum) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def read_text(path: Path) -> str:
    """Read a file of `write_text` or `write_rows`; raise ArtefactError if it is not intact."""
    verify(path)
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ArtefactError(path, f"cannot be read ({_reason(error)})") from None
    if not text.endswith("\n"):
        raise ArtefactError(path, "is truncated: its last line does not end with a newline")
    return text


def write_rows(
    path: Path,
    columns: Iterable[str],
    rows: Iterable[Mapping[str, Any]],
    *,
    checksum: bool = True,
) -> None:
    """Write rows as CSV: floats at full precision, None as an empty field."""
    with (
        replacing(path, checksum=checksum) as temporary,
        open(temporary, "w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.DictWriter(file, list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read a file of `write_rows`, every field as text.

    Raises:
        ArtefactError: the file is missing or damaged, or its columns are not exactly `columns`.
    """
    try:
        lines = list(csv.reader(io.StringIO(read_text(path), newline=""), strict=True))
    except csv.Error as error:
        raise ArtefactError(path, f"is not CSV ({error})") from None
    if tuple(lines[0]) != tuple(columns):
        raise ArtefactError(path, f"its columns are not {', '.join(columns)}")
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(columns):
            raise ArtefactError(path, f"line {number} does not have one field per column")
    return [dict(zip(columns, line, strict=True)) for line in lines[1:]]


def write_tensors(
    path: Path, tensors: Mapping[str, "Tensor"], metadata: Mapping[str, Any] | None = None
) -> None:
    """Write tensors as safetensors; `metadata` is stored as JSON under the key `minified`."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    described = {"minified": json.dumps(dict(metadata or {}), sort_keys=True)}
    with replacing(path) as temporary:
        whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        try:
            save_file(whole, temporary, metadata=described)
        except SafetensorError as error:
            # safetensors raises this if the disk is full or the folder is not writable.
            raise MinifiedError(f"{path}: cannot be written ({error})") from None


def read_tensors(
    path: Path, framework: str = "pt", within: str = ""
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the tensors of a safetensors file and its metadata.

    Args:
        framework: `pt` for torch tensors, `np` for NumPy arrays.
        within: only tensors whose names begin with this are read.

    Raises:
        ArtefactError: the file is missing, damaged, or not a safetensors file.
    """
    with _tensors(path, framework) as file:
        names = [name for name in file.keys() if name.startswith(within)]  # noqa: SIM118
        return {name: file.get_tensor(name) for name in names}, _described(file)


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the metadata that `write_tensors` stored, without reading the tensors."""
    with _tensors(path, "np") as file:
        return _described(file)


@contextmanager
def _tensors(path: Path, framework: str) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    verify(path)
    try:
        with safe_open(path, framework=framework) as file:
            yield file
    except (SafetensorError, OSError, ValueError) as error:
        raise ArtefactError(path, f"not a complete safetensors file ({error})") from None


def _described(file: Any) -> dict[str, Any]:
    return json.loads((file.metadata() or {}).get("minified", "{}"))
