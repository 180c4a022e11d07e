"""What a job does of which blocks of replicates did all the work: it puts their files together.

The files are, byte for byte, those that one job with all replicates would have written.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from minified.foundations import files
from minified.foundations.errors import ArtefactError
from minified.jobs import curve_files
from minified.study.rows import BLOCK_EPOCH_COLUMNS, COLUMNS, DAMAGE_COLUMNS

Part = tuple[range, Path]
"""What a block has of a file, and the numbers of the replicates that it is of."""


def together(outputs: Sequence[Path], blocks: Sequence[tuple[range, Sequence[Path]]]) -> None:
    """Write `outputs` from the files of blocks, in the order of their replicates.

    Args:
        blocks: of each block the numbers of its replicates, and its file for each of the outputs.

    Raises:
        ArtefactError: a block's file is missing or damaged, or is not of these replicates.
    """
    for place, output in enumerate(outputs):
        parts = [(numbers, made[place]) for numbers, made in blocks]
        if output.suffix == ".safetensors":
            _tensors(output, parts)
        elif _columns(parts[0][1]) == BLOCK_EPOCH_COLUMNS:
            _curves(output, parts)
        else:
            _rows(output, parts)


def _columns(path: Path) -> tuple[str, ...]:
    return tuple(files.read_text(path).partition("\n")[0].split(","))


def _rows(output: Path, parts: Sequence[Part]) -> None:
    """One table after the other."""
    columns = _columns(parts[0][1])
    if columns not in (COLUMNS, DAMAGE_COLUMNS):
        raise ArtefactError(parts[0][1], "has not the columns of rows, of damage or of a curve")
    text = ",".join(columns) + "\n"
    for numbers, path in parts:
        found = [row["replicate"] for row in files.read_rows(path, columns)]
        _check(path, numbers, found)
        text += files.read_text(path).partition("\n")[2]
    files.write_text(output, text)


def _curves(output: Path, parts: Sequence[Part]) -> None:
    of_blocks = [curve_files.read_block(path, numbers) for numbers, path in parts]
    try:
        curves = curve_files.joined(of_blocks)
    except ValueError:
        epochs = [[len(one) for one in rounds] for rounds in of_blocks]
        odd = next(place for place, counts in enumerate(epochs) if counts != epochs[0])
        path = parts[odd][1]
        raise ArtefactError(path, f"has not the epochs of {parts[0][1]}") from None
    curve_files.write(output, curves)


def _tensors(output: Path, parts: Sequence[Part]) -> None:
    tensors: dict[str, Any] = {}
    described: dict[str, Any] | None = None
    for numbers, path in parts:
        here, metadata = files.read_tensors(path)
        _check(path, numbers, sorted({name.partition("/")[0] for name in here}, key=_number))
        if described not in (None, metadata):
            raise ArtefactError(path, f"is of another job than {parts[0][1]}")
        described = metadata
        tensors |= here
    files.write_tensors(output, tensors, described)


def _number(name: str) -> tuple[int, str]:
    return (int(name) if name.isdecimal() else -1), name


def _check(path: Path, numbers: range, found: Iterable[str]) -> None:
    """Refuse a file that is not of the replicates with these numbers, each once, in order."""
    names = list(dict.fromkeys(found))
    if names != list(map(str, numbers)):
        raise ArtefactError(
            path, f"has replicates {', '.join(names) or 'none'}, not {_words(numbers)}"
        )


def _words(numbers: range) -> str:
    first, last = numbers[0], numbers[-1]
    return f"{first} alone" if first == last else f"{first} to {last}"
