"""`minified verify`: regenerate a study elsewhere and compare it with what is committed.

On the same type of machine every byte must be the same. On another one float sums may differ in
their last bits, which training amplifies: there, whole numbers and names must still be the same,
and measured numbers are compared within `Tolerance`.
"""

import csv
import io
import json
import math
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minified import files, plain, rows, running
from minified.errors import MinifiedError
from minified.paths import Paths
from minified.study import DATA_VARIABLE, Study

IDENTICAL, TOLERATED, DIFFERENT = "identical", "tolerated", "different"
STATUS = {IDENTICAL: 0, TOLERATED: 0, DIFFERENT: 3}
"""Exit statuses; 1 is that the comparison could not be made."""

_MACHINE = "machine"
_MARK = ".minified-verify"
_PROVENANCE = "provenance.json"
_SHOWN = 20
# The columns that say which row of a table it is, in whatever table has them.
_KEYS = (
    *("method", "sparsity", "bits", "regime", "replicate"),
    *("claim", "part", "level", "place"),
)
COLUMNS = ("file", "row", "column", "committed", "regenerated", "difference")


@dataclass(frozen=True)
class Difference:
    """One field of a table, or one whole file, that is not the same; `difference` of numbers."""

    file: str
    row: str
    column: str
    committed: str
    regenerated: str
    difference: float | None = None


def verify(study: Study, cores: str, folder: Path | None) -> str:
    """Regenerate `study` in `folder` (or a temporary one), compare, tell; return the outcome.

    Raises:
        MinifiedError: there is nothing to compare with, or the study could not be regenerated.
    """
    for needed in ("Snakefile", "figures"):
        if not Path(needed).exists():
            raise MinifiedError(f"{needed}: not here; run this in the repository")
    if cores != "all" and not (cores.isdecimal() and int(cores) > 0):
        raise MinifiedError(f"--cores {cores}: must be a number from 1, or all")
    place = _place(study, folder)
    running.hold(place / _MARK)
    committed = _committed(study, place / "committed")
    print(f"regenerating {study.name} in {place}", flush=True)
    _regenerate(study, cores, place)
    regenerated = place / Paths(study.name).publication
    differences = compare(committed, regenerated)
    if differences:
        report = place / "differences.csv"
        files.write_rows(report, COLUMNS, [vars(d) for d in differences], checksum=False)
        print(f"all differences: {report}; what was regenerated is kept beside it")
    outcome = tell(committed, regenerated, differences)
    if folder is None and not differences:
        shutil.rmtree(place)
    return outcome


def _place(study: Study, folder: Path | None) -> Path:
    """Where to work: a new folder, an empty one, or one that an earlier comparison began."""
    if folder is None:
        return Path(tempfile.mkdtemp(prefix=f"minified-verify-{study.name}-"))
    if folder.exists() and not (folder / _MARK).exists() and any(folder.iterdir()):
        raise MinifiedError(
            f"--folder {folder}: must be new, empty, or that of an earlier comparison"
        )
    return folder


def _committed(study: Study, target: Path) -> Path:
    """Copy the figures to compare with to `target`: as the repository's last commit has them.

    Where no commit has them (a study of one's own, an unpacked archive), as they lie there.
    """
    source = Paths(study.name).publication
    shutil.rmtree(target, ignore_errors=True)
    names = _git("ls-tree", "-r", "-z", "--name-only", "HEAD", f"./{source}")
    if not names:
        if not source.is_dir():
            raise MinifiedError(f"{source}: nothing to compare with; run the workflow first")
        print(f"{source} is not committed: comparing with the folder as it is")
        shutil.copytree(source, target)
        return target
    for name in names.decode().rstrip("\0").split("\0"):
        file = target / Path(name).relative_to(source)
        file.parent.mkdir(parents=True, exist_ok=True)
        content = _git("show", f"HEAD:./{name}")
        if content is None:
            raise MinifiedError(f"{name}: git cannot show it as committed")
        file.write_bytes(content)
    return target


def _git(*arguments: str) -> bytes | None:
    """What git prints, or None if it cannot."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, check=False)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def _regenerate(study: Study, cores: str, place: Path) -> None:
    """Run the workflow up to its published figures, with `place` as working folder."""
    # In a file, since `--config` would read some paths as something else than text.
    config = place / "verify.json"
    files.write_text(config, json.dumps({"study": str(study.file.absolute())}), checksum=False)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    # A caller's own profile may say anything, `dry-run` for one.
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SNAKEMAKE_")}
    # A data root below this folder is not below the other.
    kept |= {"PATH": path, DATA_VARIABLE: str(study.raw_data.absolute())}
    command = [
        *(sys.executable, "-m", "snakemake", str(Paths(study.name).published)),
        *("--snakefile", "Snakefile", "--directory", str(place), "--cores", cores),
        *("--workflow-profile", "workflow/profiles/default"),
        *("--quiet", "host", "rules", "reason", "--configfile", str(config)),
    ]
    done = subprocess.run(command, env=kept, stdout=sys.stderr, check=False)
    if done.returncode != 0:
        again = shlex.join(["minified", "verify", str(study.file), "--folder", str(place)])
        raise MinifiedError(
            f"study {study.name} could not be regenerated (see above); to go on from where it"
            f" stopped: {again}"
        )


def compare(committed: Path, regenerated: Path) -> list[Difference]:
    """What differs between two published folders; machine/ is left out."""
    both = [_files(committed), _files(regenerated)]
    found: list[Difference] = []
    for name in sorted(both[0] | both[1]):
        one, other = committed / name, regenerated / name
        if name not in both[0] or name not in both[1]:
            said = ["there" if name in here else "missing" for here in both]
            found.append(Difference(name, "", "", said[0], said[1]))
        elif one.read_bytes() != other.read_bytes():
            before, after = (f"SHA-256 {files.sha256(file)}" for file in (one, other))
            told = _compare_fields(name, _fields(one), _fields(other))
            found += told or [Difference(name, "", "", before, after)]
    return found


def _files(folder: Path) -> set[str]:
    found = (f.relative_to(folder) for f in folder.rglob("*") if f.is_file())
    return {f.as_posix() for f in found if f.parts[0] != _MACHINE}


Fields = Mapping[tuple[str, str], str]


def _fields(file: Path) -> Fields:
    """A table's (or the provenance's) fields by row and column; nothing for other files."""
    try:
        if file.suffix == ".csv":
            return _table(file.read_text(encoding="utf-8"))
        if file.name == _PROVENANCE:
            return {(key, ""): value for key, value in _flat(json.loads(file.read_bytes()))}
    except (OSError, ValueError, csv.Error):
        pass
    return {}


def _table(text: str) -> Fields:
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    found: dict[tuple[str, str], str] = {}
    seen: dict[str, int] = {}
    for row in rows:
        # A method's name begins with its level.
        keys = [key for key in _KEYS if row.get(key) and not (key == "level" and "method" in row)]
        name = " ".join(row[key] for key in keys)
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            name = f"{name} #{seen[name]}"
        found |= {(name, str(column)): str(value) for column, value in row.items()}
    return found


def _flat(value: Any, prefix: str = "") -> Iterable[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix, json.dumps(value)


def _compare_fields(name: str, one: Fields, other: Fields) -> list[Difference]:
    found = []
    for row, column in [*one, *(place for place in other if place not in one)]:
        values = one.get((row, column), "missing"), other.get((row, column), "missing")
        if values[0] != values[1]:
            found.append(Difference(name, row, column, *values, _distance(*values)))
    return found


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
"""Columns of results.csv that no rounding can change."""

EXACT_SIZES = ("parameters_kept", "flops_dense", "bytes_dense")
"""Neither can it change these, unless neurons of all layers were ranked together."""

TOLERANCE_POINTS = 1.0
TOLERANCE = (
    f"each cell's mean test accuracy, and each claim's effect, within {TOLERANCE_POINTS:g} point or"
    " the two intervals overlapping; configuration, data, packages, names, counts and seeds the"
    " same; no verdict changed"
)


def beyond_tolerance(committed: Path, regenerated: Path) -> list[str]:
    """What another type of machine does not excuse: one line each."""
    both = committed, regenerated
    names = [_files(folder) for folder in both]
    found = [f"{name}: there on one side only" for name in sorted(names[0] ^ names[1])]
    one, other = (_fields(folder / _PROVENANCE) for folder in both)
    for difference in _compare_fields(_PROVENANCE, one, other):
        key = difference.row.partition(".")[0]
        # What a package needs differs by platform; what both have must be the same.
        absent = "missing" in (difference.committed, difference.regenerated)
        excused = key == "device" or (key == "packages" and absent)
        if not excused and difference.row != "data.prepared_sha256":
            found.append(_became(difference))
    one, other = (_fields(folder / "tables/results.csv") for folder in both)
    for difference in _compare_fields("tables/results.csv", one, other):
        global_neurons = one.get((difference.row, "scope")) == "global" and (
            one.get((difference.row, "level")) == "neuron"
        )
        exact = EXACT if global_neurons else EXACT + EXACT_SIZES
        if difference.column in exact:
            found.append(_became(difference))
        elif difference.column in rows.COLUMNS:
            problem = rows.field_problem(difference.column, difference.regenerated)
            found += [f"{_became(difference)}, {problem}"] if problem else []
    for table, mean, low, high in (
        ("accuracy", "accuracy_mean", "accuracy_ci_low", "accuracy_ci_high"),
        ("claims", "effect_points", "ci_low", "ci_high"),
    ):
        one, other = (_fields(folder / f"tables/{table}.csv") for folder in both)
        for cell in dict.fromkeys(row for row, _ in [*one, *other]):
            before, after = (_interval(fields, cell, mean, low, high) for fields in (one, other))
            if before is None or after is None:
                if before != after:
                    found.append(f"{table}.csv, {cell}: has no sound {mean} on one side")
                continue
            apart = abs(before[0] - after[0])
            overlap = before[1] <= after[2] and after[1] <= before[2]
            if not (apart <= TOLERANCE_POINTS or overlap):
                found.append(f"{table}.csv, {cell}: {mean} {before[0]:.2f} became {after[0]:.2f}")
    return found


def _became(difference: Difference) -> str:
    place = ", ".join(part for part in (difference.row, difference.column) if part)
    return f"{difference.file}, {place}: {difference.committed} became {difference.regenerated}"


def _interval(
    fields: Fields, cell: str, mean: str, low: str, high: str
) -> tuple[float, float, float] | None:
    """Mean and interval of a cell; the mean alone where one replicate gives no interval; None if
    they are no numbers, or not in that order.
    """
    try:
        middle = float(fields[cell, mean])
        ends = [float(fields.get((cell, end)) or middle) for end in (low, high)]
    except (KeyError, ValueError):
        return None
    sound = math.isfinite(middle) and ends[0] <= middle <= ends[1]
    return (middle, ends[0], ends[1]) if sound else None


def verdict_changes(committed: Path, regenerated: Path) -> list[str]:
    """The claims whose verdict is another one: one line each."""
    tables = [_fields(folder / "tables/claims.csv") for folder in (committed, regenerated)]
    found = []
    for row, column in dict.fromkeys([*tables[0], *tables[1]]):
        if column == "verdict":
            before, after = (table.get((row, column), "missing") for table in tables)
            if before != after:
                found.append(f"{row}: {before} became {after}")
    return found


def device(folder: Path) -> dict[str, str] | None:
    """The type of machine that made a published folder; None if it does not say."""
    try:
        found = json.loads((folder / _PROVENANCE).read_bytes())["device"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    sound = isinstance(found, dict) and all(isinstance(value, str) for value in found.values())
    return found if sound else None


def tell(committed: Path, regenerated: Path, differences: list[Difference]) -> str:
    """Print the comparison and return its outcome."""
    count = len(_files(committed) | _files(regenerated))
    if not differences:
        print(f"identical: all {count} files, byte for byte")
        return IDENTICAL
    before, after = device(committed), device(regenerated)
    unlike = len({difference.file for difference in differences})
    print(f"{unlike} of {count} files differ, in {len(differences)} fields; the furthest apart:")
    # What the study was made from comes first: it may explain the rest.
    furthest = sorted(differences, key=lambda d: (d.file != _PROVENANCE, -(d.difference or 0.0)))
    lines = [tuple(_cell(getattr(d, column)) for column in COLUMNS) for d in furthest[:_SHOWN]]
    widths = [max(map(len, column)) for column in zip(COLUMNS, *lines, strict=True)]
    for cells in (COLUMNS, *lines):
        padded = (f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True))
        print("  " + "  ".join(padded).rstrip())
    if len(differences) > _SHOWN:
        print(f"  ... and {len(differences) - _SHOWN} more")
    largest = max(difference.difference or 0.0 for difference in differences)
    print(f"largest difference: {largest:.6g}")
    changes = verdict_changes(committed, regenerated)
    for change in changes:
        print(f"verdict changed: {change}")
    if not changes:
        print("no verdict changed")
    if before is None or after is None:
        print(f"{_PROVENANCE} does not say what type of machine made them: not excused")
        return DIFFERENT
    if before == after:
        return DIFFERENT
    print(f"made on {_machine(before)}; this is {_machine(after)}: float sums may differ there")
    beyond = beyond_tolerance(committed, regenerated)
    for line in beyond[:_SHOWN]:
        print(f"beyond the tolerance: {line}")
    if len(beyond) > _SHOWN:
        print(f"  ... and {len(beyond) - _SHOWN} more")
    outcome = DIFFERENT if beyond or changes else TOLERATED
    print(f"{'not ' if outcome == DIFFERENT else ''}within the tolerance: {TOLERANCE}")
    return outcome


def _cell(value: Any) -> str:
    text = "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)
    return plain.cut(text, 40)


def _machine(device: Mapping[str, str]) -> str:
    return " ".join(device[key] for key in sorted(device))
