"""What the benchmarks share: the machine in words, timing by turns, rows and their table.

A script has a function `measure(options)` that returns `Row`s, and ends in `main(measure)`: it
prints its rows as a table, or as JSON with --json, as goals.py wants them. Neither torch nor numpy
is imported here, since a script must fix its arithmetic before they are.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

from minified.foundations import arithmetic
from minified.study import text

FOLDER = Path(__file__).parent
REPOSITORY = FOLDER.parent
DEFAULT_STUDY = REPOSITORY / "config" / "digits.yaml"
CORES = 2
EXTENSIONS = ("sse4_2", "avx", "fma", "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile")
COLUMNS = ("goal", "work", "ours", "against", "theirs", "unit", "ratio", "limit", "met")
# A study of few jobs, with every kind of job.
SMALL_GRID = {
    "parameter": {
        "criteria": ["magnitude", "obd_sd"],
        "sparsities": [0.9],
        "regimes": ["fine_tune", "scratch"],
        "scope": "global",
    },
    "neuron": {
        "criteria": ["merging"],
        "sparsities": [0.75],
        "regimes": ["fine_tune", "scratch"],
        "scope": "layer",
    },
    "quantization": {"bits": [2], "regimes": ["none", "fine_tune"]},
}
# Prefixes of variables that a workflow, its jobs or a caller's own profile may have set.
_OTHERS = ("MINIFIED_", "SNAKEMAKE_")


@dataclass(frozen=True)
class Row:
    """One measurement. `most` and `least` limit the ratio, or `ours` itself if it has no peer.

    The ratio is ours to theirs; where `faster` is set, it is theirs to ours ("x faster").
    """

    goal: int
    work: str
    ours: float
    unit: str = "s"
    against: str = ""
    theirs: float | None = None
    most: float | None = None
    least: float | None = None
    faster: bool = False
    paired: float | None = None
    """Median over rounds of ours / theirs, where there were rounds."""

    @property
    def ratio(self) -> float | None:
        if self.theirs is None:
            return None
        ratio = self.ours / self.theirs if self.paired is None else self.paired
        return 1 / ratio if self.faster else ratio

    @property
    def met(self) -> bool | None:
        value = self.ours if self.ratio is None else self.ratio
        if self.most is not None:
            return value <= self.most
        return value >= self.least if self.least is not None else None

    def cells(self) -> dict[str, str]:
        """The row in words, by column."""
        limit = f"at least {self.least:g}" if self.least is not None else ""
        return {
            "goal": str(self.goal),
            "work": self.work,
            "ours": _number(self.ours),
            "against": self.against,
            "theirs": _number(self.theirs),
            "unit": self.unit,
            "ratio": _number(self.ratio) + (" x faster" if self.faster else ""),
            "limit": f"at most {self.most:g}" if self.most is not None else limit,
            "met": {True: "yes", False: "no", None: ""}[self.met],
        }


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def compared(
    goal: int, work: str, ours: Sequence[float], against: str, theirs: Sequence[float], **more: Any
) -> Row:
    """A row from seconds measured by turns: medians, and the median ratio of the same round."""
    ratio = median(one / other for one, other in zip(ours, theirs, strict=True))
    return Row(
        goal, work, median(ours), against=against, theirs=median(theirs), paired=ratio, **more
    )


def by_turns(
    works: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, list[float]]:
    """Seconds of each piece of work in each round; a first round warms up and is not counted.

    Without another clock these are seconds of processor time, so other processes do not count.
    """
    measured: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            start = clock()
            work()
            seconds = clock() - start
            if turn > 0:
                measured[name].append(seconds)
    return measured


def markdown(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> str:
    """A table in Markdown, its columns aligned."""
    lines = [tuple(columns), *(tuple(row[column] for column in columns) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    lines.insert(1, tuple("-" * width for width in widths))
    padded = (
        " | ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True))
        for line in lines
    )
    return "".join(f"| {line} |\n" for line in padded)


def wrapped(text: str) -> str:
    """Markdown with its paragraphs wrapped at 120 characters; headings and tables as they are."""
    return "\n\n".join(
        part
        if part.startswith(("#", "|"))
        else textwrap.fill(part, 120, break_long_words=False, break_on_hyphens=False)
        for part in text.split("\n\n")
    )


def machine() -> str:
    """Processor, extensions, cores and versions."""
    facts = arithmetic.processor()
    seen = " ".join(name for name in EXTENSIONS if name in facts["flags"].split())
    return (
        f"{facts['vendor_id']}, {facts['model name']} (family {facts['cpu family']}, model"
        f" {facts['model']}), {os.cpu_count()} cores, {seen}; Python {platform.python_version()},"
        f" torch {metadata.version('torch')}"
    )


def status(key: str) -> float:
    """Bytes of memory of this process, as Linux counts them; `VmHWM` is their peak so far."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith(key))


def parser(about: str | None) -> argparse.ArgumentParser:
    """The options that every script takes."""
    options = argparse.ArgumentParser(description=(about or "").split("\n")[0])
    options.add_argument("--quick", action="store_true", help="little work, to see that it runs")
    options.add_argument("--json", action="store_true", help="print rows as JSON, for goals.py")
    return options


def main(
    measure: Callable[[argparse.Namespace], list[Row]], options: argparse.ArgumentParser
) -> None:
    """Measure, and print the rows."""
    given = options.parse_args()
    rows = measure(given)
    if given.json:
        print(json.dumps([asdict(row) for row in rows]))
    else:
        print(f"{machine()}\n\n{markdown(COLUMNS, [row.cells() for row in rows])}", end="")


def bare_environment() -> dict[str, str]:
    """The environment of a user's own shell: no pinned arithmetic, no run."""
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}


@contextmanager
def working_folder() -> Iterator[Path]:
    """A temporary folder for a workflow or for jobs by hand."""
    folder = Path(tempfile.mkdtemp(prefix="minified-benchmark-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def settings(epochs: int | None = None) -> dict[str, Any]:
    """The default study's settings, to make a smaller study of; `epochs` for all its recipes."""
    chosen = text.parse(text.read(DEFAULT_STUDY))
    for recipe in chosen["recipes"].values():
        recipe["epochs"] = recipe["epochs"] if epochs is None else epochs
    return chosen


def write_study(folder: Path, name: str, chosen: Mapping[str, Any]) -> Path:
    """A study file `config/NAME.yaml` in `folder` (JSON is YAML)."""
    file = folder / "config" / f"{name}.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(chosen, indent=1), encoding="utf-8")
    return file


def jobs_done(folder: Path, name: str) -> int:
    """How many jobs of a study the workflow has done in `folder`."""
    return len(list((folder / "results" / name / "logs").rglob("*.log")))


def environment(**more: str) -> dict[str, str]:
    """This process's environment with the interpreter's commands on its path."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_OTHERS)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return kept | {"PATH": path} | more


def workflow(folder: Path, study: Path, *arguments: str, **variables: str) -> tuple[float, str]:
    """Run the workflow with `folder` as working folder; wall seconds, and what it printed.

    If the workflow fails, the benchmark ends with that output.
    """
    command = [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")),
        *("--workflow-profile", str(REPOSITORY / "workflow" / "profiles" / "default")),
        *("--directory", str(folder), "--cores", str(CORES), *arguments),
        *("--config", f"study={study}"),
    ]
    start = time.perf_counter()
    done = subprocess.run(
        command,
        env=environment(**variables),
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        sys.exit(f"{done.stdout}\nthe workflow failed on {study}")
    return seconds, done.stdout


def say(message: str) -> None:
    """Report progress on standard error; standard output is for the rows."""
    print(message, file=sys.stderr, flush=True)
