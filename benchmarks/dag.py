"""Goals 1 and 2: the default study's wall time, to its jobs' own compute and to a plain script.

Own compute is the processor time that the successful jobs' logs state, imports apart, shared by the
cores. The plain script (plain.py) trains the same runs as a user would write them. Run as
`python benchmarks/dag.py`; --compare adds the same study without its warm interpreter (5 minutes).
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

from minified.running import Spent

# By the middle one of so many runs.
ROUNDS = 3
# Jobs that may have started on their own; none of their time counts as own compute.
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
            sys.exit(f"{file.relative_to(logs)}: its last line does not say what the job took")
        if spent.imported:
            seconds += spent.processor
        else:
            cold += 1
    return Compute(len(files), cold, seconds)


def study_run(study: Path, **variables: str) -> tuple[float, Compute | None]:
    """Wall time of a study in a new folder, and its jobs' compute if they came without imports."""
    with common.working_folder() as folder:
        wall, _ = common.workflow(folder, study, **variables)
        if variables:
            return wall, None
        found = compute(folder / "results" / study.stem / "logs")
    if found.cold > MOST_COLD:
        sys.exit(
            f"{found.cold} of {found.jobs} jobs did not come from the warm interpreter: their own"
            " compute cannot be told from their imports"
        )
    return wall, found


def plain_run(study: Path, fraction: float) -> tuple[dict[str, Any], float]:
    """What the plain script says of its runs, and the seconds that it took beside them."""
    command = [sys.executable, str(common.FOLDER / "plain.py"), "--json", "--study", str(study)]
    command += ["--fraction", str(fraction)]
    start = time.perf_counter()
    # Without pins: torch's own threads and kernels.
    text = subprocess.check_output(command, env=common.bare_environment(), text=True)
    found = json.loads(text)
    return found, time.perf_counter() - start - found["seconds"]


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
    found = [
        Row(
            1,
            f"{name}, {own.jobs} jobs, on {common.CORES} cores",
            wall,
            against=f"its jobs' own processor time / {common.CORES}",
            theirs=own.seconds / common.CORES,
            most=1.3,
        )
    ]
    if options.compare:
        common.say("the same without the warm interpreter ...")
        cold, _ = study_run(study, MINIFIED_WARM="off")
        found.append(
            Row(1, f"{name} without the warm interpreter", cold, against="with it", theirs=wall)
        )
    if not options.without_plain:
        common.say("the same runs in plain PyTorch ...")
        told, beside = plain_run(study, options.fraction)
        script = f"plain PyTorch, scaled from {told['runs']:.0f} runs"
        every = f"{script} to {told['of']:.0f}"
        distinct = f"{script} to the {told['of_distinct']:.0f} that are not the same"
        plain = beside + told["whole"]
        found.append(Row(2, name, wall, against=every, theirs=plain, least=3, faster=True))
        plain = beside + told["distinct"]
        found.append(Row(2, name, wall, against=distinct, theirs=plain, faster=True))
    return found


if __name__ == "__main__":
    options = common.parser(__doc__)
    options.add_argument("--study", type=Path, default=common.DEFAULT_STUDY)
    options.add_argument("--compare", action="store_true", help="also without warm interpreter")
    options.add_argument("--fraction", type=float, default=0.25, help="of the plain script's runs")
    options.add_argument("--without-plain", action="store_true", help="goal 1 alone")
    common.main(measure, options)
