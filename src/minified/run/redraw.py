"""`minified figures STUDY --from DIR`: draw a published study's figures from its tables alone.

    redraw(study, Path("figures/digits"))

It reads DIR/tables and writes DIR/NAME.svg, .pdf and .png, with the bytes that `publish` put there.
It reads no results, needs no records, and computes nothing.
"""

import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minified.analysis import figures as drawing
from minified.analysis.catalogue import FIGURES, FORMATS, figure_names
from minified.analysis.publish import refuse
from minified.analysis.records import (
    CORRELATION_COLUMNS,
    SCATTER_COLUMNS,
    SCATTER_REPLICATES,
    SPECIFIED_COLUMNS,
)
from minified.foundations import arithmetic, files
from minified.foundations.errors import ArtefactError, MinifiedError
from minified.run import tasks
from minified.run.edits import edit
from minified.study.paths import Paths
from minified.study.rows import COLUMNS
from minified.study.studies import Study

_BY_METHOD = {"damage.csv": CORRELATION_COLUMNS, "damage_scatter.csv": SCATTER_COLUMNS}
"""Tables that have a row per method and replicate, and their columns."""


@dataclass(frozen=True)
class _Published(Paths):
    """A published folder as a source of tables, and another folder for what is drawn."""

    folder: Path = Path()
    drawn: Path = Path()

    def table(self, name: str) -> Path:
        return self.folder / "tables" / name

    def figure(self, name: str, kind: str) -> Path:
        return self.drawn / f"{name}.{kind}"


def redraw(study: Study, folder: Path, names: Sequence[str] = ()) -> None:
    """Draw the named figures, or all of the study's, from the tables in `folder` into it.

    Nothing in `folder` changes before all of them are drawn.

    Raises:
        MinifiedError: no such folder or figure, a link in the way, or tables that are missing,
            damaged, or of another study.
    """
    if not folder.exists():
        raise MinifiedError(f"--from {folder}: no such folder")
    known = figure_names(study)
    for name in names:
        if name not in known:
            raise MinifiedError(f"--figure {name}: study {study.name} has {', '.join(known)}")
    chosen = list(names) or known
    wanted = [folder / f"{name}.{kind}" for name in chosen for kind in FORMATS]
    for place in (folder, folder / "tables"):
        refuse(place, Path.is_dir, "a folder")
    for file in wanted:
        refuse(file, Path.is_file, "a file")
    arithmetic.pin()
    tables = {table for name in chosen for table in FIGURES[name].tables}
    for table in sorted(tables):
        refuse(folder / "tables" / table, Path.is_file, "a file")
        files.read_text(folder / "tables" / table)
    _same_study(study, folder, chosen)
    for table in sorted(tables):
        _complete(study, folder / "tables" / table)
    files.sweep(folder, deep=False)
    with files.partial_folder(folder / "redrawn") as drawn:
        paths = _Published(study.name, folder=folder, drawn=drawn)
        for name in chosen:
            _draw(study, paths, name)
        for file in wanted:
            with files.replacing(file, checksum=False) as temporary:
                shutil.copyfile(drawn / file.name, temporary)


def _draw(study: Study, paths: _Published, name: str) -> None:
    """Draw one figure; what a drawing stumbles over is in its tables."""
    try:
        drawing.figures(study, paths, [name])
    except (ArtefactError, OSError, MemoryError):
        raise
    except Exception as error:
        tables = ", ".join(str(paths.table(table)) for table in FIGURES[name].tables)
        problem = " ".join(str(error).split())[:200]
        raise MinifiedError(
            f"figure {name}: cannot be drawn from {tables} ({type(error).__name__}: {problem});"
            " restore the published tables"
        ) from error


def _same_study(study: Study, folder: Path, names: Sequence[str]) -> None:
    """Refuse tables that were published for another study, or under other settings.

    Raises:
        MinifiedError: names the file and what differs.
    """
    file = folder / "provenance.json"
    refuse(file, Path.is_file, "a file")
    try:
        record = json.loads(files.read_text(file))
        name, configuration = record["study"], dict(record["configuration"])
    except (ValueError, LookupError, TypeError):
        raise ArtefactError(file, "is not the provenance of a study") from None
    if name != study.name:
        raise MinifiedError(f"{file}: is of study {name}, not {study.name}")
    paths = Paths(study.name)
    for figure in names:
        now = tasks.task(study, paths, "figures", figure=figure).settings
        plain = {key: value for key, value in now.items() if key in configuration}
        then = {key: configuration[key] for key in plain}
        if difference := edit(then, _as_json(plain)):
            raise MinifiedError(f"{file}: the tables were made under other settings: {difference}")


def _complete(study: Study, file: Path) -> None:
    """Refuse a table of another study, or one that lacks a job, a method, a replicate or a
    specification.

    Raises:
        MinifiedError: names the file and what it lacks.
    """
    numbers = range(study.replicates)
    if file.name == "results.csv":
        rows = files.read_rows(file, COLUMNS)
        if others := sorted({row["study"] for row in rows} - {study.name}):
            raise MinifiedError(f"{file}: is of study {others[0]}, not {study.name}")
        jobs = [f"{job.method} {job.place} {job.regime}" for job in study.jobs()]
        wanted = ["baseline  train", *jobs]
    elif (columns := _BY_METHOD.get(file.name)) is not None:
        rows = files.read_rows(file, columns)
        wanted = [f"{method}  " for method in study.methods]
        numbers = study.damaged
        if columns is SCATTER_COLUMNS:
            numbers = numbers[:SCATTER_REPLICATES]
    elif file.name == "specifications.csv":
        _every_specification(study, file)
        return
    else:
        return
    found = {(_job(row), row["replicate"]) for row in rows}
    for job in wanted:
        for replicate in numbers:
            if (job, str(replicate)) not in found:
                words = " ".join(job.split())
                raise ArtefactError(file, f"has no row of {words}, replicate {replicate}")


def _every_specification(study: Study, file: Path) -> None:
    """Refuse a table that has not every claim under every specification, and each line once."""
    # Not above: it imports numpy, before which `redraw` must pin its arithmetic.
    from minified.analysis.claims.catalogue import CLAIMS

    rows = files.read_rows(file, SPECIFIED_COLUMNS)
    lines = [(r["claim"], r["part"], r["level"], r["specification"]) for r in rows]
    if others := [name for *_, name in lines if name not in study.specified]:
        raise ArtefactError(file, f"has a row of specification {others[0]}, unknown here")
    if twice := [line for line, number in Counter(lines).items() if number > 1]:
        raise ArtefactError(file, f"has two rows of {' '.join(filter(None, twice[0]))}")
    there = {(claim, name) for claim, *_, name in lines}
    for name in study.specified:
        for claim in CLAIMS:
            if (claim, name) not in there:
                raise ArtefactError(file, f"has no row of specification {name}, claim {claim}")


def _job(row: Mapping[str, str]) -> str:
    place = row.get("sparsity") or row.get("bits", "")
    return f"{row['method']} {place} {row.get('regime', '')}"


def _as_json(value: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(value))
