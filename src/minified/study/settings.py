"""The keys of a study file, and the checks that they agree with one another."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from minified.criteria.record import CRITERIA, Criterion
from minified.data.catalogue import CATALOGUE
from minified.foundations.arithmetic import Arithmetic, Device
from minified.foundations.errors import UnsupportedNetworkError
from minified.networks import architectures
from minified.study import at_level, feasible
from minified.study.grid import MOST_JOBS, Grid, Sparsity
from minified.study.network import NetworkOptions
from minified.study.plugins import Plugin
from minified.study.recipes import Count, Recipe, Recipes, RegimeOptions
from minified.study.refusals import RefusedError, Strict, refusal
from minified.study.regimes import REGIMES, RESERVED, ROUNDINGS, Regime
from minified.study.specifications import Specifications

if TYPE_CHECKING:
    DataName = str
else:
    DataName = Literal[tuple(CATALOGUE)]

MOST_PARAMETERS = 1_000_000_000
"""A study with more than this is a mistake: it is far above what any study needs."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")


def _no_equal_titles(key: str, kind: str, known: Mapping[str, Regime | Criterion]) -> None:
    """Refuse a title that one of the entries before it has, too."""
    titles: set[str] = set()
    for name, entry in known.items():
        if entry.title in titles:
            allowed = f"must be a title that no other {kind} has"
            raise refusal((key, name, "title"), entry.title, allowed)
        titles.add(entry.title)


def _printable(path: str) -> str:
    if not path.isprintable():
        raise refusal((), path, "must be the path of a folder, in printable characters")
    return path


class DataOptions(Strict):
    """Which data set, and how it is split; `test` is ignored if the data set has its own."""

    name: DataName = "digits"
    validation: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2
    test: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2
    saliency_examples: Count = 10_000
    training_examples: Count | None = None

    @model_validator(mode="after")
    def _leaves_training_examples(self) -> "DataOptions":
        test = 0.0 if CATALOGUE[self.name].own_test else self.test
        if self.validation + test >= 0.95:
            key = "test" if test else "validation"
            raise refusal(
                (key,), getattr(self, key), "must leave training examples: validation + test < 0.95"
            )
        return self


class ClaimOptions(Strict):
    """The boundaries of the claims. All are our choice: the abstract gives no numbers."""

    substantial_parameter_sparsity: Sparsity = 0.9
    substantial_neuron_sparsity: Sparsity = 0.75
    size_boundary_points: Annotated[float, Field(gt=0.0, le=100.0)] = 2.0
    # An interval that holds 0 is never strictly within 0: then no claim is negligible.
    no_interest_points: Annotated[float, Field(ge=0.0, le=100.0)] = 0.5
    # Nearer to 1 an interval has no end that can be drawn.
    confidence: Annotated[float, Field(gt=0.0, le=0.999_999_999)] = 0.95


class DamageOptions(Strict):
    """Predicted against measured damage: how many units are removed singly per replicate, and of
    how many replicates (the first ones; by default of all).
    """

    units: Count = 200
    replicates: Count | None = None


class Settings(Strict):
    """The study file's keys."""

    data: DataOptions = DataOptions()
    data_root: Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_printable)] = (
        "data"
    )
    network: NetworkOptions
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 2306
    replicates: Annotated[int, Field(ge=1, le=10_000)] = 5
    replicates_per_job: Count | None = None
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    arithmetic: Arithmetic = "portable"
    device: Device = "cpu"
    keep_networks: bool = True
    recipes: Recipes
    regimes: dict[str, RegimeOptions] = Field({})
    grid: Grid
    criteria: dict[str, Plugin] = Field({})
    options: dict[str, dict[str, Any]] = Field({})
    claims: ClaimOptions = ClaimOptions()
    damage: DamageOptions = DamageOptions()
    specifications: Specifications = Specifications()

    @model_validator(mode="after")
    def _regimes_are_known(self) -> "Settings":
        for name, options in self.regimes.items():
            if name in REGIMES or name in RESERVED:
                raise refusal(("regimes", name), name, "must be a name that no regime has yet")
            if not _NAME.fullmatch(name):
                raise refusal(("regimes", name), name, "must be a name of a-z, 0-9 and _")
            shared = [*REGIMES, name]
            if options.seeds is not None and options.seeds not in shared:
                allowed = f"unknown here; allowed: {', '.join(shared)}"
                raise refusal(("regimes", name, "seeds"), options.seeds, allowed)
        known = self.known_regimes
        _no_equal_titles("regimes", "regime", known)
        for level in self.grid.levels:
            for position, name in enumerate(getattr(self.grid, level).regimes):
                if name not in known:
                    raise refusal(
                        ("grid", level, "regimes", position),
                        name,
                        f"unknown here; allowed: {', '.join(known)}",
                    )
                if name in REGIMES:
                    self._needs_recipe(name, f"grid.{level}.regimes has {name}")
            at_level.check(self, level, known)
        quantization = self.grid.quantization
        for name in quantization.regimes if quantization else ():
            if ROUNDINGS[name].trains:
                self._needs_recipe("quantization", f"grid.quantization.regimes has {name}")
        return self

    def recipe(self, regime: str, level: str | None = None) -> Recipe:
        """The recipe of a regime, or of `quantization`; at a level, with what it has differently,
        and where units are removed in rounds, that of each round.

        Raises:
            RefusedError: the study has none.
        """
        if level and getattr(self.grid, level):
            return at_level.recipe(self, level, regime)
        own = self.regimes.get(regime)
        recipe: Recipe | None = own.recipe if own else getattr(self.recipes, regime, None)
        if recipe is None:
            raise RefusedError(("recipes", regime), "missing", "this job needs it")
        return recipe

    def _needs_recipe(self, name: str, reason: str) -> None:
        if getattr(self.recipes, name) is None:
            raise RefusedError(("recipes", name), "missing", f"this key is required: {reason}")

    @model_validator(mode="after")
    def _criteria_are_known(self) -> "Settings":
        for name in self.criteria:
            if name in CRITERIA:
                raise refusal(
                    ("criteria", name), name, "must be a name that no built-in criterion has"
                )
            if not _NAME.fullmatch(name):
                raise refusal(("criteria", name), name, "must be a name of a-z, 0-9 and _")
        known = self.known_criteria(None)
        self._check_grid(known)
        self._check_options(known, [name for name in self.options if name not in self.criteria])
        return self

    def check_files(self, folder: Path) -> None:
        """Check the files of the study's own criteria, and the keys that depend on them.

        Raises:
            RefusedError: names the key.
        """
        known = self.known_criteria(folder)
        self._check_grid(known)
        self._check_options(known, list(self.options))

    def _check_grid(self, known: Mapping[str, Criterion]) -> None:
        """Check that the grid's criteria are `known` and have its levels and scopes."""
        _no_equal_titles("criteria", "criterion", known)
        for level in self.grid.levels:
            grid = getattr(self.grid, level)
            here = [name for name, criterion in known.items() if level in criterion.levels]
            for position, name in enumerate(grid.criteria):
                if name not in here:
                    raise refusal(
                        ("grid", level, "criteria", position),
                        name,
                        f"unknown here; allowed: {', '.join(here)}",
                    )
                if grid.scope_of(name) not in known[name].scopes:
                    allowed = " or ".join(repr(scope) for scope in known[name].scopes)
                    raise refusal(
                        ("grid", level, *(("scopes", name) if name in grid.scopes else ("scope",))),
                        grid.scope_of(name),
                        f"must be {allowed}, since {name} supports no other scope",
                    )
            at_level.in_grid(level, "scopes", grid.scopes, grid.criteria)

    def _check_options(self, known: Mapping[str, Criterion], names: Sequence[str]) -> None:
        """Check the options of the criteria `names`."""
        for name in names:
            options = self.options[name]
            if name not in known or not known[name].options:
                takers = ", ".join(key for key, entry in known.items() if entry.options)
                raise refusal(
                    ("options", name), options, f"no such criterion with options; allowed: {takers}"
                )
            for key, value in options.items():
                if key not in known[name].options:
                    allowed = ", ".join(known[name].options)
                    raise refusal(("options", name, key), value, f"unknown key; allowed: {allowed}")
                if problem := known[name].options[key].problem(value):
                    raise refusal(("options", name, key), value, f"must be {problem}")

    @property
    def known_regimes(self) -> dict[str, Regime]:
        """The regimes that this study knows: the built-in ones and its own."""
        return REGIMES | {name: own.record(name) for name, own in self.regimes.items()}

    def known_criteria(self, folder: Path | None) -> dict[str, Criterion]:
        """The criteria that this study, in `folder`, knows: the built-in ones and its own.

        Without a folder, of its own only what the study says: their files are not read.
        """
        return CRITERIA | {name: own.record(name, folder) for name, own in self.criteria.items()}

    @model_validator(mode="after")
    def _blocks_are_of_replicates(self) -> "Settings":
        size, all_of_them = self.replicates_per_job, self.replicates
        if size is None:
            return self
        allowed = ""
        if size > all_of_them:
            allowed = f"must be at most replicates ({all_of_them}), or left out for no blocks"
        blocks = -(-all_of_them // size)
        if blocks > 1 and blocks * self.grid.jobs > MOST_JOBS:
            least = -(-all_of_them // max(1, MOST_JOBS // self.grid.jobs))
            jobs = f"{blocks * self.grid.jobs:,} jobs, and a study has at most {MOST_JOBS:,}"
            allowed = f"must be at least {least}; it would give {jobs}"
        if allowed:
            raise refusal(("replicates_per_job",), size, allowed)
        return self

    @model_validator(mode="after")
    def _damage_is_of_replicates(self) -> "Settings":
        if (self.damage.replicates or 0) > self.replicates:
            allowed = f"must be at most replicates ({self.replicates})"
            raise refusal(("damage", "replicates"), self.damage.replicates, allowed)
        return self

    @model_validator(mode="after")
    def _can_finish(self) -> "Settings":
        entry = CATALOGUE[self.data.name]
        options = self.network.model_dump(exclude={"name"})
        try:
            plan = architectures.plan(
                self.network.name, entry.input_shape, entry.classes, **options
            )
        except UnsupportedNetworkError as problem:
            raise refusal(("network", "channels"), options["channels"], str(problem)) from None
        parameters = architectures.parameters(plan)
        if parameters > MOST_PARAMETERS:
            key = "channels" if "channels" in options else "widths"
            raise refusal(
                ("network", key),
                options[key],
                f"must give at most {MOST_PARAMETERS:,} parameters, not {parameters:,}",
            )
        # Every job holds the networks of all replicates, or puts those of blocks together.
        if parameters * self.replicates > MOST_PARAMETERS:
            raise refusal(
                ("replicates",),
                self.replicates,
                f"must be at most {MOST_PARAMETERS // parameters:,}, since all replicates together"
                f" may have {MOST_PARAMETERS:,} parameters and each has {parameters:,}",
            )
        feasible.check(self, plan, self.known_criteria(None))
        return self
