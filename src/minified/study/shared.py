"""Which rows the specifications of a study share."""

from pathlib import Path

from minified.study.methods import Job
from minified.study.paths import Paths
from minified.study.studies import Study


def rows(study: Study, paths: Paths) -> dict[Path, dict[str, Job | None]]:
    """Every file with rows of some specification, once: for which specifications it is, and for
    which job of theirs. The job is None for the baselines.
    """
    files: dict[Path, dict[str, Job | None]] = {}
    for name in study.specified:
        own = paths.under(name)
        files.setdefault(own.baseline_rows, {})[name] = None
        for job in study.under(name).jobs():
            files.setdefault(own.rows(job), {})[name] = job
    return files
