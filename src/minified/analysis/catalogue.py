"""All figures and tables, and what each is made from.

A figure's file has a literal `RECORD` at its top, which is read here without running the file: the
workflow imports this catalogue, and must not import torch or matplotlib with it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minified.analysis import budgets
from minified.criteria.record import LEVELS
from minified.foundations import literals
from minified.foundations.errors import RecordError
from minified.study.regimes import REGIMES
from minified.study.settings import Settings
from minified.study.studies import Study

FORMATS = ("svg", "pdf", "png")

_PARTS = (*LEVELS, "quantization", "pruning", "trained", "specifications", "budgets")


@dataclass(frozen=True)
class Figure:
    """A figure's record.

    Attributes:
        tables: the tables that it is drawn from.
        needs: parts of the grid (`parameter`, `quantization`; `pruning` for any level; `trained`
            for a level with a regime that starts from the trained network) or of the study
            (`specifications`; `budgets`, if it varies those of fine-tuning and of scratch) without
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
        there = {part for part in _PARTS if getattr(study.grid, part, None) is not None}
        there |= {"pruning"} if pruning else set()
        there |= {"specifications"} if study.specified else set()
        there |= (
            {"budgets"} if any(budgets.varied(study, level) for level in study.levels) else set()
        )
        there |= {"trained"} if any(map(study.trained_regime, study.levels)) else set()
        return set(self.needs) <= there and (
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
    allowed = {
        "tables": [n for n in (*TABLES, *SPECIFICATION_TABLES) if n.endswith(".csv")],
        "needs": list(_PARTS),
        "regimes": list(REGIMES),
        "settings": list(Settings.model_fields),
    }
    if not isinstance(record, dict) or not record.get("tables"):
        raise RecordError(f"{file}: RECORD: must be a dict, with at least one table in tables")
    for key, value in record.items():
        if key not in allowed:
            keys = ", ".join(allowed)
            raise RecordError(f"{file}: RECORD: unknown key {key!r}; allowed: {keys}")
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise RecordError(f"{file}: RECORD: {key} must be a list of strings")
        for word in value:
            if word not in allowed[key]:
                names = ", ".join(allowed[key])
                raise RecordError(f"{file}: RECORD: {key}: {word!r} is not one of {names}")
    return Figure(**{key: tuple(value) for key, value in record.items()})


TABLES = (
    "results.csv",
    *("curves.csv", "damage_scatter.csv", "kept.csv", "overlap.csv"),
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


SPECIFICATION_TABLES = (
    "specifications.csv",
    "specification_rows.csv",
    "specifications_axes.csv",
    *(f"specifications_summary.{kind}" for kind in ("csv", "md", "tex")),
)
"""Tables of a study that varies something."""


def published_tables(study: Study) -> tuple[str, ...]:
    """The tables that are published of a study."""
    return TABLES + (SPECIFICATION_TABLES if study.specified else ())


FIGURES = _read_all()
"""All figures, by name: one file of figures/ each, with its `RECORD`."""


def figure_names(study: Study) -> list[str]:
    """The figures that are drawn for a study, in the order of the catalogue."""
    return [name for name, figure in FIGURES.items() if figure.drawn_for(study)]
