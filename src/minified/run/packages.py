"""The versions of the packages that a result was made with."""

import sys
from functools import cache
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from minified.run.tasks import STAGES

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_DISTRIBUTION = "magnificent-minified-models"


@cache
def installed() -> dict[str, str]:
    """The versions of this package and of all packages that it depends on, directly or not."""
    found: dict[str, str] = {}
    seen = set()
    waiting = [(_DISTRIBUTION, "")]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # needed on another platform only
        found[name] = distribution.version
        for needed in map(Requirement, distribution.requires or ()):
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                waiting += [(canonicalize_name(needed.name), e) for e in ("", *needed.extras)]
    return dict(sorted(found.items()))


@cache
def versions(stage: str) -> dict[str, str]:
    """The versions of Python and of the packages that may change what a stage writes."""
    if stage == "provenance":
        return installed()  # it lists them
    named = STAGES[stage].packages
    return {"python": PYTHON} | {name: metadata.version(name) for name in sorted(named)}
