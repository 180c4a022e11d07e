"""The jobs of a study whose replicates are done in blocks: one per block, and one that puts the
blocks' files together under the names that they have in any study.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from minified.run.job import Task
from minified.study.paths import Paths
from minified.study.studies import Study

Known = Callable[[Study, Paths, str, dict[str, str]], Task]
"""The job of a study or of a block, by stage and options, as if it did all its replicates."""


def put_together(
    study: Study, paths: Paths, whole: Task, known: Known, sources: frozenset[Path]
) -> Task:
    """The job that makes of the files of blocks those of `whole`, which would do all replicates.

    `sources`: the source files that shape how it does so.
    """
    parts = []
    for block in study.blocks:
        own = study.within(block)
        numbers = own.damaged if whole.stage == "damage" else own.numbers
        if numbers:
            part = known(own, replace(paths, block=block), whole.stage, dict(whole.options))
            parts.append((numbers, part.outputs))
    return replace(
        whole,
        inputs={"blocks": [file for _, files in parts for file in files]},
        # The others say what else was edited, where the blocks are to be made again.
        settings={**whole.settings, **study.excerpt("replicates_per_job")},
        sources=sources,
        parts=tuple(parts),
    )
