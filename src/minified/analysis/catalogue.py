"""All figures and tables, and what each is made from.

A figure's file has a literal `RECORD` at its top, which is read here without running the file: the
workflow imports this catalogue, and must not import torch or matplotlib with it.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from minified.foundations import literals
from minified.foundations.errors import RecordError
from minified.study.studies import Study

FORMATS = ("svg", "pdf", "png")


@dataclass(frozen=True)
class Figure:
    """A figure's record.

    Attributes:
        tables: the tables that it is drawn from.
        needs: parts of the grid (`parameter`, `quantization`; `pruning` for any level) without
            which it is not drawn.
        regimes: regimes that must all be in the grid of at least one level.
        settings: settings of the study that it is drawn from, besides the grid.
    """

    tables: tuple[str, ...]
    needs: tuple[str, ...] = ()
    regimes: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()

    def drawn_for(self, study: Study) -> bool:
        """Whether `study` has what the figure shows."""
        pruning = [study.pruning(level) for level in study.levels]
        grids = [getattr(study.grid, part) for part in self.needs if part != "pruning"]
        if "pruning" in self.needs and not pruning:
            return False
        return all(grid is not None for grid in grids) and (
            not self.regimes or any(set(self.regimes) <= set(grid.regimes) for grid in pruning)
        )


def _read_all() -> dict[str, Figure]:
    figures = {}
    for file in sorted((Path(__file__).parent / "figures").glob("*.py")):
        record = literals.read(file, "RECORD")
        if record is not None:
            figures[file.stem] = from_record(file, record)
    return figures


def from_record(file: Path, record: Any) -> Figure:
    """A figure's record as written in its file, checked.

    Raises:
        RecordError: names the file and the key.
    """
    known = [one.name for one in fields(Figure)]
    if not isinstance(record, dict) or not record.get("tables"):
        raise RecordError(f"{file}: RECORD: must be a dict, with at least one table in tables")
    for key, value in record.items():
        if key not in known:
            raise RecordError(f"{file}: RECORD: unknown key {key!r}; allowed: {', '.join(known)}")
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise RecordError(f"{file}: RECORD: {key} must be a list of strings")
    return Figure(**{key: tuple(value) for key, value in record.items()})


FIGURES = _read_all()
"""All figures, by name: one file of figures/ each, with its `RECORD`."""

TABLES = (
    "results.csv",
    *(
        f"{name}.{kind}"
        for name in ("accuracy", "sizes", "claims", "claims_detail", "damage")
        for kind in ("csv", "md", "tex")
    ),
)

WRITTEN_TABLES = (
    *(f"{name}.{kind}" for name in ("accuracy", "sizes") for kind in ("md", "tex")),
    *(f"{name}.{kind}" for name in ("claims", "claims_detail", "damage") for kind in ("md", "tex")),
)
"""Tables that `minified tables` writes beside accuracy.csv and sizes.csv."""


def figure_names(study: Study) -> list[str]:
    """The figures that are drawn for a study, in the order of the catalogue."""
    return [name for name, figure in FIGURES.items() if figure.drawn_for(study)]
