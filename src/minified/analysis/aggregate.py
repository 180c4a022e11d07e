"""`minified aggregate`: all rows of a study in one table, and all training curves in another."""

from pathlib import Path

from minified.analysis.records import CURVE_COLUMNS
from minified.analysis.trainings import trainings
from minified.foundations import files
from minified.foundations.errors import ArtefactError
from minified.study.methods import Job
from minified.study.paths import Paths
from minified.study.rows import COLUMNS, field_problem
from minified.study.specifications import BASE
from minified.study.studies import Study


def aggregate(study: Study, paths: Paths) -> None:
    """Write tables/results.csv: baselines first, then every job in the order of the grid; and
    tables/curves.csv: the training of the baselines, shared scratch networks, then as the rows.

    Raises:
        ArtefactError: a job's file is missing or damaged, or has not one valid row per replicate,
            or one line per epoch.
    """
    rows = read(paths.baseline_rows, study, None)
    for job in study.jobs():
        rows += read(paths.rows(job), study, job)
    lines = [line for one in trainings(study) for line in one.read(study, paths)]
    files.write_rows(paths.table("results.csv"), COLUMNS, rows)
    files.write_rows(paths.table("curves.csv"), CURVE_COLUMNS, lines)


def read(path: Path, study: Study, job: Job | None, owner: str = BASE) -> list[dict[str, str]]:
    """The rows of a job, as text, or of the baselines if `job` is None.

    `owner`: the specification that the job belongs to.

    Raises:
        ArtefactError: the file is missing or damaged, or has not one valid row per replicate.
    """
    expected = {"study": study.name, "specification": owner, "method": "baseline"}
    if job is not None:
        place = "bits" if job.method == "quantization" else "sparsity"
        expected |= {"method": job.method, place: job.place, "regime": job.regime}
    rows = files.read_rows(path, COLUMNS)
    replicates = [row["replicate"] for row in rows]
    if replicates != [str(r) for r in range(study.replicates)]:
        raise ArtefactError(
            path,
            f"has replicates {', '.join(replicates) or 'none'},"
            f" not 0 to {study.replicates - 1} once each",
        )
    for row in rows:
        for column, value in expected.items():
            if row[column] != value:
                raise ArtefactError(path, f"{column} is {row[column]!r}, not {value!r}")
        for column, text in row.items():
            if problem := field_problem(column, text):
                raise ArtefactError(path, f"{column} is {text!r}, {problem}")
    return rows
