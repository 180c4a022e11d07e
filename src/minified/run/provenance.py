"""`minified provenance`: what a study's figures were made from, as their artefacts say.

A second run must write the same, so there is no time, host or path in it.
"""

import copy
import json
from collections.abc import Mapping
from typing import Any

from minified.foundations import arithmetic, files
from minified.foundations.errors import ArtefactError
from minified.run import tasks
from minified.run.edits import edit
from minified.run.packages import PYTHON, installed
from minified.run.records import Records, digest
from minified.study.blocks import CHANGES_NOTHING
from minified.study.paths import SPECIFICATIONS, Paths
from minified.study.studies import Study


def provenance(study: Study, paths: Paths) -> None:
    """Write provenance.json: configuration, data checksums, device type, package versions.

    It is taken from the records of the jobs that the figures and tables follow from. In a run these
    are all there and intact (`Records.check`). Of the study it has only what no job depends on yet,
    and of this machine the versions of the packages that shape no result.

    Raises:
        ArtefactError: there are no prepared data, or the artefacts were made on different types of
            machine.
    """
    made = _records(study, paths)
    configuration = copy.deepcopy(study.plain)
    for key in ("name", *CHANGES_NOTHING):
        del configuration[key]
    versions: dict[str, str] = {}
    for name, record in made.items():
        # Those of a job that belongs to another specification are not the study's own settings.
        settings = {} if name.startswith(f"{SPECIFICATIONS}/") else record["settings"]
        for key, value in settings.items():
            _put(configuration, key.split("."), value)
        versions |= record["packages"]
    python = versions.pop("python", PYTHON)
    if data := made.get("prepare"):
        raw, prepared = data["raw"], data["written"][paths.data.name]
    else:
        raw = files.read_metadata(paths.data)["checksums"]
        prepared = files.checksum(paths.data)
    record = {
        "study": study.name,
        "configuration": configuration,
        "configuration_sha256": digest(configuration),
        "data": {
            "name": configuration["data"]["name"],
            "raw_sha256": raw,
            "prepared_sha256": prepared,
        },
        "device": _machine(made, paths) or _here(study),
        "python": python,
        "packages": installed() | versions,
    }
    files.write_text(paths.provenance, json.dumps(record, indent=2, sort_keys=True) + "\n")


def _records(study: Study, paths: Paths) -> dict[str, dict[str, Any]]:
    """The records of the jobs that a study's figures and tables follow from, by job."""
    records = Records(study, paths)
    ancestors = records.ancestors(tasks.task(study, paths, "provenance"))
    return {task.name: record for task in ancestors if (record := records.read(task))}


def _here(study: Study) -> dict[str, str]:
    """The type of this machine, where no job has recorded its own yet."""
    arithmetic.fix(study.threads, study.arithmetic)
    return arithmetic.device(study.arithmetic, study.device)


def _put(whole: dict[str, Any], place: list[str], value: Any) -> None:
    """Set the setting at `place`, unless it is no setting of the study (how criteria look)."""
    for key in place[:-1]:
        whole = whole.get(key) or {}
    if place[-1] in whole:
        whole[place[-1]] = value


def _machine(made: Mapping[str, Mapping[str, Any]], paths: Paths) -> dict[str, str] | None:
    """The type of machine on which all artefacts were made; None if no job has recorded any."""
    by_job = {name: record["machine"] for name, record in made.items() if record["machine"]}
    first = next(iter(by_job), None)
    if first is None:
        return None
    for name, machine in by_job.items():
        if machine != by_job[first]:
            difference = edit(by_job[first], machine)
            raise ArtefactError(
                paths.root / next(iter(made[name]["written"])),
                f"{first} and {name} were done on different types of machine ({difference}), whose"
                " bits may differ",
            )
    return by_job[first]
