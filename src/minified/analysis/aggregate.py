"""`minified aggregate`: all rows of a study in one table, or an error if any is missing."""

from pathlib import Path

from minified.foundations import files
from minified.foundations.errors import ArtefactError
from minified.study.paths import Paths
from minified.study.rows import COLUMNS, field_problem
from minified.study.studies import Study


def aggregate(study: Study, paths: Paths) -> None:
    """Write tables/results.csv: baselines first, then every job in the order of the grid.

    Raises:
        ArtefactError: a job's file is missing or damaged, or has not one valid row per replicate.
    """
    rows = _read(paths.baseline_rows, study, {"method": "baseline"})
    for job in study.jobs():
        place = "bits" if job.method == "quantization" else "sparsity"
        expected = {"method": job.method, place: job.place, "regime": job.regime}
        rows += _read(paths.rows(job), study, expected)
    files.write_rows(paths.table("results.csv"), COLUMNS, rows)


def _read(path: Path, study: Study, expected: dict[str, str]) -> list[dict[str, str]]:
    rows = files.read_rows(path, COLUMNS)
    replicates = [row["replicate"] for row in rows]
    if replicates != [str(r) for r in range(study.replicates)]:
        raise ArtefactError(
            path,
            f"has replicates {', '.join(replicates) or 'none'},"
            f" not 0 to {study.replicates - 1} once each",
        )
    for row in rows:
        for column, value in {"study": study.name, **expected}.items():
            if row[column] != value:
                raise ArtefactError(path, f"{column} is {row[column]!r}, not {value!r}")
        for column, text in row.items():
            if problem := field_problem(column, text):
                raise ArtefactError(path, f"{column} is {text!r}, {problem}")
    return rows
