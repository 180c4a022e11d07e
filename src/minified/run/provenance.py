"""`minified provenance`: what a study's figures were made from.

A second run must write the same, so there is no time, host or path in it.
"""

import hashlib
import json
import sys
from collections.abc import Iterable
from importlib import metadata
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from minified.foundations import arithmetic, files
from minified.study.paths import Paths
from minified.study.studies import Study

_DISTRIBUTION = "magnificent-minified-models"


def provenance(study: Study, paths: Paths) -> None:
    """Write provenance.json: configuration, data checksums, device type, package versions.

    Must run with the same arithmetic as the jobs (`arithmetic.fix`), since the vector width in use
    is part of the device type.
    """
    data = files.read_metadata(paths.data)
    configuration = study.model_dump(mode="json", exclude={"name", "file", "data_root"})
    record = {
        "study": study.name,
        "configuration": configuration,
        "configuration_sha256": _sha256(configuration),
        "data": {
            "name": study.data.name,
            "raw_sha256": data.get("checksums", {}),
            "prepared_sha256": files.sha256(paths.data),
        },
        "device": arithmetic.device(study.arithmetic, study.device),
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "packages": packages(),
    }
    files.write_text(paths.provenance, json.dumps(record, indent=2, sort_keys=True) + "\n")


def packages() -> dict[str, str]:
    """The versions of this package and of all packages that it depends on, directly or not."""
    installed: dict[str, str] = {}
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
        installed[name] = distribution.version
        for needed in map(Requirement, distribution.requires or ()):
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                waiting += [(canonicalize_name(needed.name), e) for e in ("", *needed.extras)]
    return dict(sorted(installed.items()))


def versions(names: Iterable[str]) -> str:
    """The versions as text (`numpy 2.4.6, torch 2.14.1`).

    Rules take it as a parameter, so that a new version makes stale what the old one made.
    """
    return ", ".join(f"{name} {metadata.version(name)}" for name in sorted(names))


def _sha256(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
