"""`minified verify`: regenerate a study elsewhere and compare it with what is committed."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minified.data.catalogue import VARIABLE
from minified.foundations import files
from minified.foundations.errors import MinifiedError
from minified.run import device as devices
from minified.run import leftovers, lock
from minified.run.compare import (
    COLUMNS,
    PROVENANCE,
    TOLERANCE,
    Difference,
    beyond_tolerance,
    compare,
    device,
    files_of,
    verdict_changes,
)
from minified.study.paths import Paths
from minified.study.refusals import cut
from minified.study.studies import Study

IDENTICAL, TOLERATED, DIFFERENT = "identical", "tolerated", "different"
STATUS = {IDENTICAL: 0, TOLERATED: 0, DIFFERENT: 3}
"""Exit statuses; 1 means that the comparison could not be made."""

_SHOWN = 20
_UNTIL = ", until the next comparison; --folder DIR keeps them"


def verify(study: Study, cores: str, folder: Path | None) -> str:
    """Regenerate `study` in `folder` (or a temporary one), compare, print and return the outcome.

    Raises:
        MinifiedError: there is nothing to compare with, or the study could not be regenerated.
    """
    for needed in ("Snakefile", "figures"):
        if not Path(needed).exists():
            raise MinifiedError(f"{needed}: not here; run this in the repository")
    if cores != "all" and not (cores.isdecimal() and int(cores) > 0):
        raise MinifiedError(f"--cores {cores}: must be a number from 1, or all")
    if problem := devices.missing(study):
        raise MinifiedError(problem)
    if folder is None and (removed := leftovers.comparisons()):
        print(f"removed what earlier comparisons left: {', '.join(map(str, removed))}")
    place = _place(study, folder)
    lock.hold(place / leftovers.MARK)
    if folder is not None:
        (place / leftovers.KEPT).touch()
    try:
        committed = _committed(study, place / "committed")
    except MinifiedError:
        if folder is None:
            shutil.rmtree(place)
        raise
    print(f"regenerating {study.name} in {place}", flush=True)
    _regenerate(study, cores, place, kept=folder is not None)
    regenerated = place / Paths(study.name).publication
    differences = compare(committed, regenerated)
    if differences:
        report = place / "differences.csv"
        files.write_rows(report, COLUMNS, [vars(d) for d in differences], checksum=False)
        until = _UNTIL if folder is None else ""
        print(f"all differences: {report}; the regenerated files are kept beside it{until}")
    outcome = summarise(committed, regenerated, differences)
    if folder is None and not differences:
        shutil.rmtree(place)
    return outcome


def _place(study: Study, folder: Path | None) -> Path:
    """The folder to work in: a new one, an empty one, or that of an earlier comparison."""
    if folder is None:
        return Path(tempfile.mkdtemp(prefix=f"{leftovers.PREFIX}{study.name}-"))
    if folder.exists() and not (folder / leftovers.MARK).exists() and any(folder.iterdir()):
        raise MinifiedError(
            f"--folder {folder}: must be new, empty, or that of an earlier comparison"
        )
    return folder


def _committed(study: Study, target: Path) -> Path:
    """Copy the published figures to `target`, as they are in the repository's last commit.

    If they are not committed (a user's own study, an unpacked archive), copy the folder as it is.
    """
    source = Paths(study.name).publication
    shutil.rmtree(target, ignore_errors=True)
    listed = _git("ls-tree", "-r", "-z", "--name-only", "HEAD", f"./{source}")
    if not listed:
        if not source.is_dir():
            raise MinifiedError(f"{source}: nothing to compare with; run the workflow first")
        print(f"{source} is not committed: comparing with the folder as it is")
        shutil.copytree(source, target)
        return target
    for name in listed.decode().rstrip("\0").split("\0"):
        file = target / Path(name).relative_to(source)
        file.parent.mkdir(parents=True, exist_ok=True)
        content = _git("show", f"HEAD:./{name}")
        if content is None:
            raise MinifiedError(f"{name}: git cannot show the committed file")
        file.write_bytes(content)
    return target


def _git(*arguments: str) -> bytes | None:
    """What git prints, or None if it cannot."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, check=False)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def _regenerate(study: Study, cores: str, place: Path, *, kept: bool) -> None:
    """Run the workflow up to its published figures, with `place` as working folder."""
    # In a file, since Snakemake would read some paths after `--config` as numbers or other types.
    config = place / "verify.json"
    files.write_text(config, json.dumps({"study": str(study.file.absolute())}), checksum=False)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    # The caller's own profile could change the run, for example by `dry-run`.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SNAKEMAKE_")}
    # Absolute, since a data root below this folder is not below the other.
    environment |= {"PATH": path, VARIABLE: str(study.raw_data.absolute())}
    environment.setdefault("HOME", str(place))  # Snakemake does not start without one
    # If it is killed, what it leaves is removed with this folder.
    temporary = place / "temporary"
    temporary.mkdir(exist_ok=True)
    environment["TMPDIR"] = str(temporary.absolute())
    command = [
        *(sys.executable, "-m", "snakemake", str(Paths(study.name).published)),
        *("--snakefile", "Snakefile", "--directory", str(place), "--cores", cores),
        *("--workflow-profile", "workflow/profiles/default"),
        *("--quiet", "host", "rules", "reason", "--configfile", str(config)),
    ]
    done = subprocess.run(command, env=environment, stdout=sys.stderr, check=False)
    if done.returncode != 0:
        again = shlex.join(["minified", "verify", str(study.file), "--folder", str(place)])
        until = "" if kept else " (the next comparison removes that folder, unless it is named so)"
        raise MinifiedError(
            f"study {study.name} could not be regenerated (see above); to go on from where it"
            f" stopped: {again}{until}"
        )


def summarise(committed: Path, regenerated: Path, differences: list[Difference]) -> str:
    """Print the comparison and return its outcome."""
    count = len(files_of(committed) | files_of(regenerated))
    if not differences:
        print(f"identical: all {count} files, byte for byte")
        return IDENTICAL
    before, after = device(committed), device(regenerated)
    unlike = len({difference.file for difference in differences})
    print(f"{unlike} of {count} files differ, in {len(differences)} fields; the furthest apart:")
    # The provenance comes first: what the study was made from may explain the rest.
    furthest = sorted(differences, key=lambda d: (d.file != PROVENANCE, -(d.difference or 0.0)))
    lines = [tuple(_cell(getattr(d, column)) for column in COLUMNS) for d in furthest[:_SHOWN]]
    widths = [max(map(len, column)) for column in zip(COLUMNS, *lines, strict=True)]
    for cells in (COLUMNS, *lines):
        padded = (f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True))
        print("  " + "  ".join(padded).rstrip())
    if len(differences) > _SHOWN:
        print(f"  ... and {len(differences) - _SHOWN} more")
    largest = max(difference.difference or 0.0 for difference in differences)
    print(f"largest difference: {largest:.6g}")
    changes = verdict_changes(committed, regenerated)
    for change in changes:
        print(f"verdict changed: {change}")
    if not changes:
        print("no verdict changed")
    if before is None or after is None:
        print(f"{PROVENANCE} does not say what type of machine made them: no difference is excused")
        return DIFFERENT
    if before == after:
        return DIFFERENT
    machines = f"made on {_machine(before)}; this is {_machine(after)}"
    print(f"{machines}: float sums may differ between them")
    beyond = beyond_tolerance(committed, regenerated)
    for line in beyond[:_SHOWN]:
        print(f"beyond the tolerance: {line}")
    if len(beyond) > _SHOWN:
        print(f"  ... and {len(beyond) - _SHOWN} more")
    outcome = DIFFERENT if beyond or changes else TOLERATED
    print(f"{'not ' if outcome == DIFFERENT else ''}within the tolerance: {TOLERANCE}")
    return outcome


def _cell(value: Any) -> str:
    text = "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)
    return cut(text, 40)


def _machine(device: Mapping[str, str]) -> str:
    return " ".join(device[key] for key in sorted(device))
