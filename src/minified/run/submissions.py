"""Which jobs travel together to a cluster, and what a whole study costs.

    submissions(study, paths)           # {"retrain/parameter-obd/0.9/scratch": "submission-7"}
    sizing(study, paths)                # jobs, submissions, seconds, memory, disk

A queue should not see hundreds of jobs of a second. So jobs are put in an order in which each comes
after those that it reads from, method by method, and the order is cut into pieces of about
`TOGETHER` seconds, and of at most `MOST` jobs. Such pieces never wait for each other in a circle.
What many jobs wait for (baselines, shared networks, derivatives) goes ahead in pieces of its own,
and a long job alone.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minified.data.catalogue import CATALOGUE
from minified.foundations.modules import PACKAGE
from minified.networks.architectures import parameters, plan
from minified.run import costs, tasks
from minified.run.job import Task
from minified.run.stages import STAGES
from minified.study.paths import Paths
from minified.study.studies import Study

TOGETHER = 600.0
"""Expected seconds of a submission's jobs, unless one job takes longer."""
MOST = 60
"""Jobs of a submission: Snakemake adds up their minutes, of which none asks for less than two."""
LOCAL = ("prepare", *costs.LIGHT)
"""Stages that stay on the machine that runs Snakemake: only it needs the raw data and a network."""
_WAVES = (
    ("train", "scratch"),
    ("evaluate", "derivatives", "damage"),
    ("score", "iterate", "retrain", "quantize"),
)
"""The others: each wave reads from those before it. In a last one are the jobs that put together
what blocks of replicates have made, and what reads from these and does not stay.
"""
_NOTEBOOK = Path("notebooks", "explore.ipynb")


@dataclass(frozen=True)
class Sizing:
    """A study as a whole: how many jobs and submissions, processor seconds, those of the longest
    chain of jobs that wait for each other, the memory of the largest job in MB, and the bytes of
    its results.
    """

    jobs: int
    submissions: int
    seconds: float
    chain: float
    memory: float
    disk: float
    on_gpu: bool = False

    def line(self, cores: int) -> str:
        """All of it in one line, with the time that it takes with so many jobs side by side."""
        where = f"with {cores} job{'s' if cores > 1 else ''} at once"
        if self.on_gpu:
            cores, where = 1, "on one GPU (its speed is a guess)"
        seconds = max(self.seconds / cores, self.chain)
        return (
            f"expected: {self.jobs:,} jobs with the analysis, about"
            f" {duration(seconds)} {where}, {_size(1e6 * self.memory)} of memory"
            f" for the largest job, {_size(self.disk)} on disk; on a cluster"
            f" {self.submissions:,} submissions"
        )


def duration(seconds: float) -> str:
    """A time as a person says it: `40 s`, `7 min`, `3 h 20 min`, `6 days`."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 2880:
        return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"
    return f"{round(minutes / 1440)} days"


def _size(count: float) -> str:
    """A number of bytes as a person says it."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{math.ceil(count / 1e6)} MB"


def every(study: Study, paths: Paths) -> list[Task]:
    """All jobs of a study, each once and after those that it reads from."""
    # A run asks for its submissions and for its progress, and many specifications take seconds.
    known: list[Task] | None = study.memory.get(("jobs", paths))
    return known or study.memory.setdefault(("jobs", paths), _every(study, paths))


def _every(study: Study, paths: Paths) -> list[Task]:
    found: dict[str, Task] = {}
    producers: dict[Any, Task] = {}

    def visit(task: Task) -> None:
        if task.name in found:
            return
        for file in task.read:
            if made_by := paths.maker(file):
                stage, options = made_by
                key = (stage, *options.items())
                if key not in producers:
                    producers[key] = tasks.task(study, paths, stage, **options)
                visit(producers[key])
        found[task.name] = task

    visit(tasks.task(study, paths, "publish"))
    # Of this folder, or of the repository that this package is part of.
    notebook = next(filter(Path.exists, (_NOTEBOOK, PACKAGE.parents[1] / _NOTEBOOK)), _NOTEBOOK)
    visit(tasks.task(study, paths, "notebook", source=notebook))
    return list(found.values())


def side_by_side(study: Study) -> int:
    """How many jobs of a study the cores of this machine that this process may use do at once."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        cores = os.cpu_count() or 1
    return max(1, cores // study.threads)


def stays(study: Study, stage: str) -> bool:
    """Whether a stage's jobs stay on the machine that runs Snakemake: it may have no GPU."""
    return stage in LOCAL and not (study.device == "cuda" and STAGES[stage].on_device)


def submissions(study: Study, paths: Paths) -> dict[str, str]:
    """The name of each job's submission, by the job's name; without those that stay (`stays`)."""
    return dict(_submissions(study, every(study, paths)))


def _submissions(study: Study, jobs: list[Task]) -> Iterator[tuple[str, str]]:
    number = 0
    sent = [task for task in jobs if not stays(study, task.stage)]
    waves = [[task for task in sent if task.stage in one and not task.parts] for one in _WAVES]
    last = [task for task in sent if task.parts or not any(task.stage in one for one in _WAVES)]
    for wave in [*waves, last]:
        spent, count = TOGETHER, MOST  # a wave begins with a submission of its own
        for task in wave:
            seconds = costs.cost(study, task).seconds
            if spent + seconds > TOGETHER or count == MOST:
                number, spent, count = number + 1, 0.0, 0
            spent, count = spent + seconds, count + 1
            yield task.name, f"submission-{number}"


def sizing(study: Study, paths: Paths) -> Sizing:
    """What the study costs as a whole, expected before anything has run."""
    jobs = every(study, paths)
    each = [costs.cost(study, task) for task in jobs]
    ends: dict[Path, float] = {}
    for task, cost in zip(jobs, each, strict=True):
        end = cost.seconds + max((ends.get(file, 0.0) for file in task.read), default=0.0)
        ends |= dict.fromkeys(task.outputs, end)
    return Sizing(
        jobs=len(jobs),
        submissions=len({name for _, name in _submissions(study, jobs)}),
        seconds=sum(cost.seconds for cost in each),
        chain=max(ends.values()),
        memory=max(cost.memory for cost in each),
        disk=sum(_written(study, task) for task in jobs),
        on_gpu=study.device == "cuda",
    )


def _written(study: Study, task: Task) -> float:
    """The bytes that a job writes: networks and scores; all else is small."""
    own = costs.under(study, task)
    entry = CATALOGUE[own.data.name]
    options = own.network.model_dump(exclude={"name"})
    size = parameters(plan(own.network.name, entry.input_shape, entry.classes, **options))
    networks = 4.0 * size * own.replicates
    match task.stage:
        case "prepare":
            return costs.data_bytes(own)
        case "train":
            return 2 * networks
        case "derivatives":
            return 6 * networks if task.options["level"] == "parameter" else 1e5
        case "score" | "scratch" | "iterate":
            return networks if "neuron" not in task.options.get("method", "") else 1e5
        case "retrain" | "quantize":
            return networks if own.keep_networks else 2e4
    return 2e5
