"""What made each artefact: its job records it, whoever reads the artefact checks the record.

A job's record (results/STUDY/records/JOB.json) holds the settings that the job depends on, the
SHA-256 of its source files, the versions of packages, the fingerprints of the jobs whose files it
read, and the SHA-256 of every file that it read and wrote. A job's fingerprint is the checksum of
the first four. It follows from the study and the source files alone, so it says what an artefact
should be made of before there is one, and needs no artefact in between.

    records = Records(study, paths)
    records.problem(task)       # None, or what is wrong with the files of a job
"""

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from minified.foundations import files
from minified.foundations.errors import ArtefactError, MinifiedError
from minified.foundations.modules import PACKAGE
from minified.run import sources, tasks
from minified.run.edits import edit
from minified.run.job import Task
from minified.run.packages import versions
from minified.study.paths import Paths
from minified.study.studies import Study

_UNRECORDED = "has no record of what made it"
FOLLOWS = "depends on settings or sources that changed"
"""Ends the problem of a result that is as its own settings and sources want it."""


@dataclass(frozen=True)
class Begun:
    """What a job found when it began: its record so far, and the state of the files it reads."""

    task: Task
    record: Mapping[str, Any]
    state: Mapping[Path, tuple[int, ...]]


class Records:
    """The records of one study's jobs, as they are and as they should be."""

    def __init__(self, study: Study, paths: Paths):
        self.study = study
        self.paths = paths
        self._expected: dict[str, dict[str, Any]] = {}
        self._fingerprints: dict[str, str] = {}
        self._producers: dict[Path, Task | None] = {}
        self._sources: dict[Path, tuple[str, str]] = {}
        self._sets: dict[frozenset[Path], dict[str, str]] = {}
        self._read: dict[str, dict[str, Any] | None] = {}

    def expected(self, task: Task) -> dict[str, Any]:
        """What a job is made of now: the part of its record from which its fingerprint follows."""
        if task.name not in self._expected:
            self._expected[task.name] = {
                "settings": task.settings,
                "sources": self._digests(task.sources),
                "packages": versions(task.stage),
                "inputs": {maker.name: self.fingerprint(maker) for maker in self.makers(task)},
            }
        return self._expected[task.name]

    def fingerprint(self, task: Task) -> str:
        """The SHA-256 of what a job is made of now."""
        if task.name not in self._fingerprints:
            self._fingerprints[task.name] = digest(self.expected(task))
        return self._fingerprints[task.name]

    def makers(self, task: Task) -> list[Task]:
        """The jobs whose files a job reads, each once."""
        found: dict[str, Task] = {}
        for file in task.read:
            if file not in self._producers:
                self._producers[file] = tasks.producer(self.study, self.paths, file)
            if maker := self._producers[file]:
                found[maker.name] = maker
        return list(found.values())

    def ancestors(self, task: Task) -> list[Task]:
        """All jobs that a job's results follow from, the first ones first."""
        found: dict[str, Task] = {}

        def visit(maker: Task) -> None:
            if maker.name not in found:
                for earlier in self.makers(maker):
                    visit(earlier)
                found[maker.name] = maker

        for maker in self.makers(task):
            visit(maker)
        return list(found.values())

    def read(self, task: Task) -> dict[str, Any] | None:
        """The record of a job, as it was when first asked for; None if none is intact."""
        if task.name not in self._read:
            try:
                record = json.loads(self.paths.record(task.name).read_bytes())
                sealed = record.pop("sha256") == digest(record)
            except (OSError, ValueError, AttributeError, KeyError, TypeError):
                sealed = False
            self._read[task.name] = record if sealed else None
        return self._read[task.name]

    def problem(self, task: Task) -> tuple[Path, str] | None:
        """A file of a job that is not what it should be, and why; None if there is none."""
        return next(self._problems(task), None)

    def check(self, task: Task, *, by_hand: bool = False) -> None:
        """Refuse to make anything from files that today's study and sources would not make.

        `by_hand`: take files that no job has recorded, such as the committed tables, with a
        warning. A run makes them again, and what follows from them; they are never published.

        Raises:
            ArtefactError: names the file and what differs.
        """
        for maker in self.ancestors(task):
            for file, problem in self._problems(maker):
                if not by_hand or problem != _UNRECORDED or self.paths.record(maker.name).exists():
                    raise ArtefactError(file, problem)
                print(f"minified: warning: {file}: {problem}", file=sys.stderr)

    def _problems(self, task: Task) -> Iterator[tuple[Path, str]]:
        """The files of a job that are not what they should be, and why."""
        there = [file for file in task.outputs if file.exists()]
        if not there:
            return
        record = self.read(task)
        if record is None:
            yield there[0], _UNRECORDED
            return
        if record["fingerprint"] != self.fingerprint(task):
            yield there[0], f"was made from something else: {self._difference(task, record)}"
        for file in there:
            if record["written"].get(self._name(file)) != files.checksum(file):
                yield file, "is not the file that its job wrote"
        for maker in self.makers(task):
            made = self.read(maker) or {"written": {}}
            for name, checksum in made["written"].items():
                if record["read"].get(name, checksum) != checksum:
                    yield there[0], f"was made from another {self.paths.root / name}"

    def _difference(self, task: Task, record: Mapping[str, Any]) -> str:
        """What a job would be made of now, and was not."""
        expected = self.expected(task)
        for key, words in (("settings", ""), ("packages", "the package ")):
            if difference := edit(record[key], expected[key]):
                return words + difference
        if changed := _changed(record["sources"], expected["sources"]):
            return f"the source file {changed} was another"
        if changed := _changed(record["inputs"], expected["inputs"]):
            return f"{changed} {FOLLOWS}"
        return "its record was altered"

    def begin(self, task: Task) -> Begun:
        """Take down what a job is made of, before it does anything.

        Raises:
            MinifiedError: a source file has changed since this process began, which may have loaded
                it before; or something else is in the place of the record.
        """
        state = {file: sources.signature(file)[:3] for file in task.sources}
        record = {"fingerprint": self.fingerprint(task), **self.expected(task)}
        for file in task.sources:
            known = self._sources[file][1] == sources.digest(file)
            if not (known and sources.unchanged(file)):
                raise _changed_meanwhile(file, task)
        if self.paths.record(task.name).is_dir():
            raise MinifiedError(f"{self.paths.record(task.name)}: must be a file; remove it")
        record["read"] = {self._name(file): files.checksum(file) for file in _there(task.read)}
        return Begun(task, record, state)

    def write(self, begun: Begun, machine: Mapping[str, str] | None = None) -> None:
        """Write the record of a job that has written all its files.

        `machine`: the type of machine, where the bits depend on it.

        Raises:
            MinifiedError: what the job read has changed since it began.
        """
        task, record = begun.task, dict(begun.record)
        for file, state in begun.state.items():
            # A link or other permissions change no byte; what was edited and taken back, might.
            if not file.exists() or sources.signature(file)[:3] != state:
                raise _changed_meanwhile(file, task)
            if self._sources[file][1] != sources.digest(file):
                raise _changed_meanwhile(file, task)
        for name, checksum in record["read"].items():
            file = self.paths.root / name
            if file.exists() and files.checksum(file) != checksum:
                raise _changed_meanwhile(file, task)
        record["written"] = {self._name(file): files.checksum(file) for file in task.outputs}
        record["machine"] = dict(machine) if machine else None
        if task.stage == "prepare":
            record["raw"] = files.read_metadata(task.outputs[0]).get("checksums", {})
        files.write_text(self.paths.record(task.name), seal(record), checksum=False)

    def _name(self, file: Path) -> str:
        """A file as seen from the results of its study, so that these can be moved."""
        return file.relative_to(self.paths.root).as_posix()

    def _digests(self, of: frozenset[Path]) -> dict[str, str]:
        """The SHA-256 of source files, by name. Jobs share many; each is looked at once."""
        if of not in self._sets:
            for file in of:
                if file not in self._sources:
                    self._sources[file] = (
                        _label(file, self.study.file.absolute().parent),
                        sources.digest(file),
                    )
            self._sets[of] = dict(self._sources[file] for file in of)
        return self._sets[of]


def seal(record: Mapping[str, Any]) -> str:
    """The text of a record, with its own checksum in it."""
    return json.dumps({**record, "sha256": digest(record)}, indent=1, sort_keys=True) + "\n"


def digest(value: Mapping[str, Any]) -> str:
    """The SHA-256 of plain values, as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _label(file: Path, folder: Path) -> str:
    """A source file as seen from its package, or from its study's folder."""
    for root in (PACKAGE.parent, folder):
        if file.absolute().is_relative_to(root):
            return file.absolute().relative_to(root).as_posix()
    return file.name


def _changed_meanwhile(file: Path, task: Task) -> MinifiedError:
    return MinifiedError(
        f"{sources.relative(file)}: changed while {task.name} was reading it, so its results cannot"
        " be used; run it again"
    )


def _there(read: list[Path]) -> list[Path]:
    return [file for file in read if file.exists()]


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    """The first name whose value is not the same, and how many more there are."""
    names = [n for n in sorted({*before, *after}) if before.get(n) != after.get(n)]
    more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
    return names[0] + more if names else None
