"""Goal 6: no repeated work. How many jobs the default study has; which verbs import torch.

A study whose runs are short goes through the workflow once; a second run must have nothing to do,
and each analysis verb, in a process of its own, must end without torch. Run as
`python benchmarks/work.py`.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import common
from common import Row

ANALYSES = ("check", "aggregate", "claims", "correlate", "tables", "figures", "publish")
# Run the verb, then print which of these it has imported.
HEAVY = ("torch", "sklearn", "matplotlib", "pandas")
CODE = f"""
import json, sys
from minified.cli.verbs import app
try:
    app(sys.argv[1:])
finally:
    print(json.dumps([name for name in {HEAVY} if name in sys.modules]))
"""


def planned(folder: Path, file: Path) -> dict[str, int]:
    """The rules that a run would execute, with the number of jobs."""
    _, printed = common.workflow(folder, file, "--dry-run", "--quiet", "host")
    lines = [line.split() for line in printed.splitlines()]
    if ["job", "count"] not in lines:
        return {}
    counts = lines[lines.index(["job", "count"]) + 2 :]
    total = next(i for i, line in enumerate(counts) if line[:1] == ["total"])
    return {line[0]: int(line[1]) for line in counts[:total]}


def imported(folder: Path, verb: str) -> list[str]:
    """Which heavy packages a verb imports in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, verb, "small"],
        cwd=folder,
        env=common.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"minified {verb} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def jobs() -> list[Row]:
    """How many jobs each rule of the default study has; those of the figures are added up."""
    with common.working_folder() as folder:
        planned_jobs = planned(folder, common.DEFAULT_STUDY)
    counts: dict[str, int] = {}
    for rule, count in planned_jobs.items():
        name = "figures" if rule.startswith("figures_") else rule
        counts[name] = counts.get(name, 0) + count
    counts["all rules"] = sum(counts.values()) - counts.pop("all")
    return [Row(6, f"default study: jobs of {rule}", n, "jobs") for rule, n in counts.items()]


def measure(options: argparse.Namespace) -> list[Row]:
    rows = jobs()
    with common.working_folder() as folder:
        chosen = common.settings(2) | {
            "grid": common.SMALL_GRID,
            "replicates": 2,
            "damage": {"units": 20},
        }
        file = common.write_study(folder, "small", chosen)
        common.workflow(folder, file)
        again = sum(planned(folder, file).values())
        rows.append(Row(6, "jobs of a second run", again, "jobs", most=0))
        verbs = {verb: imported(folder, verb) for verb in ANALYSES}
    for verb, packages in verbs.items():
        others = ", ".join(name for name in packages if name != "torch") or "nothing heavy"
        work = f"minified {verb}: imports of torch (it imports {others})"
        rows.append(Row(6, work, int("torch" in packages), "imports", most=0))
    return rows


if __name__ == "__main__":
    common.main(measure, common.parser(__doc__))
