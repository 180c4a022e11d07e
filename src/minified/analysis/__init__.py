"""From rows to verdicts: what tables and figures there are, and what each is made from.

This catalogue is read by the workflow, so importing it imports neither torch nor matplotlib.
"""

from dataclasses import dataclass

from minified.study import Study

FORMATS = ("svg", "pdf", "png")


@dataclass(frozen=True)
class Figure:
    """A figure: the tables it is drawn from, and what the grid must have for it.

    `needs` are parts of the grid. `regimes` must all stand at one level at least; None asks for no
    pruning at all.
    """

    tables: tuple[str, ...]
    needs: tuple[str, ...] = ()
    regimes: tuple[str, ...] | None = None
    settings: tuple[str, ...] = ()
    """Settings of the study, beside the grid, that the drawing reads."""

    def drawn_for(self, study: Study) -> bool:
        """Whether `study` has what the figure shows."""
        grids = [getattr(study.grid, part) for part in self.needs]
        pruning = [study.pruning(level) for level in study.levels]
        return all(grid is not None for grid in grids) and (
            self.regimes is None or any(set(self.regimes) <= set(grid.regimes) for grid in pruning)
        )


_RESULTS = ("results.csv",)

FIGURES: dict[str, Figure] = {
    "parameter_pruning": Figure(_RESULTS, needs=("parameter",)),
    "neuron_pruning": Figure(_RESULTS, needs=("neuron",)),
    "fine_tune_minus_scratch": Figure(
        _RESULTS, regimes=("fine_tune", "scratch"), settings=("claims",)
    ),
    "before_retraining": Figure(_RESULTS, regimes=("fine_tune",)),
    "pruning_against_quantization": Figure(_RESULTS, needs=("quantization",)),
    "damage_correlation": Figure(("damage.csv",), regimes=()),
    "damage_scatter": Figure(("damage_units.csv", "damage.csv"), regimes=()),
    "claims": Figure(("claims.csv",), settings=("claims",)),
}

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
    """The figures that a study's grid gives, in the order of the catalogue."""
    return [name for name, figure in FIGURES.items() if figure.drawn_for(study)]


def figure_groups(study: Study) -> dict[str, list[str]]:
    """A study's figures by the table that they are drawn from: `results`, `damage`, `claims`."""
    groups: dict[str, list[str]] = {}
    for name in figure_names(study):
        table = FIGURES[name].tables[0]
        groups.setdefault(table.partition("_")[0].removesuffix(".csv"), []).append(name)
    return groups
