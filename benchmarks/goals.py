"""Every goal of speed, each a ratio to a named peer in one run: `make benchmark`.

`python benchmarks/goals.py` runs each script of SCRIPTS in a process of its own, prints one table
and writes it to benchmarks/goals.csv and .md. With names (`goals.py step derivatives`) it runs only
these and keeps the other rows; with --quick it does little work and writes nothing.
"""

import csv
import json
import subprocess
import sys

import common

from minified.foundations import files

SCRIPTS = (
    *("dag", "step", "tried", "derivatives", "convolutions", "neurons", "work", "growth"),
    *("replicates", "records"),
)
TABLE = common.FOLDER / "goals.csv"
COLUMNS = ("script", *common.COLUMNS)
ABOUT = """\
# Goals of speed

Measured on {machine}. Made by `make benchmark`; one goal alone: `python benchmarks/goals.py step`.

Each row is one measurement of one run. `ratio` is ours to theirs, or theirs to ours where it says
"x faster"; a limit applies to the ratio, or to `ours` where there is no peer; rows without a limit
inform. Work in one process is measured by turns, in processor seconds of one thread: `ours` and
`theirs` are medians of the rounds, `ratio` is the median of the rounds' own ratios. Whole workflows
are measured by the clock: the default study by the middle one of three runs, those of growth.py by
the best of two. The top of each script says exactly what it measures.

"""


def rows_of(script: str, quick: bool) -> list[dict[str, str]] | None:
    """What one script measured, in a fresh process; None if it failed."""
    common.say(f"{script} ...")
    command = [sys.executable, str(common.FOLDER / f"{script}.py"), "--json"]
    command += ["--quick"] if quick else []
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        return None
    return [{"script": script} | common.Row(**row).cells() for row in json.loads(done.stdout)]


def kept(measured: list[str]) -> list[dict[str, str]]:
    """The table's rows of the other scripts, if this machine measured them."""
    if not TABLE.exists():
        return []
    with open(TABLE, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    here = [row for row in rows if row.pop("machine") == common.machine()]
    if len(here) < len(rows):
        common.say(f"{len(rows) - len(here)} rows of another machine are dropped")
    return [row for row in here if row["script"] not in measured]


def write(rows: list[dict[str, str]]) -> None:
    machine = common.machine()
    named = [row | {"machine": machine} for row in rows]
    files.write_rows(TABLE, (*COLUMNS, "machine"), named, checksum=False)
    text = common.wrapped(ABOUT.format(machine=machine)) + common.markdown(COLUMNS, rows)
    files.write_text(TABLE.with_suffix(".md"), text, checksum=False)


def main() -> None:
    options = common.parser(__doc__)
    options.add_argument("scripts", nargs="*", help=f"of {', '.join(SCRIPTS)}; default: all")
    given = options.parse_args()
    if unknown := set(given.scripts) - set(SCRIPTS):
        options.error(f"no such script: {', '.join(sorted(unknown))}")
    chosen = [name for name in SCRIPTS if name in given.scripts or not given.scripts]
    by_script = {name: rows_of(name, given.quick) for name in chosen}
    failed = [name for name, rows in by_script.items() if rows is None]
    measured = [name for name in chosen if name not in failed]
    rows = [row for name in measured for row in by_script[name] or []]
    if not given.quick:
        rows += kept(measured)
        rows.sort(key=lambda row: SCRIPTS.index(row["script"]))
        write(rows)
    print(common.markdown(COLUMNS, rows), end="")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
