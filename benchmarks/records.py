"""Goal 10: what the records of the default study's jobs cost, against what its jobs compute.

For every job of a finished run: the processor time to check the records that it follows from, to
begin its own and to write it, as the job does; and once what a run spends to look for stale
results. Against the processor time in the logs of the same jobs.
`python benchmarks/records.py`, after `make reproduce`: prints its row, writes it to records.md; the
results stay as they are.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import common
import dag
from common import Row

from minified.foundations import files
from minified.run import sources, tasks
from minified.run.records import Records
from minified.run.stale import Stale
from minified.study import studies
from minified.study.paths import Paths

STUDY = "digits"


def measure(options: argparse.Namespace) -> list[Row]:
    """The rows of the table; needs results/digits."""
    kept = Paths(STUDY)
    if not kept.published.is_file():
        raise SystemExit(f"{kept.published}: not there; run `make reproduce` first")
    own = dag.compute(kept.logs).seconds
    study = studies.load(STUDY)
    with tempfile.TemporaryDirectory() as folder:
        paths = Paths(STUDY, Path(folder))
        shutil.copytree(kept.root, paths.root)
        last = tasks.task(study, paths, "publish")
        jobs = [*Records(study, paths).ancestors(last), last]
        for job in jobs:  # as the warm interpreter has done, before it forks a job
            for source in job.sources:
                sources.digest(source)
        begun = time.process_time()
        for job in jobs:
            records = Records(study, paths)  # a job starts with none in memory
            records.check(job)
            records.write(records.begin(job), {})
        of_jobs = time.process_time() - begun
        begun = time.process_time()
        looks = Stale(study, paths)
        for job in jobs:
            looks.files(job)
        of_run = time.process_time() - begun
    row = Row(
        10,
        f"{len(jobs)} jobs: check, begin, write; and one look for stale results",
        ours=of_jobs + of_run,
        against="the jobs' own processor time",
        theirs=own,
        unit="s",
        most=0.02,
    )
    if not options.quick:
        write(row)
    return [row]


def write(row: Row) -> None:
    """The row as a page that the documentation links to."""
    text = (
        f"# What records cost\n\nMeasured on {common.machine()}. Processor time of all jobs."
        " Made by `python benchmarks/records.py`.\n\n"
    )
    text += common.markdown(common.COLUMNS, [row.cells()])
    file = Path(__file__).with_suffix(".md")
    files.write_text(file, common.wrapped(text), checksum=False)


if __name__ == "__main__":
    common.main(measure, common.parser(__doc__))
