"""`minified aggregate`: all rows of a study in one table, complete or refused."""

import csv
from pathlib import Path

from minified import files
from minified.errors import ArtefactError
from minified.paths import Paths
from minified.rows import COLUMNS
from minified.study import Study


def aggregate(study: Study, paths: Paths) -> None:
    """Write tables/results.csv: baselines first, then every job in the order of the grid.

    Raises:
        ArtefactError: a job's file is missing, or has not exactly one row per replicate.
    """
    rows = _read(paths.baseline_rows, study, {"method": "baseline"})
    for job in study.jobs():
        place = "bits" if job.method == "quantization" else "sparsity"
        expected = {"method": job.method, place: job.place, "regime": job.regime}
        rows += _read(paths.rows(job), study, expected)
    files.write_rows(paths.table("results.csv"), COLUMNS, rows)


def _read(path: Path, study: Study, expected: dict[str, str]) -> list[dict[str, str]]:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            header = reader.fieldnames
    except FileNotFoundError:
        raise ArtefactError(f"{path}: no such file; run its job first") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ArtefactError(f"{path}: cannot be read ({error}); delete it and run again") from None
    mend = "delete it and run again"
    if header is None or tuple(header) != COLUMNS:
        raise ArtefactError(f"{path}: its columns are not those of a row; {mend}")
    found = [row["replicate"] for row in rows]
    if found != [str(r) for r in range(study.replicates)]:
        raise ArtefactError(
            f"{path}: has replicates {', '.join(found) or 'none'},"
            f" not 0 to {study.replicates - 1} once each; {mend}"
        )
    for row in rows:
        for column, value in {"study": study.name, **expected}.items():
            if row[column] != value:
                raise ArtefactError(f"{path}: {column} is {row[column]!r}, not {value!r}; {mend}")
        if None in row or any(value is None for value in row.values()):
            raise ArtefactError(f"{path}: a line has not one field per column; {mend}")
    return rows
