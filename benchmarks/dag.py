"""Goals 1 and 2: the default study's wall time, to its jobs' own compute and to a plain script.

Own compute is the processor time in the logs of the successful jobs, without imports, divided by
the number of cores. The plain script (plain.py) trains the same runs as a user would write them.
Run as `python benchmarks/dag.py`; --compare adds the same study without its warm interpreter (5
minutes).
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import common
from common import Row

from minified.run.clock import Spent

# How many runs; the middle one counts.
ROUNDS = 3
# Jobs that may have imported their libraries themselves: their time is not counted as own compute.
MOST_COLD = 5


@dataclass(frozen=True)
class Compute:
    """What the jobs of a run did themselves."""

    jobs: int
    cold: int
    seconds: float


def compute(logs: Path) -> Compute:
    """Sum the processor time of all jobs from the last lines of their logs."""
    files = sorted(logs.rglob("*.log"))
    cold, seconds = 0, 0.0
    for file in files:
        spent = Spent.read(file)
        if spent is None:
            sys.exit(f"{file.relative_to(logs)}: its last line does not say how long the job took")
        if spent.imported:
            seconds += spent.processor
        else:
            cold += 1
    return Compute(len(files), cold, seconds)


def study_run(study: Path, **variables: str) -> tuple[float, Compute | None]:
    """Wall time of a study in a new folder; without `variables` its jobs' own compute as well."""
    with common.working_folder() as folder:
        wall, _ = common.workflow(folder, study, **variables)
        if variables:
            return wall, None
        own = compute(folder / "results" / study.stem / "logs")
    if own.cold > MOST_COLD:
        sys.exit(
            f"{own.cold} of {own.jobs} jobs did not run in the warm interpreter: their own compute"
            " cannot be separated from their imports"
        )
    return wall, own


def overhead(study: Path, wall: float, own: Compute) -> Row:
    """A study's wall time against its jobs' own compute."""
    return Row(
        1,
        f"study {study.stem}, {own.jobs} jobs, on {common.CORES} cores",
        wall,
        against=f"its jobs' own processor time / {common.CORES}",
        theirs=own.seconds / common.CORES,
        most=1.3,
    )


def plain_run(study: Path, fraction: float) -> tuple[dict[str, Any], float]:
    """What the plain script measured, and the seconds that it spent outside its runs."""
    command = [sys.executable, str(common.FOLDER / "plain.py"), "--json", "--study", str(study)]
    command += ["--fraction", str(fraction)]
    start = time.perf_counter()
    # Without pins: torch's own threads and kernels.
    text = subprocess.check_output(command, env=common.bare_environment(), text=True)
    measured = json.loads(text)
    return measured, time.perf_counter() - start - measured["seconds"]


def measure(options: argparse.Namespace) -> list[Row]:
    with common.working_folder() as folder:
        study = options.study.resolve()
        if options.quick:
            study = common.write_study(
                folder, "quick", common.settings(2) | {"grid": common.SMALL_GRID}
            )
        return rows(study, options)


def rows(study: Path, options: argparse.Namespace) -> list[Row]:
    name = f"study {study.stem}"
    common.say(f"{name} through Snakemake ...")
    runs = [study_run(study) for _ in range(1 if options.quick else ROUNDS)]
    runs.sort(key=lambda run: run[0] / run[1].seconds if run[1] else 0.0)
    wall, own = runs[len(runs) // 2]
    assert own is not None
    measured = [overhead(study, wall, own)]
    if options.compare:
        common.say("the same without the warm interpreter ...")
        cold, _ = study_run(study, MINIFIED_WARM="off")
        measured.append(
            Row(1, f"{name} without the warm interpreter", cold, against="with it", theirs=wall)
        )
    if not options.without_plain:
        common.say("the same runs in plain PyTorch ...")
        plain, outside = plain_run(study, options.fraction)
        script = f"plain PyTorch, scaled from {plain['runs']:.0f} runs"
        every = f"{script} to {plain['of']:.0f}"
        distinct = f"{script} to the {plain['of_distinct']:.0f} that are not the same"
        seconds = outside + plain["whole"]
        measured.append(Row(2, name, wall, against=every, theirs=seconds, least=3, faster=True))
        seconds = outside + plain["distinct"]
        measured.append(Row(2, name, wall, against=distinct, theirs=seconds, faster=True))
    return measured


if __name__ == "__main__":
    options = common.parser(__doc__)
    options.add_argument("--study", type=Path, default=common.DEFAULT_STUDY)
    options.add_argument("--compare", action="store_true", help="also without warm interpreter")
    options.add_argument("--fraction", type=float, default=0.25, help="of the plain script's runs")
    options.add_argument("--without-plain", action="store_true", help="goal 1 alone")
    common.main(measure, options)
