"""Blocks: the replicates of a study in parts, so that several jobs do them side by side.

    replicates: 8
    replicates_per_job: 4           # blocks 0-3 and 4-7

A block is named by its first and its last replicate. A replicate's number is the same in a block
and in the whole study, and so are its seeds: how a study is split changes no bit of its results.
"""

from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pydantic import ConfigDict, Field

from minified.foundations.errors import StudyError
from minified.study.refusals import cut, short
from minified.study.settings import DamageOptions, Settings

CHANGES_NOTHING = ("data_root", "replicates_per_job")
"""Settings that say where and by how many jobs a study is done: no result depends on them."""


class Replicated(Settings):
    """Settings, and which of the replicates they are for: all, or those of one block.

    With the settings of a block, `replicates` is how many it has.
    """

    model_config = ConfigDict(ignored_types=(cached_property,))

    name: str
    file: Path
    # Not dumped: no key of a study's file.
    block: str = Field(default="", exclude=True)
    """The name of the block; empty if these are all replicates of the study."""

    @cached_property
    def memory(self) -> dict[Any, Any]:
        """For those who compute something of a study that they will be asked again."""
        return {}

    @property
    def blocks(self) -> list[str]:
        """The blocks into which the jobs are split; none if each does all replicates."""
        size = self.replicates_per_job or self.replicates
        if size == self.replicates:
            return []
        starts = range(0, self.replicates, size)
        return [f"{start}-{min(start + size, self.replicates) - 1}" for start in starts]

    @property
    def numbers(self) -> range:
        """The replicates, by their numbers in the whole study."""
        first = int(self.block.partition("-")[0]) if self.block else 0
        return range(first, first + self.replicates)

    @property
    def damaged(self) -> range:
        """The replicates whose damage by single removals is measured; a block may have none."""
        chosen = self.damage.replicates
        return self.numbers[: self.replicates if chosen is None else chosen]

    def within(self, block: str) -> Self:
        """The study with the replicates of one block alone.

        Raises:
            StudyError: it has no such block.
        """
        if block == self.block:
            return self
        if ("block", block) not in self.memory:
            if block not in self.blocks:
                known = ", ".join(self.blocks) or "none, without replicates_per_job"
                raise StudyError(
                    f"{self.file}: block {short(block)}: unknown here; allowed: {cut(known, 400)}"
                )
            first, last = map(int, block.split("-"))
            damaged = [number for number in self.damaged if first <= number <= last]
            values = {key: getattr(self, key) for key in type(self).model_fields} | {
                "block": block,
                "replicates": last - first + 1,
                "replicates_per_job": None,
                "damage": DamageOptions.model_construct(
                    units=self.damage.units, replicates=len(damaged)
                ),
            }
            self.memory["block", block] = self.model_construct(**values)
        return self.memory["block", block]

    @cached_property
    def plain(self) -> dict[str, Any]:
        """All settings and the study's name as plain values, as JSON has them."""
        return self.model_dump(mode="json", exclude={"file", "specification", "specified"})

    def excerpt(self, *keys: str) -> dict[str, Any]:
        """The named settings (`recipes.baseline`) as plain values: what a job depends on.

        In a block, which replicates it has is in the place of how many the study has, so that more
        of them leave the results of a block as they are.
        """
        chosen: dict[str, Any] = {}
        for key in keys:
            if self.block and key == "replicates":
                chosen["block"] = self.block
                continue
            value: Any = self.plain
            for part in key.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            chosen[key] = value
        return chosen
