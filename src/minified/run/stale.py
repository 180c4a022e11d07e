"""Which results of a study are to be made again, since today they would not be made as they were.

Snakemake sees edits of the settings, and of the files that jobs read. It does not see an edit of a
source file, or a stage that was run by hand under another study. The records of the jobs
(`minified.run.records`) tell. Nothing is written here, so that a command which only looks at a
study sees the same jobs as one that runs it.
"""

import base64
import json
import sys
from pathlib import Path

from minified.analysis import publish
from minified.run.job import Task
from minified.run.lock import RECORDS
from minified.run.records import FOLLOWS, Records
from minified.study.paths import Paths
from minified.study.studies import Study

_SHOWN = 5


class Stale:
    """Looks at the files of one job after another."""

    def __init__(self, study: Study, paths: Paths):
        self._records = Records(study, paths)
        self._paths = paths
        self._files: dict[str, list[str]] = {}
        self._found = 0

    def files(self, job: Task) -> list[str]:
        """The files of a job if they are to be made again; none if they may stay.

        The reason is printed, for the first few jobs that do not just follow from others.
        """
        if job.name not in self._files:
            problem = self._problem(job)
            self._files[job.name] = list(map(str, job.outputs)) if problem else []
            if problem and FOLLOWS not in problem:
                self._report(problem)
        return self._files[job.name]

    def _problem(self, job: Task) -> str | None:
        if found := self._records.problem(job):
            return f"{found[0]}: {found[1]}"
        for output in job.outputs:
            if _cut_off(output):
                return f"{output}: Snakemake's record of it was cut off"
        if job.stage == "publish" and (file := publish.altered(self._paths)):
            return f"{file}: was altered or deleted after it was published"
        return None

    def _report(self, problem: str) -> None:
        self._found += 1
        if self._found <= _SHOWN:
            print(f"minified: made again, with what follows: {problem}", file=sys.stderr)
        elif self._found == _SHOWN + 1:
            print("minified: made again, with what follows: and more", file=sys.stderr)


def _cut_off(file: Path) -> bool:
    """Whether Snakemake's record of a file cannot be read, as after a power cut."""
    name = base64.urlsafe_b64encode(str(file).encode()).decode()
    try:
        json.loads((RECORDS / "metadata" / name).read_bytes())
    except OSError:
        return False  # none, as of a stage by hand: our own records are enough
    except ValueError:
        return True
    return False
