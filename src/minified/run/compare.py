"""Compare two published folders of one study, byte for byte or within a tolerance.

On the same type of machine every byte must be the same. On another type, float sums may differ in
their last bits, and training amplifies that: integers and names must still be the same, but
measured numbers are compared within a tolerance.
"""

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from minified.foundations import files
from minified.run import edits
from minified.study import rows

PROVENANCE = "provenance.json"
_MACHINE = "machine"
# The columns that identify a row, in the tables that have them.
_KEYS = (
    *("method", "sparsity", "bits", "regime", "replicate"),
    *("claim", "part", "level", "place"),
)
COLUMNS = ("file", "row", "column", "committed", "regenerated", "difference")


@dataclass(frozen=True)
class Difference:
    """One field of a table, or one whole file, that differs; `difference` is set for numbers."""

    file: str
    row: str
    column: str
    committed: str
    regenerated: str
    difference: float | None = None


def compare(committed: Path, regenerated: Path) -> list[Difference]:
    """The differences between two published folders; machine/ is left out."""
    names = [files_of(committed), files_of(regenerated)]
    differences: list[Difference] = []
    for name in sorted(names[0] | names[1]):
        one, other = committed / name, regenerated / name
        if name not in names[0] or name not in names[1]:
            before, after = ("there" if name in side else "missing" for side in names)
            differences.append(Difference(name, "", "", before, after))
        elif one.read_bytes() != other.read_bytes():
            before, after = (f"SHA-256 {files.sha256(file)}" for file in (one, other))
            fields = _compare_fields(name, _fields(one), _fields(other))
            differences += fields or [Difference(name, "", "", before, after)]
    return differences


def files_of(folder: Path) -> set[str]:
    """The files that are compared, relative to `folder`."""
    paths = (f.relative_to(folder) for f in folder.rglob("*") if f.is_file())
    return {path.as_posix() for path in paths if path.parts[0] != _MACHINE}


Fields = Mapping[tuple[str, str], str]


def _fields(file: Path) -> Fields:
    """The fields of a table or of the provenance, by row and column; none for other files."""
    try:
        if file.suffix == ".csv":
            return _table(file.read_text(encoding="utf-8"))
        if file.name == PROVENANCE:
            values = edits.flat(json.loads(file.read_bytes()))
            return {(key, ""): json.dumps(value) for key, value in values}
    except (OSError, ValueError, csv.Error):
        pass
    return {}


def _table(text: str) -> Fields:
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    fields: dict[tuple[str, str], str] = {}
    seen: dict[str, int] = {}
    for row in rows:
        # A method's name begins with its level.
        keys = [key for key in _KEYS if row.get(key) and not (key == "level" and "method" in row)]
        name = " ".join(row[key] for key in keys)
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            name = f"{name} #{seen[name]}"
        fields |= {(name, str(column)): str(value) for column, value in row.items()}
    return fields


def _compare_fields(name: str, one: Fields, other: Fields) -> list[Difference]:
    differences = []
    for row, column in [*one, *(place for place in other if place not in one)]:
        values = one.get((row, column), "missing"), other.get((row, column), "missing")
        if values[0] != values[1]:
            differences.append(Difference(name, row, column, *values, _distance(*values)))
    return differences


def _distance(one: str, other: str) -> float | None:
    try:
        distance = abs(float(one) - float(other))
    except ValueError:
        return None
    return distance if math.isfinite(distance) else None


EXACT = (
    *("study", "data", "network", "method", "level", "criterion", "scope", "sparsity"),
    *("sparsity_achieved", "bits", "regime", "replicate", "seed", "parameters_total", "epochs"),
)
"""Columns of results.csv that float rounding cannot change."""

EXACT_SIZES = ("parameters_kept", "flops_dense", "bytes_dense")
"""Nor can it change these, unless the neurons of all layers were ranked together."""

TOLERANCE_POINTS = 1.0
TOLERANCE = (
    f"each cell's mean test accuracy, and each claim's effect, within {TOLERANCE_POINTS:g} point or"
    " the two intervals overlapping; configuration, data, packages, names, counts and seeds the"
    " same; no verdict changed"
)


def beyond_tolerance(committed: Path, regenerated: Path) -> list[str]:
    """The differences that another type of machine does not excuse, one line each."""
    both = committed, regenerated
    names = [files_of(folder) for folder in both]
    problems = [f"{name}: exists on one side only" for name in sorted(names[0] ^ names[1])]
    one, other = (_fields(folder / PROVENANCE) for folder in both)
    for difference in _compare_fields(PROVENANCE, one, other):
        key = difference.row.partition(".")[0]
        # Dependencies differ by platform, but a package that both have must be of one version.
        absent = "missing" in (difference.committed, difference.regenerated)
        excused = key == "device" or (key == "packages" and absent)
        if not excused and difference.row != "data.prepared_sha256":
            problems.append(_became(difference))
    one, other = (_fields(folder / "tables/results.csv") for folder in both)
    for difference in _compare_fields("tables/results.csv", one, other):
        global_neurons = one.get((difference.row, "scope")) == "global" and (
            one.get((difference.row, "level")) == "neuron"
        )
        exact = EXACT if global_neurons else EXACT + EXACT_SIZES
        if difference.column in exact:
            problems.append(_became(difference))
        elif difference.column in rows.COLUMNS:
            problem = rows.field_problem(difference.column, difference.regenerated)
            problems += [f"{_became(difference)}, {problem}"] if problem else []
    for table, mean, low, high in (
        ("accuracy", "accuracy_mean", "accuracy_ci_low", "accuracy_ci_high"),
        ("claims", "effect_points", "ci_low", "ci_high"),
    ):
        one, other = (_fields(folder / f"tables/{table}.csv") for folder in both)
        for cell in dict.fromkeys(row for row, _ in [*one, *other]):
            before, after = (_interval(fields, cell, mean, low, high) for fields in (one, other))
            if before is None or after is None:
                if before != after:
                    problems.append(f"{table}.csv, {cell}: has no valid {mean} on one side")
                continue
            distance = abs(before[0] - after[0])
            overlap = before[1] <= after[2] and after[1] <= before[2]
            if not (distance <= TOLERANCE_POINTS or overlap):
                change = f"{before[0]:.2f} became {after[0]:.2f}"
                problems.append(f"{table}.csv, {cell}: {mean} {change}")
    return problems


def _became(difference: Difference) -> str:
    place = ", ".join(part for part in (difference.row, difference.column) if part)
    return f"{difference.file}, {place}: {difference.committed} became {difference.regenerated}"


def _interval(
    fields: Fields, cell: str, mean: str, low: str, high: str
) -> tuple[float, float, float] | None:
    """Mean and interval of a cell; the interval is the mean where one replicate gives none. None
    if they are not numbers, or the mean is not within the interval.
    """
    try:
        middle = float(fields[cell, mean])
        ends = [float(fields.get((cell, end)) or middle) for end in (low, high)]
    except (KeyError, ValueError):
        return None
    valid = math.isfinite(middle) and ends[0] <= middle <= ends[1]
    return (middle, ends[0], ends[1]) if valid else None


def verdict_changes(committed: Path, regenerated: Path) -> list[str]:
    """The claims whose verdict changed, one line each."""
    tables = [_fields(folder / "tables/claims.csv") for folder in (committed, regenerated)]
    changes = []
    for row, column in dict.fromkeys([*tables[0], *tables[1]]):
        if column == "verdict":
            before, after = (table.get((row, column), "missing") for table in tables)
            if before != after:
                changes.append(f"{row}: {before} became {after}")
    return changes


def device(folder: Path) -> dict[str, str] | None:
    """The type of machine that made a published folder; None if it does not say."""
    try:
        machine = json.loads((folder / PROVENANCE).read_bytes())["device"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    valid = isinstance(machine, dict) and all(isinstance(text, str) for text in machine.values())
    return machine if valid else None
