"""One job of a study, as `minified.run.tasks` knows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minified.study.paths import in_block, place_of
from minified.study.specifications import BASE


@dataclass(frozen=True)
class Task:
    """One job of a study.

    Attributes:
        options: the options of its verb; in the workflow, its wildcards.
        inputs: the files that it reads, by name.
        outputs: the files that it writes.
        settings: the settings that it depends on, as plain values.
        sources: the source files that shape what it writes.
        specification: which of the study's specifications it belongs to.
        block: the replicates that it does, by name; empty for all.
        parts: of a job whose replicates are done in blocks, the numbers of each block's replicates
            and its files, one for each of the `outputs`: all that is left to do is to put them
            together.
    """

    stage: str
    options: Mapping[str, str]
    inputs: Mapping[str, list[Path]]
    outputs: list[Path]
    settings: Mapping[str, Any] = field(default_factory=dict)
    sources: frozenset[Path] = frozenset()
    specification: str = BASE
    block: str = ""
    parts: tuple[tuple[range, list[Path]], ...] = ()

    @property
    def name(self) -> str:
        """Names the job within its study: `retrain/parameter-obd/0.9/scratch`."""
        name = Path("/".join([self.stage, *self.options.values()]))
        return place_of(self.specification, in_block(self.block, name)).as_posix()

    @property
    def read(self) -> list[Path]:
        """All files that it reads."""
        return [file for files in self.inputs.values() for file in files]
