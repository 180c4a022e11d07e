"""`minified provenance`: what a study's figures were made from, and nothing that a second run would
say differently: no time, no host, no path.
"""

import hashlib
import json
import sys
from collections.abc import Iterable
from importlib import metadata
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from minified import arithmetic, files
from minified.paths import Paths
from minified.study import Study

_DISTRIBUTION = "magnificent-minified-models"


def provenance(study: Study, paths: Paths) -> None:
    """Write provenance.json: configuration, data checksums, device type, package versions.

    Must run with the arithmetic that the jobs have (`arithmetic.fix`), since the vector width in
    use belongs to the device type.
    """
    described = files.read_metadata(paths.data)
    configuration = study.model_dump(mode="json", exclude={"name", "file", "data_root"})
    found = {
        "study": study.name,
        "configuration": configuration,
        "configuration_sha256": _sha256(configuration),
        "criteria_sha256": {
            name: files.sha256(study.registry[name].file) for name in study.criteria
        },
        "data": {
            "name": study.data.name,
            "raw_sha256": described.get("checksums", {}),
            "prepared_sha256": files.sha256(paths.data),
        },
        "device": arithmetic.device(study.arithmetic, study.device),
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "packages": packages(),
    }
    files.write_text(paths.provenance, json.dumps(found, indent=2, sort_keys=True) + "\n")


def packages() -> dict[str, str]:
    """The versions of this package and of all that it needs to run, and they in turn."""
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


def versions(names: Iterable[str]) -> str:
    """`numpy 2.4.6, torch 2.14.1`: rules take it as a parameter, so another version makes stale
    what was made with the old one.
    """
    return ", ".join(f"{name} {metadata.version(name)}" for name in sorted(names))


def _sha256(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
