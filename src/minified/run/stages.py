"""The stages of a study: the module of each, and what its results may depend on besides files."""

from dataclasses import dataclass
from typing import Literal

_COMPUTING = ("numpy", "scikit-learn", "torch")
_ANALYSING = ("jinja2", "matplotlib", "numpy", "pandas", "scipy", "seaborn", "tabulate")


@dataclass(frozen=True)
class Stage:
    """One stage: the module with the function of the stage's name, and its kind of arithmetic.

    `fixed`: it computes with torch, with the study's threads and arithmetic. `pinned`: it analyses
    results, on one thread. None: it computes nothing. `packages`: those whose versions may change
    what it writes. `on_device`: whether it computes on the study's device. `in_blocks`: whether its
    replicates may be done in blocks.
    """

    module: str
    arithmetic: Literal["fixed", "pinned"] | None = "fixed"
    packages: tuple[str, ...] = _COMPUTING
    on_device: bool = False
    in_blocks: bool = False


STAGES = {
    "prepare": Stage("minified.jobs.prepare", packages=(*_COMPUTING, "torchvision")),
    **{
        name: Stage(f"minified.jobs.{name}", on_device=True, in_blocks=True)
        for name in (
            *("train", "evaluate", "derivatives", "score"),
            *("scratch", "iterate", "retrain", "quantize", "damage"),
        )
    },
    "selections": Stage("minified.jobs.selections", on_device=True),
    "aggregate": Stage("minified.analysis.aggregate", "pinned", _ANALYSING),
    "claims": Stage("minified.analysis.claims.verdicts", "pinned", _ANALYSING),
    "specifications": Stage("minified.analysis.specifications", "pinned", _ANALYSING),
    "correlate": Stage("minified.analysis.correlate", "pinned", _ANALYSING),
    "figures": Stage("minified.analysis.figures.stage", "pinned", _ANALYSING),
    "tables": Stage("minified.analysis.tables", "pinned", _ANALYSING),
    "notebook": Stage("minified.analysis.notebook", None, _ANALYSING),
    "provenance": Stage("minified.run.provenance", None, ()),
    "publish": Stage("minified.analysis.publish", None, ()),
    "timings": Stage("minified.run.timings", None, ()),
}
"""All stages, in the order in which a study runs them, and `timings`."""
