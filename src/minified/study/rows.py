"""The row: what is recorded of one replicate of one job, typed and documented in one place.

`Row` gives the columns of the CSV file of each job and of tables/results.csv; the table in
docs/results.md is generated from it (`columns_table`).
"""

import dataclasses
import math
import types
import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minified.foundations import files
from minified.foundations.errors import MinifiedError


def _column(meaning: str) -> Any:
    return field(metadata={"meaning": meaning})


def _optional(meaning: str) -> Any:
    """A column that may be empty."""
    return field(default=None, metadata={"meaning": meaning})


@dataclass(frozen=True, kw_only=True)
class Row:
    """One replicate of one job. None is an empty field: the column does not apply."""

    study: str = _column("the study's name")
    data: str = _column("data set")
    network: str = _column("network")
    specification: str = _column("`base`, or the name of the specification that the job belongs to")
    method: str = _column("`baseline`, LEVEL-CRITERION or `quantization`")
    level: str | None = _optional("`parameter` or `neuron`")
    criterion: str | None = _optional("what scored the units")
    scope: str | None = _optional("`global` or `layer`: among which units the ranking was")
    sparsity: float | None = _optional("target: fraction of the level's units to remove")
    sparsity_achieved: float | None = _optional("removed units / removable units, counted")
    rounds: int | None = _optional("rounds of scoring and removing; 1 is one-shot")
    bits: int | None = _optional("bits per weight (quantization)")
    regime: str = _column(
        "`none`, `fine_tune`, `scratch`, `rewind`, or one of the study's; `train` for a baseline"
    )
    replicate: int = _column("0, 1, ...: the random seed's number")
    seed: int = _column("the derived seed of this run's training; with rounds, of the last one")
    accuracy_training: float = _column("after the regime; fraction right, training split")
    accuracy_validation: float = _column("the same, validation split")
    accuracy_test: float = _column("the same, test split")
    loss_training: float = _column("after the regime; mean cross-entropy (nats), training split")
    loss_validation: float = _column("the same, validation split")
    loss_test: float = _column("the same, test split")
    accuracy_training_before: float = _column(
        "before any retraining (with rounds, before the last): units removed or rounded"
    )
    accuracy_validation_before: float = _column("the same, validation split")
    accuracy_test_before: float = _column("the same, test split")
    loss_training_before: float = _column("before any retraining; mean cross-entropy (nats)")
    loss_validation_before: float = _column("the same, validation split")
    loss_test_before: float = _column("the same, test split")
    parameters_total: int = _column("parameters of the dense baseline, biases included")
    parameters_kept: int = _column("parameters that are left, biases included")
    neurons_kept: str = _column("neurons left per hidden layer, `1:300 3:100`")
    collapsed_layers: str | None = _optional("layers that lost all their weights, by name")
    flops_dense: int = _column("FLOPs of one forward pass of the network as stored densely")
    flops: int = _column("the same, times the density of each layer")
    bytes_dense: int = _column("stored bytes: fp32")
    bytes_bitmap: int | None = _optional("stored bytes: bitmap + fp32 values (parameter pruning)")
    bytes_csr: int | None = _optional("stored bytes: compressed sparse rows (parameter pruning)")
    bytes_quantized: int | None = _optional("stored bytes: packed integers (quantization)")
    bytes_stored: int = _column("the bytes that count: the smallest encoding of its kind")
    epochs: int = _column(
        "training epochs of this regime, of all its rounds, the baseline's own not included"
    )
    training_flops: int = _column(
        "FLOPs of that training: 3 x dense forward pass x examples x epochs, round by round"
    )


DAMAGE_COLUMNS = ("replicate", "layer", "unit", "damage")
"""Of damage/REMOVAL.csv, a line per unit removed singly; `unit` is row-major within its layer."""

EPOCH_COLUMNS = (
    *("round", "epoch", "replicates", "loss_mean", "loss_sd"),
    *("accuracy_validation_mean", "accuracy_validation_sd"),
)
"""Of curves/JOB.csv, a line per epoch of a job's training: means and sample standard deviations
over replicates of the training loss and of the validation accuracy. `round` is 1 unless units are
removed in several rounds.
"""

BLOCK_EPOCH_COLUMNS = ("round", "epoch", "replicate", "loss", "accuracy_validation")
"""Of the curves of a block of replicates, a line per epoch and replicate."""

KEPT_COLUMNS = (
    *("method", "level", "criterion", "sparsity", "layer"),
    *("replicates", "kept_mean", "kept_sd"),
)
"""Of kept.csv: the fraction of a layer's units that stays, over replicates."""

OVERLAP_COLUMNS = ("level", "sparsity", "first", "second", "replicates", "overlap", "coincide")
"""Of overlap.csv: how much of what one criterion removes another removes, too."""

COLUMNS = tuple(f.name for f in dataclasses.fields(Row))
_TYPES = typing.get_type_hints(Row)


def column_type(column: str) -> tuple[type, bool]:
    """A column's type, and whether it may be empty."""
    hint = _TYPES[column]
    if isinstance(hint, types.UnionType):
        kinds = [kind for kind in typing.get_args(hint) if kind is not type(None)]
        return kinds[0], True
    return hint, False


def write(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as CSV, one line each, with floats at full precision.

    Raises:
        MinifiedError: a number is not finite; names the column and the replicate.
    """
    records = [dataclasses.asdict(row) for row in rows]
    for row in records:
        for column, value in row.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise MinifiedError(
                    f"{path}: {column} of replicate {row['replicate']} is {value}, so no row is"
                    " written; a lower learning rate in its recipe usually fixes it"
                )
    files.write_rows(path, COLUMNS, records)


def spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation; None with one value.

    The sums are exact, so the bits do not depend on the processor.
    """
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return mean, None
    squares = math.fsum((value - mean) ** 2 for value in values)
    return mean, math.sqrt(squares / (len(values) - 1))


def field_problem(column: str, text: str) -> str | None:
    """What is wrong with the text of a field in a CSV file; None if nothing is."""
    kind, optional = column_type(column)
    if text == "":
        return None if optional else "but may not be empty"
    try:
        value = kind(text)
    except ValueError:
        return f"not of type {kind.__name__}"
    if isinstance(value, float) and not math.isfinite(value):
        return "not a finite number"
    if column.startswith("accuracy_") and not 0 <= value <= 1:
        return "not in [0, 1]"
    return None


def columns_table() -> str:
    """The columns as a Markdown table, for docs/results.md."""
    lines = ["| column | type | meaning |", "| --- | --- | --- |"]
    for column in dataclasses.fields(Row):
        kind, optional = column_type(column.name)
        shown = kind.__name__ + (" or empty" if optional else "")
        lines.append(f"| `{column.name}` | {shown} | {column.metadata['meaning']} |")
    return "\n".join(lines) + "\n"
