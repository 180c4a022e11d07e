"""`minified timings`: where a study's time went, from Snakemake's benchmark files.

Time is a fact about a machine, not about the study: no rule calls this verb, no row holds a time,
and what it writes under figures/STUDY/machine is compared with nothing.
"""

import csv
import os
import platform
from collections import defaultdict
from pathlib import Path

from minified import arithmetic, files
from minified.errors import MinifiedError
from minified.paths import Paths
from minified.study import Study

COLUMNS = ("stage", "jobs", "wall_seconds", "cpu_seconds", "longest_job_seconds", "max_rss_mb")


def timings(study: Study, paths: Paths) -> None:
    """Write machine/timings.csv and machine/timings.md beside the study's published tables."""
    root = paths.benchmark("any").parent
    stages: dict[str, list[dict[str, str]]] = defaultdict(list)
    for file in sorted(root.rglob("*.tsv")):
        stages[_stage(file.relative_to(root))].append(_read(file))
    if not stages:
        raise MinifiedError(f"{root}: no benchmark files; run the workflow first")
    rows = [
        {
            "stage": stage,
            "jobs": len(jobs),
            "wall_seconds": round(sum(_number(job, "s") for job in jobs), 1),
            "cpu_seconds": round(sum(_number(job, "cpu_time") for job in jobs), 1),
            "longest_job_seconds": round(max(_number(job, "s") for job in jobs), 1),
            "max_rss_mb": round(max(_number(job, "max_rss") for job in jobs)),
        }
        for stage, jobs in stages.items()
    ]
    rows.sort(key=lambda row: float(str(row["wall_seconds"])), reverse=True)
    folder = paths.publication / "machine"
    files.write_rows(folder / "timings.csv", COLUMNS, rows, checksum=False)
    lines = [
        f"# Where the time of study {study.name} went",
        "",
        f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}. Seconds are"
        " summed over a stage's jobs, each of which starts an interpreter of its own and, but for"
        " the analysis, imports torch; jobs run side by side.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + " --- |" * len(COLUMNS),
        *("| " + " | ".join(str(row[column]) for column in COLUMNS) + " |" for row in rows),
    ]
    files.write_text(folder / "timings.md", "\n".join(lines) + "\n", checksum=False)


def _stage(file: Path) -> str:
    """`retrain/parameter-obd/0.9/scratch.tsv` belongs to the stage `retrain, parameter level`."""
    if file.parts[0] == "retrain":
        return f"retrain, {file.parts[1].partition('-')[0]} level"
    return file.parts[0].removesuffix(".tsv").replace("_", " ")


def _read(file: Path) -> dict[str, str]:
    with open(file, encoding="utf-8", newline="") as stream:
        # A run that was killed may have left a file without its line.
        return next(csv.DictReader(stream, delimiter="\t"), {})


def _number(job: dict[str, str], column: str) -> float:
    # Jobs too short to be sampled have "NA" or "-".
    try:
        return float(job.get(column, ""))
    except ValueError:
        return 0.0


def _processor() -> str:
    model = arithmetic.processor().get("model name")
    return model or platform.processor() or platform.machine()
