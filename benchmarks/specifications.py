"""How the cost of a study grows with its specifications: linear in what is new.

The default study cut to few jobs, under an axis of learning rates of fine-tuning (its options,
which all cost the same) and one of two scopes: jobs and wall time of the workflow against the
number of options, and of one more option in a study that is finished. The peer is each
specification as a study of its own. Run as `python benchmarks/specifications.py`: prints rows,
writes benchmarks/specifications.csv and .md.
"""

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import common
from common import Row

from minified.foundations import files

NAME = "varied"
EPOCHS = 5
OPTIONS = (1, 2, 4, 8)
# Limit: the cost of one more job, last to first.
MOST_GROWTH = 1.3
COLUMNS = ("options", "specifications", "jobs", "jobs_alone", "wall_seconds", "new_job_seconds")


@dataclass(frozen=True)
class Point:
    """A study with so many options of the budget: its jobs, those of its specifications as studies
    of their own, and the wall time of its workflow.
    """

    options: int
    jobs: int
    alone: int
    seconds: float


def varied(options: int) -> dict[str, Any]:
    """The default study with few jobs, under `options` rates x two scopes."""
    grid = {
        "criteria": ["magnitude", "obd", "obd_sd"],
        "sparsities": [0.9, 0.95, 0.98],
        "regimes": ["fine_tune", "scratch"],
        "scope": "global",
    }
    axes = {
        "rate": {
            f"r{n}": {"recipes.fine_tune.learning_rate": (1 + n) / 1000} for n in range(options)
        },
        "scope": {"global": {}, "layer": {"grid.parameter.scope": "layer"}},
    }
    chosen = {"grid": {"parameter": grid}, "replicates": 5, "damage": {"units": 20}}
    return common.settings(EPOCHS) | chosen | {"specifications": {"axes": axes}}


def point(options: int, alone: int) -> Point:
    with common.working_folder() as folder:
        file = common.write_study(folder, NAME, varied(options))
        seconds, _ = common.workflow(folder, file)
        made = Point(options, common.jobs_done(folder, NAME), 2 * options * alone, seconds)
    common.say(f"{options} options, {made.jobs} jobs: {seconds:.1f} s")
    return made


def one_more(options: int) -> tuple[int, float]:
    """Jobs and seconds of one more option in a study that is finished."""
    with common.working_folder() as folder:
        common.workflow(folder, common.write_study(folder, NAME, varied(options)))
        before = common.jobs_done(folder, NAME)
        seconds, _ = common.workflow(folder, common.write_study(folder, NAME, varied(options + 1)))
        return common.jobs_done(folder, NAME) - before, seconds


def alone() -> tuple[int, float]:
    """Jobs and seconds of one specification as a study of its own."""
    chosen = varied(1)
    del chosen["specifications"]
    with common.working_folder() as folder:
        seconds, _ = common.workflow(folder, common.write_study(folder, NAME, chosen))
        return common.jobs_done(folder, NAME), seconds


def write(points: Sequence[Point], rows: Sequence[Row]) -> None:
    """The points as CSV; points and rows as Markdown."""
    before = [None, *points[:-1]]
    cells = [
        {
            "options": str(one.options),
            "specifications": str(2 * one.options),
            "jobs": str(one.jobs),
            "jobs_alone": str(one.alone),
            "wall_seconds": f"{one.seconds:.1f}",
            "new_job_seconds": f"{(one.seconds - last.seconds) / (one.jobs - last.jobs):.3f}"
            if last
            else "",
        }
        for last, one in zip(before, points, strict=True)
    ]
    file = Path(__file__).with_suffix(".csv")
    files.write_rows(file, COLUMNS, cells, checksum=False)
    text = (
        f"# Specifications\n\nMeasured on {common.machine()}, workflows on {common.CORES} cores, by"
        " the clock. The study has an axis of that many learning rates of fine-tuning and one of"
        " two scopes. `jobs_alone`: the jobs of all its specifications, each as a study of its own."
        " `new_job_seconds`: wall seconds per job that the line above has not. Made by `python"
        " benchmarks/specifications.py`.\n\n"
    )
    text += (
        common.markdown(COLUMNS, cells)
        + "\n"
        + common.markdown(common.COLUMNS, [row.cells() for row in rows])
    )
    files.write_text(file.with_suffix(".md"), common.wrapped(text), checksum=False)


def measure(options: argparse.Namespace) -> list[Row]:
    rows: list[Row] = []
    counts = (1, 2, 3) if options.quick else OPTIONS
    jobs, seconds = alone()
    points = [point(count, jobs) for count in counts]
    costs = [
        (later.seconds - one.seconds) / (later.jobs - one.jobs)
        for one, later in itertools.pairwise(points)
    ]
    growth = f"cost of one more job, {counts[-1]} options to {counts[1]}"
    rows.append(Row(7, growth, costs[-1], "s", "the first", costs[0], most=MOST_GROWTH))
    last = points[-1]
    apart = f"{2 * last.options} specifications in one study of {last.jobs} jobs"
    peer = f"as {2 * last.options} studies of {jobs} jobs (one, times their number)"
    rows.append(
        Row(7, apart, last.seconds, "s", peer, 2 * last.options * seconds, least=1, faster=True)
    )
    new, took = one_more(last.options)
    rows.append(
        Row(7, f"one more option of {last.options}: {new} new jobs", took, "s", "all", last.seconds)
    )
    if not options.quick:
        write(points, rows)
    return rows


if __name__ == "__main__":
    common.main(measure, common.parser(__doc__))
