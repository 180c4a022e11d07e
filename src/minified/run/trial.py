"""`minified try`: a criterion on two small networks, before a study is spent on it.

    for line in trial.examine(Path("config/snip.py")):
        print(line)

Each line is one property that a study relies on (`minified.run.properties`). The criterion is run
here and, before that, in another process, in which strings have other hashes.
"""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from minified.criteria import own
from minified.criteria.record import CRITERIA, LEVELS, NAME, Criterion
from minified.foundations import arithmetic
from minified.foundations.errors import MinifiedError, RecordError
from minified.run import properties
from minified.run.properties import NETWORKS, Mark, Properties
from minified.study.plugins import Plugin
from minified.study.refusals import RefusedError, one_line

_CODE = "import sys; from minified.run import trial; trial.repeat(*sys.argv[1:])"


@dataclass(frozen=True)
class Line:
    """What is said about one property."""

    mark: Mark
    what: str
    detail: str

    def __str__(self) -> str:
        return one_line(f"{self.mark:<8}{self.what:<29}{self.detail}")


def examine(file: Path, name: str | None = None, level: str | None = None) -> Iterator[Line]:
    """Try the criterion of `file`: one line per property, at one level or at all that it has.

    Call `arithmetic.fix` first, as jobs do.

    Args:
        name: its function; by default the only one, or the one that is named like the file.
        level: by default the levels that the file declares, or else those at which it scores.
    """
    try:
        criterion, declared = _criterion(file, name, level)
    except RecordError as error:
        yield Line("FAILED", "file", f"{file}: {error}")
        return
    options = ", ".join(f"{key} = {option.default}" for key, option in criterion.options.items())
    yield Line("ok", "file", f"{file}: {criterion.name}(), options: {options or 'none'}")
    elsewhere = _elsewhere(criterion)
    if isinstance(elsewhere, str):
        yield Line("FAILED", "runs", elsewhere)
        return
    tried = {one: _lines(criterion, one, elsewhere) for one in criterion.levels}
    # If nobody says which levels a criterion has, that is found out by trying.
    without = [] if declared else [one for one, lines in tried.items() if _refuses(lines)]
    for one, lines in tried.items():
        if one in without and len(without) < len(tried):
            reason = next(line.detail for line in lines if line.mark == "FAILED")
            yield Line("note", one, f"does not score at this level: {reason}")
        else:
            yield from lines


def repeat(file: str, name: str, levels: str, result: str) -> None:
    """Score in this process, for another one to compare: a file of digests, as JSON."""
    arithmetic.fix(1)
    criterion, _ = _criterion(Path(file), name, None)
    digests = {}
    for level in levels.split(","):
        for network in NETWORKS:
            try:
                scores = properties.scored(criterion, level, network)(properties.SEED)
            except (MinifiedError, KeyboardInterrupt):
                continue  # the other process says why
            digests[f"{level} {network}"] = properties.digest(scores)
    Path(result).write_text(json.dumps(digests), encoding="utf-8")


def _criterion(file: Path, name: str | None, level: str | None) -> tuple[Criterion, bool]:
    """The criterion of a file, and whether it is known at which levels it scores.

    Raises:
        RecordError: there is none; without the file's name.
    """
    here = {one.name: one for one in CRITERIA.values() if one.file.resolve() == file.resolve()}
    if here:
        if (name is None and len(here) > 1) or name not in (None, *here):
            raise RecordError(f"has several criteria, choose one: {', '.join(here)}")
        criterion, declared = here[name or next(iter(here))], True
    else:
        name = name or own.named(file)
        if name in CRITERIA or not NAME.fullmatch(name):
            raise RecordError(f"{name}: must be a name of a-z, 0-9 and _ that no criterion has yet")
        declared = "levels" in (said := own.declared(file, name))
        entry = Plugin.model_construct(
            file=file.name, levels=list(said.get("levels", LEVELS)), title=None
        )
        try:
            criterion = entry.record(name, file.parent)
        except RefusedError as error:
            raise RecordError(error.allowed) from None
    if level is not None:
        if level not in criterion.levels:
            raise RecordError(f"scores at level {', '.join(criterion.levels)}, not {level}")
        criterion, declared = dataclasses.replace(criterion, levels=(level,)), True
    return criterion, declared


def _elsewhere(criterion: Criterion) -> dict[str, str] | str:
    """The digests of a criterion's scores in another process, or how that process ended."""
    levels = ",".join(criterion.levels)
    # Whatever hashes this process has, that one has others.
    hashes = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "digests.json"
        # Without -P the working folder's files could stand in for modules.
        command = [sys.executable, "-P", "-c", _CODE, criterion.file, criterion.name, levels]
        ended = subprocess.run(
            [*map(str, command), str(result)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=os.environ | {"PYTHONHASHSEED": hashes},
        )
        if result.is_file():
            return json.loads(result.read_text(encoding="utf-8"))
    if ended.returncode < 0:
        return f"the process that it runs in is killed (signal {-ended.returncode})"
    said = [line for line in ended.stderr.splitlines() if line.strip()]
    last = f": {said[-1].strip()}" if said else ""
    return f"the process that it runs in ends (status {ended.returncode}){last}"


def _lines(criterion: Criterion, level: str, elsewhere: dict[str, str]) -> list[Line]:
    """What is said about a criterion at one level, on all networks together."""
    found = {
        network: properties.of(criterion, level, network, elsewhere.get(f"{level} {network}"))
        for network in NETWORKS
    }
    names = dict.fromkeys(name for here in found.values() for name in here)
    return [_together(f"{level}: {name}", name, found) for name in names]


def _together(what: str, name: str, found: dict[str, Properties]) -> Line:
    """One line of a property on several networks: the worst of them, named if not all are alike."""
    here = {network: each[name] for network, each in found.items() if name in each}
    marks: tuple[Mark, ...] = ("FAILED", "note", "ok")
    mark = min((mark for mark, _ in here.values()), key=marks.index)
    details = {network: detail for network, (its, detail) in here.items() if its == mark}
    if len(details) == len(found) and len(set(details.values())) == 1:
        return Line(mark, what, next(iter(details.values())))
    return Line(mark, what, "; ".join(f"{network}: {text}" for network, text in details.items()))


def _refuses(lines: list[Line]) -> bool:
    """Whether a criterion gave no scores at all at a level."""
    return not any(line.what.endswith(": finite") for line in lines)
