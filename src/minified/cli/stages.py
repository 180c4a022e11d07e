"""The stages of a study: the module of each verb, and the one function that runs them all."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from minified.criteria.record import LEVELS
from minified.foundations import arithmetic
from minified.foundations.errors import ArtefactError, MinifiedError
from minified.study import studies
from minified.study.paths import Paths
from minified.study.regimes import ROUNDINGS
from minified.study.studies import Study


@dataclass(frozen=True)
class Stage:
    """One stage: the module with the function of the stage's name, and its kind of arithmetic.

    `fixed`: it computes with torch, with the study's threads and arithmetic. `pinned`: it analyses
    results, on one thread. None: it computes nothing.
    """

    module: str
    arithmetic: Literal["fixed", "pinned"] | None = "fixed"


STAGES = {
    "prepare": Stage("minified.jobs.prepare"),
    "train": Stage("minified.jobs.train"),
    "evaluate": Stage("minified.jobs.evaluate"),
    "derivatives": Stage("minified.jobs.derivatives"),
    "score": Stage("minified.jobs.score"),
    "scratch": Stage("minified.jobs.scratch"),
    "retrain": Stage("minified.jobs.retrain"),
    "quantize": Stage("minified.jobs.quantize"),
    "damage": Stage("minified.jobs.damage"),
    "aggregate": Stage("minified.analysis.aggregate", "pinned"),
    "claims": Stage("minified.analysis.claims.verdicts", "pinned"),
    "correlate": Stage("minified.analysis.correlate", "pinned"),
    "figures": Stage("minified.analysis.figures.stage", "pinned"),
    "tables": Stage("minified.analysis.tables", "pinned"),
    "notebook": Stage("minified.analysis.notebook", None),
    "provenance": Stage("minified.run.provenance"),
    "publish": Stage("minified.analysis.publish", None),
    "timings": Stage("minified.run.timings", None),
}
"""All stages, in the order in which a study runs them, and `timings`."""


def run(name: str, study: str, results: Path, **options: Any) -> None:
    """Run one stage of a study, given by name or path, on the files below `results`.

    Raises:
        MinifiedError: one line; about a missing or damaged file it says how to make it again.
    """
    loaded = studies.load(study)
    paths = Paths(loaded.name, results)
    try:
        for key, value in options.items():
            if problem := _problem(loaded, key, value, options):
                raise MinifiedError(f"--{key} {value}: {problem}")
        stage = STAGES[name]
        if stage.arithmetic == "fixed":
            arithmetic.fix(loaded.threads, loaded.arithmetic)
        elif stage.arithmetic == "pinned":
            arithmetic.pin()
        function = getattr(importlib.import_module(stage.module), name)
        function(loaded, paths, **options)
    except ArtefactError as error:
        command = paths.command(error.path, study)
        fix = f"; make it again: {command}" if command else ""
        raise MinifiedError(f"{error}{fix}") from None


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
