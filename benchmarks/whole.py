"""Whole studies: wall time against their jobs' own compute, by the clock on this machine.

Own compute is the processor time in the logs of the jobs, without imports, divided by the number of
cores. Run as `python benchmarks/whole.py digits digits_specifications` (half an hour): prints rows,
writes benchmarks/whole.md.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import common
import dag
from common import Row

from minified.foundations import files


def whole(study: Path) -> Row:
    """A study's wall time against its jobs' own compute."""
    wall, own = dag.study_run(study)
    assert own is not None
    return dag.overhead(study, wall, own)


def write(studies: Sequence[str], cells: Sequence[Mapping[str, str]]) -> None:
    """The rows as Markdown."""
    text = (
        f"# Whole studies\n\nMeasured on {common.machine()}, by the clock. Made"
        f" by `python benchmarks/whole.py {' '.join(studies)}`.\n\n"
    )
    text += common.markdown(common.COLUMNS, cells)
    files.write_text(Path(__file__).with_suffix(".md"), common.wrapped(text), checksum=False)


def measure(options: argparse.Namespace) -> list[Row]:
    rows = [whole(common.DEFAULT_STUDY.with_stem(name)) for name in options.studies]
    write(options.studies, [row.cells() for row in rows])
    return rows


if __name__ == "__main__":
    given = common.parser(__doc__)
    given.add_argument("studies", nargs="+", metavar="STUDY", help="a name in config/")
    common.main(measure, given)
