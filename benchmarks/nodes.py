"""Jobs per minute on one node of a cluster, with one warm interpreter per submission and without.

Needs a Slurm that answers: `tests/slurm.sh start FOLDER; . FOLDER/env.sh` starts one of one node.
Run as `python benchmarks/nodes.py` (ten minutes): the default study goes through the profile
`slurm` twice; what counts is the time that its submissions ran on the node, not their wait in the
queue. Prints rows, writes benchmarks/nodes.md.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import common
from common import Row

from minified.foundations import files
from minified.run import submissions
from minified.study import studies
from minified.study.paths import Paths

SNAKEFILE = common.REPOSITORY / "Snakefile"
QUICKLY = common.REPOSITORY / "tests" / "quickly.py"
PROFILE = common.REPOSITORY / "workflow" / "profiles" / "slurm"


def rate(study: Path, **variables: str) -> float:
    """Jobs per minute of the study's submissions, without those that stay on the head node."""
    loaded = studies.load(study)
    jobs = submissions.submissions(loaded, Paths(loaded.name))
    with common.working_folder() as folder:
        done = subprocess.run(
            [
                *(
                    sys.executable,
                    str(QUICKLY),
                    "--snakefile",
                    str(common.REPOSITORY / "Snakefile"),
                ),
                *("--directory", str(folder), "--workflow-profile", str(PROFILE)),
                *("--cores", str(common.CORES), "--quiet", "all", "--config", f"study={study}"),
            ],
            cwd=common.REPOSITORY,
            env=os.environ | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(done.stderr[-3000:])
        seconds = spent(folder)
    return 60 * len(jobs) / seconds


def spent(folder: Path) -> float:
    """How long the submissions of a folder ran, by Slurm's own account."""
    listed = subprocess.run(
        ["squeue", "--states=all", "--me", "--noheader", "--format=%M|%Z"],
        capture_output=True,
        text=True,
        check=True,
    )
    total = 0.0
    for line in listed.stdout.splitlines():
        clock, _, place = line.partition("|")
        if place == str(folder):
            parts = [float(part) for part in reversed(clock.replace("-", ":").split(":"))]
            units = (1, 60, 3600, 86400)[: len(parts)]
            total += sum(part * unit for part, unit in zip(parts, units, strict=True))
    return total


def measure(options: argparse.Namespace) -> list[Row]:
    warm = rate(common.DEFAULT_STUDY)
    cold = rate(common.DEFAULT_STUDY, MINIFIED_WARM="off")
    rows = [
        Row(
            0,
            f"study {common.DEFAULT_STUDY.stem} on one node of {common.CORES} cores",
            warm,
            unit="jobs a minute",
            against="without a warm interpreter",
            theirs=cold,
        )
    ]
    text = (
        f"# Short jobs on a node of a cluster\n\nMeasured on {common.machine()}, in submissions of"
        " ten minutes through a Slurm on the same machine. Made by"
        " `python benchmarks/nodes.py`.\n\n"
    )
    text += common.markdown(common.COLUMNS, [row.cells() for row in rows])
    files.write_text(Path(__file__).with_suffix(".md"), common.wrapped(text), checksum=False)
    return rows


if __name__ == "__main__":
    common.main(measure, common.parser(__doc__))
