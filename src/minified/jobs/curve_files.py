"""The files of training curves: of all replicates their mean and spread, of a block each its own.

The spread of all replicates cannot be had from those of blocks. So a block keeps what each of its
replicates did, and `minified.jobs.together` writes of all of them what one job would have written.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from minified.foundations import files
from minified.foundations.errors import ArtefactError
from minified.study import rows
from minified.study.rows import BLOCK_EPOCH_COLUMNS, EPOCH_COLUMNS

Epoch = tuple[Sequence[float], Sequence[float]]
"""The losses of one epoch and its validation accuracies, one number per replicate each."""
Rounds = Sequence[Sequence[Epoch]]
"""The epochs of every round; one round unless units are removed in several."""


def write(path: Path, rounds: Rounds, block: range | None = None) -> None:
    """Write curves, one line per round and epoch; none if nothing was trained.

    `block`: the numbers of the replicates, if they are not all of the study; each then has a line.
    """
    if block is None:
        files.write_rows(path, EPOCH_COLUMNS, _lines(rounds))
    else:
        files.write_rows(path, BLOCK_EPOCH_COLUMNS, _lines_of_block(rounds, block))


def _numbered(rounds: Rounds) -> Iterator[tuple[int, int, Epoch]]:
    for number, epochs in enumerate(rounds, start=1):
        for epoch, values in enumerate(epochs, start=1):
            yield number, epoch, values


def _lines(rounds: Rounds) -> Iterator[dict[str, Any]]:
    for number, epoch, (losses, accuracies) in _numbered(rounds):
        spreads = (*rows.spread(losses), *rows.spread(accuracies))
        yield dict(zip(EPOCH_COLUMNS, (number, epoch, len(losses), *spreads), strict=True))


def _lines_of_block(rounds: Rounds, block: range) -> Iterator[dict[str, Any]]:
    for number, epoch, (losses, accuracies) in _numbered(rounds):
        for values in zip(block, losses, accuracies, strict=True):
            yield dict(zip(BLOCK_EPOCH_COLUMNS, (number, epoch, *values), strict=True))


def read_block(path: Path, block: range) -> Rounds:
    """What `write` wrote of a block.

    Raises:
        ArtefactError: the file is missing or damaged, or lacks an epoch or a replicate.
    """
    words = f"{block[0]} to {block[-1]}"
    rounds: list[list[tuple[list[float], list[float]]]] = []
    lines = files.read_rows(path, BLOCK_EPOCH_COLUMNS)
    for place, line in enumerate(lines):
        try:
            number, epoch, replicate = (int(line[column]) for column in BLOCK_EPOCH_COLUMNS[:3])
            loss, accuracy = (float(line[column]) for column in BLOCK_EPOCH_COLUMNS[3:])
        except ValueError as error:
            raise ArtefactError(path, f"line {place + 2}: not a number ({error})") from None
        if replicate == block[0] and epoch == 1:
            rounds.append([])
        if replicate == block[0] and rounds:
            rounds[-1].append(([], []))
        here = (len(rounds), len(rounds[-1]) if rounds else 0, block[place % len(block)])
        if (number, epoch, replicate) != here:
            raise ArtefactError(
                path, f"line {place + 2}: not one line per epoch for each of replicates {words}"
            )
        losses, accuracies = rounds[-1][-1]
        losses.append(loss)
        accuracies.append(accuracy)
    if len(lines) % len(block):
        raise ArtefactError(path, f"its last epoch lacks one of replicates {words}")
    return rounds


def joined(parts: Sequence[Rounds]) -> Rounds:
    """The curves of several blocks as those of all their replicates.

    Raises:
        ValueError: the blocks have not the same rounds and epochs.
    """
    return [
        [
            ([loss for one in same for loss in one[0]], [right for one in same for right in one[1]])
            for same in zip(*epochs, strict=True)
        ]
        for epochs in zip(*parts, strict=True)
    ]
