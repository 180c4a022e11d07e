"""The one function that runs any stage: it checks what the stage reads and records what made it."""

import importlib
from pathlib import Path
from typing import Any

from minified.criteria.record import LEVELS
from minified.foundations import arithmetic, files
from minified.foundations.errors import ArtefactError, MinifiedError
from minified.run import late, lock, tasks
from minified.run.records import Records
from minified.run.tasks import STAGES, Task
from minified.study import studies
from minified.study.paths import Paths
from minified.study.regimes import ROUNDINGS
from minified.study.specifications import BASE
from minified.study.studies import Study


def run(
    name: str,
    study: str,
    results: Path,
    *,
    specification: str | None = None,
    block: str | None = None,
    **options: Any,
) -> None:
    """Run one stage of a study, given by name or path, on the files below `results`.

    Args:
        specification: one of the study's, by name; by default its own settings.
        block: one of its blocks of replicates, by name; by default all replicates.

    Raises:
        MinifiedError: one line; about a missing, damaged or foreign file it says how to make it
            again.
    """
    loaded = studies.load(study)
    paths = Paths(loaded.name, results)
    try:
        which = {
            "specification": BASE if specification is None else specification,
            "block": "" if block is None else block,
        }
        under = loaded.under(which["specification"])
        for key, value in options.items():
            if problem := _problem(under, key, value, options):
                raise MinifiedError(f"--{key} {value}: {problem}")
        lock.check(loaded)
        jobs = tasks.asked(loaded, paths, name, **which, **options)
        by_hand = not lock.follows_a_run() and name not in ("provenance", "publish")
        records = late.settled(lambda: _checked(Records(loaded, paths), jobs, by_hand))
        begun = [records.begin(job) for job in jobs]
        stage = STAGES[name]
        if stage.arithmetic == "fixed":
            arithmetic.fix(loaded.threads, loaded.arithmetic)
        elif stage.arithmetic == "pinned":
            arithmetic.pin()
        parts = jobs[0].parts if jobs else ()
        if parts:
            together = importlib.import_module("minified.jobs.together")
            together.together(jobs[0].outputs, parts)
        else:
            function = getattr(importlib.import_module(stage.module), name)
            own, own_paths = tasks.opened(loaded, paths, name, **which, **options)
            function(own, own_paths, **options)
        machine = None
        if stage.on_device and not parts:
            machine = arithmetic.device(loaded.arithmetic, loaded.device)
        for one in begun:
            records.write(one, machine)
    except ArtefactError as error:
        command = paths.command(error.path, study)
        fix = f"; make it again: {command}" if command else ""
        raise MinifiedError(f"{error}{fix}") from None


def _checked(records: Records, jobs: list[Task], by_hand: bool) -> Records:
    """The records, once they and the files say that these jobs may begin."""
    for job in jobs:
        records.check(job, by_hand=by_hand)
        if late.patience():
            # A job of this machine would have its files; those of another one may be late.
            for file in job.read:
                files.verify(file)
    return records


def _problem(study: Study, key: str, value: Any, options: dict[str, Any]) -> str | None:
    """What is wrong with an option's value for this study; None if nothing is."""
    match key:
        case "level":
            allowed = list(LEVELS)
        case "removal":
            own = [name for name, criterion in study.registry.items() if criterion.removal]
            allowed = [*LEVELS, *own]
        case "regime":
            allowed = list(ROUNDINGS if "bits" in options else study.known_regimes)
        case "sparsity":
            return None if 0 <= float(value) < 1 else "must be in [0, 1)"
        case _:
            return None
    if value in allowed:
        return None
    return f"study {study.name} has {', '.join(allowed)}"
