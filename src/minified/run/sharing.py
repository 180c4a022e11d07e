"""Which specifications of a study share a job, so that it is done once.

Two specifications share a job if every setting that it depends on is the same in both, and every
setting that the jobs before it depend on. It belongs to the first of them, in the order of the
study: the base, the product of the axes, the variants.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minified.study.paths import maker, place_of
from minified.study.specifications import BASE
from minified.study.studies import Study

if TYPE_CHECKING:
    from minified.run.job import Task

Known = Callable[[str, str, Mapping[str, Any]], "Task"]
"""The job of a specification, by stage and options, as if it shared nothing; its files are below
the study's name.
"""


class Owners:
    """Tells which specification a job belongs to."""

    def __init__(self, study: Study, known: Known):
        self._order = [BASE, *(name for name in study.specified if name != BASE)]
        self._known = known
        self._root = Path(study.name)
        self._contents: dict[Any, str] = {}
        self._owners: dict[Any, str] = {}

    def owner(self, specification: str, stage: str, options: Mapping[str, Any]) -> str:
        """The specification that does this job of `specification`."""
        if specification == BASE:
            return BASE
        key = (specification, stage, *options.items())
        if key not in self._owners:
            content = self._content(specification, stage, options)
            self._owners[key] = next(
                name
                for name in self._order
                if name == specification or self._content(name, stage, options) == content
            )
        return self._owners[key]

    def places(self, specification: str) -> Callable[[Path], Path]:
        """Tells where a specification's files are, for `Paths`."""

        def place(of: Path) -> Path:
            made_by = maker(of)
            assert made_by is not None, of
            stage, options = made_by
            options.pop("block", None)  # a job's blocks belong where it belongs
            return place_of(self.owner(specification, stage, options), of)

        return place

    def _content(self, specification: str, stage: str, options: Mapping[str, Any]) -> str:
        """The checksum of the settings on which a job depends, with those of the jobs before it."""
        key = (specification, stage, *options.items())
        if key not in self._contents:
            task = self._known(specification, stage, options)
            places = [file.relative_to(self._root) for file in task.read]
            before = sorted({self._before(specification, place) for place in places})
            # Without such options as change nothing.
            own = list(task.options.items())
            text = json.dumps([stage, own, task.settings, before], sort_keys=True)
            self._contents[key] = hashlib.sha256(text.encode()).hexdigest()
        return self._contents[key]

    def _before(self, specification: str, place: Path) -> str:
        made_by = maker(place)
        return self._content(specification, *made_by) if made_by else str(place)
