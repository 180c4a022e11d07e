"""`minified timings`: where a study's time went, from the last lines of its jobs' logs.

Times depend on the machine, not on the study alone. So no rule calls this verb, no row has a time,
and `minified verify` does not compare what it writes under figures/STUDY/machine.
"""

import os
import platform
from collections import defaultdict
from pathlib import Path

from minified.foundations import arithmetic, files
from minified.foundations.errors import MinifiedError
from minified.run.clock import Spent
from minified.study.paths import Paths
from minified.study.studies import Study

COLUMNS = ("stage", "jobs", "wall_seconds", "cpu_seconds", "longest_job_seconds", "max_rss_mb")


def timings(study: Study, paths: Paths) -> None:
    """Write machine/timings.csv and machine/timings.md beside the study's published tables."""
    stages: dict[str, list[Spent]] = defaultdict(list)
    for file in sorted(paths.logs.rglob("*.log")):
        if spent := Spent.read(file):
            stages[_stage(file.relative_to(paths.logs))].append(spent)
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


def _stage(file: Path) -> str:
    """`retrain/parameter-obd/0.9/scratch.log` belongs to the stage `retrain, parameter level`."""
    if file.parts[0] == "retrain":
        return f"retrain, {file.parts[1].partition('-')[0]} level"
    return file.parts[0].removesuffix(".log").replace("_", " ")


def _processor() -> str:
    model = arithmetic.processor().get("model name")
    return model or platform.processor() or platform.machine()
