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
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minified import files
from minified.errors import MinifiedError
from minified.paths import Paths
from minified.study import Study

IDENTICAL, TOLERATED, DIFFERENT = "identical", "tolerated", "different"
STATUS = {IDENTICAL: 0, TOLERATED: 0, DIFFERENT: 3}
"""Exit statuses; 1 is that the comparison could not be made."""

_MACHINE = "machine"
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
    place = folder or Path(tempfile.mkdtemp(prefix=f"minified-verify-{study.name}-"))
    committed = _committed(study, place)
    print(f"regenerating {study.name} in {place}", flush=True)
    _regenerate(study, cores, place)
    differences = compare(committed, place / Paths(study.name).publication)
    outcome = tell(committed, place / Paths(study.name).publication, differences)
    if differences:
        report = place / "differences.csv"
        files.write_rows(report, COLUMNS, [vars(d) for d in differences], checksum=False)
        print(f"all differences: {report}; what was regenerated is kept beside it")
    elif folder is None:
        shutil.rmtree(place)
    return outcome


def _committed(study: Study, place: Path) -> Path:
    """The figures as the repository's last commit has them, in a folder to compare with.

    Where there is no such commit (a study of one's own, an unpacked archive) the folder itself.
    """
    source = Paths(study.name).publication
    target = place / "committed"
    names = _git("ls-tree", "-r", "-z", "--name-only", "HEAD", f"./{source}")
    if not names:
        if not source.is_dir():
            raise MinifiedError(f"{source}: nothing to compare with; run the workflow first")
        print(f"{source} is not committed: comparing with the folder as it is")
        return source
    shutil.rmtree(target, ignore_errors=True)
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
    place.mkdir(parents=True, exist_ok=True)
    # In a file, since `--config` would read some paths as something else than text.
    config = place / "verify.json"
    files.write_text(config, json.dumps({"study": str(study.file.absolute())}), checksum=False)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    command = [
        *(sys.executable, "-m", "snakemake", str(Paths(study.name).published)),
        *("--snakefile", "Snakefile", "--directory", str(place), "--cores", cores),
        *("--quiet", "host", "rules", "reason"),
        *("--configfile", str(config)),
    ]
    done = subprocess.run(command, env=os.environ | {"PATH": path}, stdout=sys.stderr, check=False)
    if done.returncode != 0:
        raise MinifiedError(
            f"study {study.name} could not be regenerated (see above); to go on from where it"
            f" stopped: minified verify {study.file} --folder {place}"
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
    except (ValueError, csv.Error):
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

TOLERANCE_POINTS = 1.0
TOLERANCE = (
    f"each cell's mean test accuracy within {TOLERANCE_POINTS:g} point, or the two 95 % intervals"
    " overlapping; names, counts and seeds the same; no verdict changed"
)


def beyond_tolerance(committed: Path, regenerated: Path) -> list[str]:
    """What another type of machine does not excuse: one line each."""
    found = []
    one, other = (_fields(folder / "tables/results.csv") for folder in (committed, regenerated))
    for difference in _compare_fields("tables/results.csv", one, other):
        if difference.column in EXACT:
            found.append(
                f"results.csv, {difference.row}, {difference.column}: {difference.committed}"
                f" became {difference.regenerated}"
            )
    one, other = (_fields(folder / "tables/accuracy.csv") for folder in (committed, regenerated))
    for cell in dict.fromkeys(row for row, _ in one):
        before, after = (_interval(fields, cell) for fields in (one, other))
        if before is None or after is None:
            found.append(f"accuracy.csv, {cell}: lacks a mean")
            continue
        apart = abs(before[0] - after[0])
        if apart > TOLERANCE_POINTS and (before[1] > after[2] or after[1] > before[2]):
            found.append(
                f"accuracy.csv, {cell}: mean test accuracy {before[0]:.2f} became {after[0]:.2f}"
            )
    return found


def _interval(fields: Fields, cell: str) -> tuple[float, float, float] | None:
    """Mean and 95 % interval of a cell; the mean alone where one replicate gives no interval."""
    try:
        mean = float(fields[cell, "accuracy_mean"])
        low, high = (fields[cell, f"accuracy_ci_{end}"] for end in ("low", "high"))
        return mean, float(low or mean), float(high or mean)
    except (KeyError, ValueError):
        return None


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
        return json.loads((folder / _PROVENANCE).read_bytes())["device"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def tell(committed: Path, regenerated: Path, differences: list[Difference]) -> str:
    """Print the comparison and return its outcome."""
    count = len(_files(committed) | _files(regenerated))
    if not differences:
        print(f"identical: all {count} files, byte for byte")
        return IDENTICAL
    before, after = device(committed), device(regenerated)
    same_type = before is not None and before == after
    unlike = len({difference.file for difference in differences})
    print(f"{unlike} of {count} files differ, in {len(differences)} fields; the furthest apart:")
    furthest = sorted(differences, key=lambda d: -(d.difference or 0.0))
    lines = [tuple(_cell(getattr(d, column)) for column in COLUMNS) for d in furthest[:_SHOWN]]
    widths = [max(map(len, column)) for column in zip(COLUMNS, *lines, strict=True)]
    for cells in (COLUMNS, *lines):
        padded = (f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True))
        print("  " + "  ".join(padded).rstrip())
    if len(differences) > _SHOWN:
        print(f"  ... and {len(differences) - _SHOWN} more")
    print(f"largest difference: {furthest[0].difference or 0.0:.6g}")
    changes = verdict_changes(committed, regenerated)
    for change in changes:
        print(f"verdict changed: {change}")
    if not changes:
        print("no verdict changed")
    if same_type:
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
    return text if len(text) <= 40 else text[:37] + "..."


def _machine(device: Mapping[str, str] | None) -> str:
    if device is None:
        return "a machine that it does not name"
    return " ".join(device[key] for key in sorted(device))
