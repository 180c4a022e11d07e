"""`minified timings`: where a study's time went, from the last lines of its jobs' logs.

Times depend on the machine, not on the study alone. So no rule calls this verb, no row has a time,
and `minified verify` does not compare what it writes under figures/STUDY/machine.
"""

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from minified.foundations import arithmetic, files
from minified.foundations.errors import MinifiedError
from minified.run import tasks
from minified.run.clock import Spent
from minified.run.job import Task
from minified.run.records import Records
from minified.study.paths import Paths
from minified.study.specifications import BASE
from minified.study.studies import Study

WILDCARDS = ("method", "sparsity", "bits", "regime", "level", "removal", "figure")
JOB_COLUMNS = (
    "specification",
    "stage",
    *WILDCARDS,
    "wall_seconds",
    "cpu_seconds",
    "memory_mb",
    "imports",
)
WHOLE = "all"
"""In the column `block`: a job that puts the blocks together, or that knows none."""
COLUMNS = ("stage", "jobs", "wall_seconds", "cpu_seconds", "longest_job_seconds", "max_rss_mb")


def timings(study: Study, paths: Paths) -> None:
    """Write machine/jobs.csv (one line per job), machine/timings.csv and machine/timings.md (one
    line per stage) beside the study's published tables.

    Where replicates are done in blocks, the line of a job says of which.

    Logs that jobs of an earlier grid have left count nowhere.

    Raises:
        MinifiedError: no job of the study has a log that says what it took.
    """
    names = list(dict.fromkeys([BASE, *study.specified]))
    done = sorted(
        _done(study, paths), key=lambda one: (names.index(one.task.specification), one.place)
    )
    stages: dict[str, list[Spent]] = {}
    for one in done:
        stages.setdefault(one.title, []).append(one.spent)
    if not stages:
        raise MinifiedError(f"{paths.logs}: no log of a finished job; run the workflow first")
    rows = [
        {
            "stage": stage,
            "jobs": len(jobs),
            "wall_seconds": round(sum(job.wall for job in jobs), 1),
            "cpu_seconds": round(sum(job.processor for job in jobs), 1),
            "longest_job_seconds": round(max(job.wall for job in jobs), 1),
            "max_rss_mb": round(max(job.memory for job in jobs)),
        }
        for stage, jobs in stages.items()
    ]
    rows.sort(key=lambda row: float(str(row["wall_seconds"])), reverse=True)
    folder = paths.publication / "machine"
    lines_of_jobs = [one.line for one in done]
    columns = [*JOB_COLUMNS]
    if study.blocks:
        columns.insert(2, "block")
    files.write_rows(folder / "jobs.csv", columns, lines_of_jobs, checksum=False)
    files.write_rows(folder / "timings.csv", COLUMNS, rows, checksum=False)
    alone = sum(not job.imported for jobs in stages.values() for job in jobs)
    lines = [
        f"# Where the time of study {study.name} went",
        "",
        f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}. Seconds are"
        " summed over a stage's jobs, which run side by side. What the run's warm interpreter"
        f" imported for its jobs is not in them; {alone or 'no'} jobs did that on their own.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + " --- |" * len(COLUMNS),
        *("| " + " | ".join(str(row[column]) for column in COLUMNS) + " |" for row in rows),
    ]
    files.write_text(folder / "timings.md", "\n".join(lines) + "\n", checksum=False)


@dataclass(frozen=True)
class _Done:
    """A job that has finished, and what it took."""

    task: Task
    spent: Spent
    in_blocks: bool
    """Whether it is of a study whose replicates are done in blocks."""

    @property
    def place(self) -> tuple[int, list[str], int]:
        """Where it stands in the list: stages in their order, then by wildcards and blocks."""
        wildcards = [self.task.options.get(name, "") for name in WILDCARDS]
        block = int(self.task.block.partition("-")[0] or -1)
        return list(tasks.STAGES).index(self.task.stage), wildcards, block

    @property
    def title(self) -> str:
        """What its times are added up under: the stage, by level where it prunes."""
        if self.task.parts:
            return f"{self.task.stage}, put together"
        if self.task.stage in ("iterate", "retrain"):
            return f"{self.task.stage}, {self.task.options['method'].partition('-')[0]} level"
        return self.task.stage

    @property
    def line(self) -> dict[str, Any]:
        """Its line of jobs.csv."""
        return {
            "specification": self.task.specification,
            "stage": self.task.stage,
            **({"block": self.task.block or WHOLE} if self.in_blocks else {}),
            **self.task.options,
            "wall_seconds": self.spent.wall,
            "cpu_seconds": self.spent.processor,
            "memory_mb": round(self.spent.memory),
            "imports": "" if self.spent.imported else "yes",
        }


def _done(study: Study, paths: Paths) -> Iterator[_Done]:
    """The jobs of the study that have finished; one that specifications share, once."""
    published = tasks.task(study, paths, "publish")
    jobs = [*Records(study, paths).ancestors(published), published]
    for job in [*jobs, Task("notebook", {}, {}, [])]:
        if spent := Spent.read(paths.log(job.name)):
            yield _Done(job, spent, bool(study.blocks))


def _processor() -> str:
    model = arithmetic.processor().get("model name")
    return model or platform.processor() or platform.machine()
