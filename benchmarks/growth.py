"""Goal 7: how the workflow's time and a job's memory grow with the study; docs/growth.svg.

The default study with few epochs: wall time of the workflow against the number of its jobs and of
its replicates (best of several rounds); peak memory of `minified retrain` against epochs and
methods, and of the jobs on 60,000 synthetic examples of 784 numbers. Run as
`python benchmarks/growth.py`: prints rows, writes benchmarks/growth.csv, .md and the figure.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import common
from common import Row

from minified.foundations import files
from minified.study import Paths

NAME = "grown"
EPOCHS = 5
ROUNDS = 2
SPARSITIES = 8
# The memory of the first one's job is measured.
CRITERIA = ("magnitude", "random", "obd", "obd_signed")
# Criteria x sparsities.
GRIDS = ((2, 16), (2, 32), (4, 32), (4, 64))
REPLICATES = (4, 8, 16, 32)
MEMORY_EPOCHS = (1, 8, 32, 64)
MEMORY_METHODS = (1, 2, 3, 4)
# Limits: the marginal cost of the largest to that of the smallest; likewise for peaks of memory.
MOST_GROWTH = 1.3
MOST_PEAK_GROWTH = 1.1
GIGABYTES = 2**30 / 1e6  # in MB
LARGE = {"training": 60_000, "validation": 10_000, "test": 10_000}
COLUMNS = ("series", "against", "x", "unit", "y")
FIGURE = common.REPOSITORY / "docs" / "growth.svg"
# A process of a few megabytes starts the job: a child's peak is never below that of its parent.
THIN = """
import os, sys
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@dataclass(frozen=True)
class Series:
    """Measured points: y in `unit` against x."""

    name: str
    against: str
    unit: str
    x: Sequence[int]
    y: Sequence[float]

    @property
    def marginal(self) -> float:
        """Cost of one more at the largest to that at the smallest; infinite if noise hides it."""
        costs = [
            (self.y[i + 1] - self.y[i]) / (self.x[i + 1] - self.x[i])
            for i in range(len(self.x) - 1)
        ]
        return costs[-1] / costs[0] if min(costs) > 0 else float("inf")


def cut(
    criteria: int, sparsities: int, replicates: int = 5, epochs: int = EPOCHS
) -> dict[str, Any]:
    """The default study with parameter pruning alone: so many criteria and sparsities."""
    grid = {
        "criteria": list(CRITERIA[:criteria]),
        "sparsities": [round((i + 1) / (sparsities + 1), 4) for i in range(sparsities)],
        "regimes": ["fine_tune"],
        "scope": "global",
    }
    chosen = {"grid": {"parameter": grid}, "replicates": replicates, "damage": {"units": 20}}
    return common.settings(epochs) | chosen


def run(chosen: dict[str, Any]) -> tuple[float, int]:
    """Wall time of a study's workflow, and how many jobs it had."""
    with common.working_folder() as folder:
        seconds, _ = common.workflow(folder, common.write_study(folder, NAME, chosen))
        jobs = common.jobs_done(folder, NAME)
    common.say(f"{jobs} jobs, {chosen['replicates']} replicates: {seconds:.1f} s")
    return seconds, jobs


def walls(studies: Sequence[dict[str, Any]], rounds: int) -> tuple[list[float], list[int]]:
    """Each study's shortest wall time of several rounds, by turns, and its number of jobs."""
    runs = [[run(chosen) for chosen in studies] for _ in range(rounds)]
    return [min(one[i][0] for one in runs) for i in range(len(studies))], [j for _, j in runs[0]]


def peak(folder: Path, *verb: str) -> float:
    """Peak memory of `minified VERB NAME` in a process of its own, MB."""
    command = [sys.executable, "-I", "-c", THIN, "minified", verb[0], NAME, *verb[1:]]
    done = subprocess.run(
        command, cwd=folder, env=common.environment(), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"minified {' '.join(verb)} failed:\n{done.stderr}")
    return int(done.stdout.splitlines()[-1]) * 1024 / 1e6


def retrain(folder: Path, sparsity: float) -> float:
    place = ("--sparsity", str(sparsity), "--regime", "fine_tune")
    return peak(folder, "retrain", "--method", f"parameter-{CRITERIA[0]}", *place)


def retraining_peaks(studies: Sequence[dict[str, Any]]) -> list[float]:
    """Peak of the same `minified retrain` under each study."""
    peaks: list[float] = []
    with common.working_folder() as folder:
        for chosen in studies:
            common.write_study(folder, NAME, chosen)
            if not peaks:
                for verb in ("prepare", "train"):
                    peak(folder, verb)
                peak(folder, "score", "--method", f"parameter-{CRITERIA[0]}")
            peaks.append(retrain(folder, chosen["grid"]["parameter"]["sparsities"][0]))
    return peaks


def write_synthetic(folder: Path) -> None:
    """Write random images as the study's prepared data: all that a job sees of a data set."""
    import torch

    from minified import data

    generator = torch.Generator().manual_seed(1)
    splits = [
        data.Split(
            torch.randn(count, 1, 28, 28, generator=generator),
            torch.randint(0, 10, (count,), generator=generator),
        )
        for count in LARGE.values()
    ]
    path = folder / Paths(NAME).data
    data.save(data.Dataset(*splits, classes=10), path, "digits")


def large_peaks() -> dict[str, float]:
    """Peaks of the jobs on data of MNIST's size, one epoch, five replicates of LeNet-300-100."""
    chosen = cut(2, 1, epochs=1)
    for recipe in chosen["recipes"].values():
        recipe["batch_size"] = 128
    with common.working_folder() as folder:
        common.write_study(folder, NAME, chosen)
        write_synthetic(folder)
        return {
            "train": peak(folder, "train"),
            "score": peak(folder, "score", "--method", f"parameter-{CRITERIA[0]}"),
            "retrain": retrain(folder, chosen["grid"]["parameter"]["sparsities"][0]),
        }


def measured(quick: bool) -> list[Series]:
    last = 3 if quick else None  # points
    rounds = 1 if quick else ROUNDS
    grids = [(2, 2), (2, 4), (2, 8)] if quick else GRIDS
    seconds, jobs = walls([cut(*grid) for grid in grids], rounds)
    series = [Series("wall time of the workflow", "jobs", "s", jobs, seconds)]
    few = 2 if quick else SPARSITIES
    seconds, _ = walls([cut(2, few, count) for count in REPLICATES[:last]], rounds)
    replicates = REPLICATES[:last]
    series.append(Series("wall time of the workflow", "replicates", "s", replicates, seconds))
    epochs = MEMORY_EPOCHS[:last]
    peaks = retraining_peaks([cut(2, SPARSITIES, epochs=count) for count in epochs])
    series.append(Series("peak memory of a retraining job", "epochs", "MB", epochs, peaks))
    methods = MEMORY_METHODS[:last]
    peaks = retraining_peaks([cut(count, SPARSITIES) for count in methods])
    return [*series, Series("peak memory of a retraining job", "methods", "MB", methods, peaks)]


def summarised(series: Series) -> Row:
    work = f"{series.name} against {series.against} ({series.x[0]} to {series.x[-1]})"
    if series.unit == "s":
        ratio = f"{work}: marginal cost, largest to smallest"
        return Row(7, ratio, series.marginal, "", most=MOST_GROWTH)
    low, high = series.y[0], series.y[-1]
    return Row(7, work, high, series.unit, "the first", low, most=MOST_PEAK_GROWTH)


def draw(curves: Sequence[Series]) -> None:
    """A panel for each series: its points, and a straight line through them."""
    import numpy as np

    from minified.analysis.figures import style

    with style.figure(2 * style.COLUMN, 1.25 * style.COLUMN) as figure:
        panels = figure.subplots(2, 2).flatten()
        for axes, series in zip(panels, curves, strict=True):
            line = np.polynomial.Polynomial.fit(series.x, series.y, 1)
            ends = np.array([0, max(series.x)])
            axes.plot(ends, line(ends), color=style.GREY, label="straight line, least squares")
            axes.plot(series.x, series.y, "o", color="#0072B2", label="measured")
            axes.set_ylim(0, 1.15 * max(series.y))
            axes.set_xlim(left=0)
            axes.set_xlabel(series.against)
            axes.set_ylabel(series.unit)
            axes.set_title(f"{series.name}, by {series.against}", loc="left")
        panels[0].legend(loc="lower right")
        style.save(figure, FIGURE)
    # `style.save` is for results, so it writes a checksum too; the documentation needs none.
    FIGURE.with_name(f".{FIGURE.name}.sha256").unlink(missing_ok=True)


def write(curves: Sequence[Series]) -> None:
    rows = [
        {
            "series": series.name,
            "against": series.against,
            "x": str(x),
            "unit": series.unit,
            "y": f"{y:.2f}",
        }
        for series in curves
        for x, y in zip(series.x, series.y, strict=True)
    ]
    file = Path(__file__).with_suffix(".csv")
    files.write_rows(file, COLUMNS, rows, checksum=False)
    text = (
        f"# Growth\n\nMeasured on {common.machine()}, workflows on {common.CORES} cores. Wall times"
        f" are the best of {ROUNDS} rounds by turns; peaks are what the system counted for one"
        " process. Made by `python benchmarks/growth.py`, which also draws docs/growth.svg.\n\n"
    )
    text += common.markdown(COLUMNS, rows)
    files.write_text(file.with_suffix(".md"), common.wrapped(text), checksum=False)


def measure(options: argparse.Namespace) -> list[Row]:
    curves = measured(options.quick)
    rows = [summarised(series) for series in curves]
    for verb, megabytes in large_peaks().items():
        work = f"peak memory of minified {verb}, 60,000 x 784, 5 replicates of LeNet-300-100"
        rows.append(Row(7, work, megabytes, "MB", "1 GiB", GIGABYTES, most=1))
    if not options.quick:
        write(curves)
        draw(curves)
    return rows


if __name__ == "__main__":
    common.main(measure, common.parser(__doc__))
