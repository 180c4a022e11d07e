"""A study: one configuration file, validated as a whole before anything runs.

`load("config/digits.yaml")` returns a frozen `Study`, or raises `StudyError` with one line that
names the file, the key, the value and what is allowed. Importing this module does not import torch.
"""

import os
import re
from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from minified.criteria.record import Criterion
from minified.data import catalogue
from minified.foundations.errors import StudyError
from minified.study import specifications, text
from minified.study.blocks import Replicated
from minified.study.grid import PruningGrid
from minified.study.methods import Job
from minified.study.recipes import Recipe
from minified.study.refusals import RefusedError, cut, line, refusal, short
from minified.study.regimes import FINE_TUNE, Regime
from minified.study.settings import Settings
from minified.study.specifications import BASE, Specification
from minified.study.validation import validated

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
REPOSITORY_STUDIES = Path("config")

if TYPE_CHECKING:
    Specified = Mapping[str, Specification]
else:
    Specified = Any  # pydantic need not know


class Study(Replicated):
    """A validated study: its settings, its name, and the jobs that follow from it."""

    specification: str = BASE
    """Which of a study's specifications these settings are."""
    specified: Specified = Field(default_factory=dict)
    """All of them by name; none if the study varies nothing."""

    def under(self, specification: str) -> "Study":
        """The study with the settings of one of its specifications.

        Raises:
            StudyError: it has none of that name.
        """
        if specification == self.specification:
            return self
        if (made := self.memory.get(("under", specification))) is not None:
            return made
        if specification not in self.specified:
            known = ", ".join(self.specified) or "none"
            raise StudyError(
                f"{self.file}: specification {short(specification)}: unknown here; allowed:"
                f" {cut(known, 400)}"
            )
        settings = self.specified[specification].settings
        values = {key: getattr(settings, key) for key in Settings.model_fields}
        made = Study.model_construct(
            **values, name=self.name, file=self.file, specification=specification
        )
        return self.memory.setdefault(("under", specification), made)

    @cached_property
    def registry(self) -> dict[str, Criterion]:
        """The criteria this study knows: the built-in ones and its own."""
        try:
            return self.known_criteria(self.file.parent)
        except RefusedError as problem:  # a criterion's file has changed since the study was loaded
            raise StudyError(line(self.file, problem)) from None

    def pruning(self, level: str) -> PruningGrid:
        grid = getattr(self.grid, level)
        if grid is None:
            raise StudyError(f"{self.file}: grid.{level}: this study has no such level")
        return grid

    @property
    def raw_data(self) -> Path:
        """The data root: $MINIFIED_DATA if that is set, else `data_root`."""
        return Path(os.environ.get(catalogue.VARIABLE) or self.data_root)

    @property
    def levels(self) -> list[str]:
        """The levels at which this study prunes."""
        return self.grid.levels

    @property
    def methods(self) -> list[str]:
        """The pruning methods (`parameter-random`, ...), in the order of the grid."""
        return [
            f"{level}-{criterion}"
            for level in self.levels
            for criterion in self.pruning(level).criteria
        ]

    def jobs(self) -> Iterator[Job]:
        """Every job of the grid, in the order of the tables."""
        for method in self.methods:
            grid = self.pruning(method.partition("-")[0])
            for sparsity in grid.sparsities:
                for regime in grid.regimes:
                    yield Job(method, repr(sparsity), regime)
        if self.grid.quantization is not None:
            for bits in self.grid.quantization.bits:
                for regime in self.grid.quantization.regimes:
                    yield Job("quantization", str(bits), regime)

    def regime(self, name: str) -> Regime:
        """The record of one of this study's regimes."""
        if name not in self.known_regimes:
            known = ", ".join(self.known_regimes)
            raise StudyError(f"{self.file}: regime {short(name)}: unknown here; allowed: {known}")
        return self.known_regimes[name]

    def trained_regime(self, level: str) -> str | None:
        """The regime of a level's grid that shows what pruning leaves of the trained network:
        `fine_tune`, or else the first that starts from it.
        """
        regimes = self.pruning(level).regimes
        trained = [name for name in regimes if self.regime(name).start == "trained"]
        return FINE_TUNE if FINE_TUNE in trained else next(iter(trained), None)

    def recipe(self, regime: str, level: str | None = None) -> Recipe:
        """The recipe of a regime, or of `quantization`; at a level, with what it has differently.

        Raises:
            StudyError: there is none.
        """
        try:
            return super().recipe(regime, level)
        except RefusedError as problem:
            raise StudyError(line(self.file, problem)) from None

    def rounds(self, level: str) -> int:
        """In how many rounds a level is pruned; 1, also of a level that the study has not."""
        grid = getattr(self.grid, level, None)
        return grid.rounds if isinstance(grid, PruningGrid) else 1

    def iterated(self, level: str, regime: str) -> str | None:
        """The regime by which networks are trained between the rounds for a job of `regime`: itself
        if it starts from the trained network, else the level's `trained_regime`. None in one-shot.
        """
        if self.rounds(level) == 1:
            return None
        return regime if self.regime(regime).start == "trained" else self.trained_regime(level)

    def trained_by(self, regime: str, level: str) -> dict[str, Any]:
        """The settings that shape a regime's training at a level, by key: the recipe as it is
        there, however the study spells it.
        """
        try:
            recipe = self.recipe(regime, level).model_dump(mode="json")
        except StudyError:
            recipe = None
        if (own := self.regimes.get(regime)) is None:
            return {f"recipes.{regime}": recipe}
        where = f"regimes.{regime}"
        return {
            f"{where}.start": own.start,
            f"{where}.recipe": recipe,
            f"{where}.seeds": own.seeds,
        }

    def ranked_by(self, level: str, criterion: str) -> dict[str, Any]:
        """The setting that says which units a criterion's scores are ranked among."""
        grid = getattr(self.grid, level)
        return {f"grid.{level}.scope": grid.scope_of(criterion) if grid else None}

    def shares_scratch(self, method: str, regime: str) -> bool:
        """Whether all methods share the networks of this job: fresh ones of equal widths."""
        level, _, criterion = method.partition("-")
        fresh = self.regime(regime).start == "fresh"
        return fresh and level == "neuron" and self.pruning(level).scope_of(criterion) == "layer"

    @property
    def removals(self) -> list[str]:
        """The ways of removing single units, to measure the damage: one per level, and one per
        criterion that has its own way of removing.
        """
        own = [name for name in self.criteria_names if self.registry[name].removal]
        return [*self.levels, *own]

    @property
    def criteria_names(self) -> list[str]:
        """The criteria of the grid, each once, in the order of the grid."""
        named = [c for level in self.levels for c in self.pruning(level).criteria]
        return list(dict.fromkeys(named))

    def removal(self, criterion: str, level: str) -> str:
        """Which of the `removals` measures the damage that a criterion's scores should predict."""
        return criterion if self.registry[criterion].removal else level

    def looks(self) -> dict[str, list[Any]]:
        """How criteria are shown, as plain values: what jobs that show them depend on."""
        return {
            name: [
                *(entry.title, entry.short_title, list(entry.look) if entry.look else None),
                *(entry.reading, entry.control, entry.extension),
            ]
            for name, entry in self.registry.items()
            # Claims are about all readings, in the grid or not.
            if name in self.criteria_names or entry.reading or entry.control
        }

    def criterion_options(self, criterion: str) -> dict[str, Any]:
        return dict(self.options.get(criterion, {}))


def find(study: str | Path) -> Path:
    """Return the file of a study given by path or by name (`digits` is config/digits.yaml)."""
    # Snakemake reads `--config study=7` as a number.
    path = Path(str(study))
    if path.suffix in (".yaml", ".yml"):
        return path
    if not NAME.fullmatch(str(study)):
        raise StudyError(
            f"study {short(str(study))}: must be a name of a-z, 0-9, _ and -, or a path that ends"
            " in .yaml"
        )
    return REPOSITORY_STUDIES / f"{study}.yaml"


def _checked(values: dict[str, Any], folder: Path) -> Settings:
    """Settings of plain values, checked together with the files of the study's own criteria."""
    made = validated(values)
    if made.criteria:
        made.check_files(folder)
    return made


KEPT: dict[tuple[Path, str], Study] = {}
"""The studies that `load` has kept, by file and text."""


def load(study: str | Path, *, keep: bool = False) -> Study:
    """Load and validate a study, by name or path; the file's stem is the study's name.

    `keep`: for this process and those that it forks, as long as the file's text is the same. A
    study with criteria of its own, whose files may change, is not kept.

    Raises:
        StudyError: one line with file, key, value and what is allowed.
    """
    file = find(study)
    try:
        if not NAME.fullmatch(file.stem):
            allowed = "a study's name must consist of a-z, 0-9, _ and -, at most 64 characters"
            raise refusal((), file.stem, allowed)
        content = text.read(file)
        if (file, content) in KEPT:
            return KEPT[file, content]
        checked = _checked(text.parse(content), file.parent)
        specified = specifications.expand(checked, partial(_checked, folder=file.parent))
    except FileNotFoundError:
        names = [path.stem for path in REPOSITORY_STUDIES.glob("*.yaml")]
        known = ", ".join(sorted(filter(NAME.fullmatch, names))) or "none"
        missing = RefusedError((), "", f"no such study; there are: {known}")
        raise StudyError(line(file, missing)) from None
    except RefusedError as problem:
        raise StudyError(line(file, problem)) from None
    values = {key: getattr(checked, key) for key in Settings.model_fields}
    made = Study.model_construct(**values, name=file.stem, file=file, specified=specified)
    if keep and not made.criteria:
        KEPT[file, content] = made
    return made
