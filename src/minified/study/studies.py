"""A study: one configuration file, validated as a whole before anything runs.

`load("config/digits.yaml")` returns a frozen `Study`, or raises `StudyError` with one line that
names the file, the key, the value and what is allowed. Importing this module does not import torch.
"""

import os
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, ValidationError

from minified.criteria.record import Criterion
from minified.data import catalogue
from minified.foundations.errors import StudyError
from minified.networks import architectures
from minified.study import plugins, text
from minified.study.grid import PruningGrid
from minified.study.methods import Job
from minified.study.recipes import TITLE, TITLE_SPELLING, Recipe
from minified.study.refusals import RefusedError, line, refusal, short
from minified.study.regimes import FINE_TUNE, Regime
from minified.study.settings import Settings

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
REPOSITORY_STUDIES = Path("config")

# By pattern: how a message describes the strings that the pattern allows.
SPELLINGS = {
    plugins.FILE: "must be the path of a Python file: A-Z a-z 0-9 _ . / - and spaces, then .py",
    TITLE: TITLE_SPELLING,
}


class Study(Settings):
    """A validated study: its settings, its name, and the jobs that follow from it."""

    model_config = ConfigDict(ignored_types=(cached_property,))

    name: str
    file: Path

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

    def recipe(self, regime: str) -> Recipe:
        """The recipe of a regime, or of `quantization`; raises StudyError if there is none."""
        own = self.regimes.get(regime)
        recipe = own.recipe if own else getattr(self.recipes, regime, None)
        if recipe is None:
            raise StudyError(f"{self.file}: recipes.{regime}: missing: this job needs it")
        return recipe

    def recipe_keys(self, regime: str) -> list[str]:
        """The settings that shape a regime's training, for `excerpt`."""
        if regime in self.regimes:
            return [f"regimes.{regime}.{key}" for key in ("start", "recipe", "seeds")]
        return [f"recipes.{regime}"]

    def shares_scratch(self, method: str, regime: str) -> bool:
        """Whether all methods share the networks of this job: fresh ones of equal widths."""
        level = method.partition("-")[0]
        fresh = self.regime(regime).start == "fresh"
        return fresh and level == "neuron" and self.pruning(level).scope == "layer"

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
                *(entry.reading, entry.control),
            ]
            for name, entry in self.registry.items()
            # Claims are about all readings, in the grid or not.
            if name in self.criteria_names or entry.reading or entry.control
        }

    def criterion_options(self, criterion: str) -> dict[str, int | float]:
        return dict(self.options.get(criterion, {}))

    @cached_property
    def plain(self) -> dict[str, Any]:
        """All settings and the study's name as plain values, as JSON has them."""
        return self.model_dump(mode="json", exclude={"file"})

    def excerpt(self, *keys: str) -> dict[str, Any]:
        """The named settings (`recipes.baseline`) as plain values: what a job depends on."""
        chosen: dict[str, Any] = {}
        for key in keys:
            value: Any = self.plain
            for part in key.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            chosen[key] = value
        return chosen


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


def load(study: str | Path) -> Study:
    """Load and validate a study, by name or path; the file's stem is the study's name.

    Raises:
        StudyError: one line with file, key, value and what is allowed.
    """
    file = find(study)
    try:
        if not NAME.fullmatch(file.stem):
            allowed = "a study's name must consist of a-z, 0-9, _ and -, at most 64 characters"
            raise refusal((), file.stem, allowed)
        try:
            checked = Settings.model_validate(text.parse(text.read(file)))
        except ValidationError as error:
            raise _first(error) from None
        checked.check_files(file.parent)
    except FileNotFoundError:
        names = [path.stem for path in REPOSITORY_STUDIES.glob("*.yaml")]
        known = ", ".join(sorted(filter(NAME.fullmatch, names))) or "none"
        missing = RefusedError((), "", f"no such study; there are: {known}")
        raise StudyError(line(file, missing)) from None
    except RefusedError as problem:
        raise StudyError(line(file, problem)) from None
    return Study.model_construct(
        **{key: getattr(checked, key) for key in Settings.model_fields}, name=file.stem, file=file
    )


def _first(error: ValidationError) -> RefusedError:
    """The first of pydantic's problems, and how many more there are."""
    problems = error.errors(include_url=False)
    # A problem higher up (an unknown key) explains those below it.
    first = min(problems, key=lambda problem: len(problem["loc"]))
    key, value, allowed = first["loc"], short(first["input"]), first["msg"]
    if key[:1] == ("network",):
        key = ("network", *key[2:])  # pydantic adds the kind of network, which is not a key
    match first["type"]:
        case "value_error":
            refused = first["ctx"]["error"]
            key, value, allowed = (*key, *refused.key), refused.value, refused.allowed
        case "missing":
            value, allowed = "missing", "this key is required"
        case "model_type" | "dict_type":
            allowed = "must hold keys and values"
        case "union_tag_invalid":
            key, value = ("network", "name"), short(first["input"]["name"])
            allowed = f"must be one of {', '.join(architectures.ARCHITECTURES)}"
        case "string_pattern_mismatch":
            allowed = SPELLINGS[first["ctx"]["pattern"]]
    allowed = re.sub(r"^(Input|List|String) should ", "must ", allowed)
    allowed = allowed.replace(" after validation", "")
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return RefusedError(key, value, allowed + more)
