"""A study: one configuration file, validated whole before anything runs.

`load("config/digits.yaml")` returns a frozen `Study` or raises `StudyError` with one line that
names file, key, value and what is allowed. Importing this module imports no torch.
"""

import ast
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from minified import architectures, plain
from minified.arithmetic import Arithmetic, Device
from minified.criteria import CRITERIA, LEVELS, Criterion
from minified.errors import StudyError, UnsupportedNetworkError

DATA_VARIABLE = "MINIFIED_DATA"
"""Environment variable: the data root, whatever a study says."""

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
REPOSITORY_STUDIES = Path("config")

# Bounds beyond which a study is a mistake; each is far above what any study needs.
MOST_JOBS = 100_000
MOST_PARAMETERS = 1_000_000_000

# Shape of an example and classes of each data set; minified.data, which knows them, imports torch.
DATA_SHAPES = {
    "digits": ((1, 8, 8), 10),
    "mnist": ((1, 28, 28), 10),
    "fashion_mnist": ((1, 28, 28), 10),
    "cifar10": ((3, 32, 32), 10),
}

# What a string must look like, and how that is told.
PLUGIN_FILE = r"^[A-Za-z0-9_./ -]{1,250}\.py$"
PLUGIN_TITLE = r"^[\w(][\w .,:()/+-]{0,59}$"
SPELLINGS = {
    # No braces: Snakemake would read them as wildcards.
    PLUGIN_FILE: "must be the path of a Python file: A-Z a-z 0-9 _ . / - and spaces, then .py",
    PLUGIN_TITLE: "must be 1 to 60 letters, digits, spaces, _ . , : ( ) / + -, no space first",
}

Level = Literal["parameter", "neuron"]
Scope = Literal["global", "layer"]
PruningRegime = Literal["fine_tune", "scratch", "rewind"]
QuantizationRegime = Literal["none", "fine_tune"]
# + 0.0 turns -0.0 into 0.0: a sparsity is also the name of a folder.
Sparsity = Annotated[float, Field(ge=0.0, lt=1.0), AfterValidator(lambda sparsity: sparsity + 0.0)]
# At most 8: a zero point takes one byte of storage.
Bits = Annotated[int, Field(ge=1, le=8)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Rate = Annotated[float, Field(gt=0.0, le=1e6)]


class Strict(BaseModel):
    """Refuses unknown keys, wrong types (no 'yes' for a number) and NaN; frozen once made."""

    model_config = ConfigDict(
        strict=True, frozen=True, allow_inf_nan=False, extra="forbid", validate_default=True
    )

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, given: Any) -> Any:
        # pydantic's own message for an extra key does not say which keys there are.
        if isinstance(given, dict):
            for key in given:
                if key not in cls.model_fields:
                    allowed = ", ".join(cls.model_fields)
                    raise plain.refusal((str(key),), given[key], f"unknown key; allowed: {allowed}")
        return given


def _printable(path: str) -> str:
    if not path.isprintable():
        raise plain.refusal((), path, "must be the path of a folder, in printable characters")
    return path


def _unique(values: list[Any], key: str) -> None:
    for position, value in enumerate(values):
        if value in values[:position]:
            raise plain.refusal((key, position), value, "given twice; each may stand once")


class DataOptions(Strict):
    """Which data set, and how it is split; `test` is unused where the data set has its own."""

    name: Literal["digits", "mnist", "fashion_mnist", "cifar10"] = "digits"
    validation: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2
    test: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2
    saliency_examples: Count = 10_000
    training_examples: Count | None = None

    @model_validator(mode="after")
    def _leaves_training_examples(self) -> "DataOptions":
        # The others have their own.
        test = self.test if self.name == "digits" else 0.0
        if self.validation + test >= 0.95:
            key = "test" if test else "validation"
            raise plain.refusal(
                (key,), getattr(self, key), "must leave training examples: validation + test < 0.95"
            )
        return self


Width = Annotated[int, Field(ge=1, le=65_536)]
Widths = Annotated[list[Width], Field(min_length=1, max_length=64)]


class Mlp(Strict):
    """A multilayer perceptron; `widths` are the hidden layers' neurons from input to output."""

    name: Literal["mlp"] = "mlp"
    widths: Widths


class Lenet5(Strict):
    """LeNet-5: `channels` of the convolutions, then `widths` of the hidden Linear layers."""

    name: Literal["lenet5"]
    channels: Widths = [6, 16]
    widths: Annotated[list[Width], Field(max_length=64)] = [120, 84]


class Vgg(Strict):
    """VGG with batch normalisation: `channels` of the convolutions, block by block with pooling
    after each, then `widths` of the hidden Linear layers.
    """

    name: Literal["vgg"]
    channels: Annotated[list[Widths], Field(min_length=1, max_length=16)] = [
        *([64, 64], [128, 128], [256, 256, 256], [512, 512, 512], [512, 512, 512])
    ]
    widths: Annotated[list[Width], Field(max_length=64)] = []


def _network_name(given: Any) -> str:
    name = given.get("name", "mlp") if isinstance(given, dict) else getattr(given, "name", "mlp")
    return name if isinstance(name, str) else ""


NetworkOptions = Annotated[
    Annotated[Mlp, Tag("mlp")] | Annotated[Lenet5, Tag("lenet5")] | Annotated[Vgg, Tag("vgg")],
    Discriminator(_network_name),
]


class Recipe(Strict):
    """The hyper-parameters of one training run; the learning rate is that of the first epoch.

    `augmentation`: `crop_flip` moves each training image by up to 4 pixels and flips half of them.
    `batch_norm`: `train` leaves the statistics as the running averages of training; `re_estimate`
    takes them anew, from the training examples and the final weights.
    """

    optimiser: Literal["adam", "sgd"] = "adam"
    learning_rate: Rate
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    weight_decay: Annotated[float, Field(ge=0.0, le=1e3)] = 0.0
    epochs: Annotated[int, Field(ge=1, le=100_000)]
    batch_size: Count = 32
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup_epochs: Annotated[int, Field(ge=0, le=100_000)] = 0
    augmentation: Literal["none", "crop_flip"] = "none"
    batch_norm: Literal["train", "re_estimate"] = "train"

    @model_validator(mode="after")
    def _warmup_ends(self) -> "Recipe":
        if self.warmup_epochs >= self.epochs and self.warmup_epochs > 0:
            raise plain.refusal(
                ("warmup_epochs",), self.warmup_epochs, f"must be below epochs ({self.epochs})"
            )
        return self


class Recipes(Strict):
    """One recipe per regime; `quantization` is quantization-aware fine-tuning."""

    baseline: Recipe
    fine_tune: Recipe
    scratch: Recipe
    rewind: Recipe
    quantization: Recipe

    def of(self, regime: str) -> Recipe:
        return getattr(self, regime)


class PruningGrid(Strict):
    """Every criterion x sparsity x regime of one level."""

    criteria: Annotated[list[str], Field(min_length=1, max_length=1000)]
    sparsities: Annotated[list[Sparsity], Field(min_length=1, max_length=1000)]
    regimes: Annotated[list[PruningRegime], Field(min_length=1)]
    scope: Scope

    @model_validator(mode="after")
    def _no_duplicates(self) -> "PruningGrid":
        for key in ("criteria", "sparsities", "regimes"):
            _unique(getattr(self, key), key)
        return self


class QuantizationGrid(Strict):
    """Every number of bits x regime."""

    bits: Annotated[list[Bits], Field(min_length=1)]
    regimes: Annotated[list[QuantizationRegime], Field(min_length=1)]

    @model_validator(mode="after")
    def _no_duplicates(self) -> "QuantizationGrid":
        for key in ("bits", "regimes"):
            _unique(getattr(self, key), key)
        return self


class Grid(Strict):
    """What is compared; a part that is left out is not run, and its claims are `not tested`."""

    parameter: PruningGrid | None = None
    neuron: PruningGrid | None = None
    quantization: QuantizationGrid | None = None

    @model_validator(mode="after")
    def _compares_something(self) -> "Grid":
        if self.parameter is None and self.neuron is None and self.quantization is None:
            raise plain.refusal(
                (), {}, f"needs at least one of {', '.join(type(self).model_fields)}"
            )
        return self

    @model_validator(mode="after")
    def _is_not_huge(self) -> "Grid":
        jobs = 0
        for grid in (self.parameter, self.neuron):
            if grid is not None:
                jobs += len(grid.criteria) * len(grid.sparsities) * len(grid.regimes)
        if self.quantization is not None:
            jobs += len(self.quantization.bits) * len(self.quantization.regimes)
        if jobs > MOST_JOBS:
            raise plain.RefusedError((), f"{jobs:,} jobs", f"must be at most {MOST_JOBS:,} jobs")
        return self


class ClaimOptions(Strict):
    """The boundaries of the claims. All are our choice: the abstract gives no numbers."""

    substantial_parameter_sparsity: Sparsity = 0.9
    substantial_neuron_sparsity: Sparsity = 0.75
    size_boundary_points: Annotated[float, Field(gt=0.0, le=100.0)] = 2.0
    confidence: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.95


class DamageOptions(Strict):
    """Predicted against measured damage: how many units are removed singly, per replicate."""

    units: Count = 200


class Plugin(Strict):
    """A criterion of the reader's own: `file` (beside the study) has a function of its name."""

    file: Annotated[str, Field(pattern=PLUGIN_FILE)]
    levels: Annotated[list[Level], Field(min_length=1, max_length=2)]
    title: Annotated[str, Field(pattern=PLUGIN_TITLE)] | None = None

    @model_validator(mode="after")
    def _no_duplicates(self) -> "Plugin":
        _unique(self.levels, "levels")
        return self


@dataclass(frozen=True)
class Job:
    """One job of the grid; it carries all replicates of the study."""

    method: str
    place: str
    """The sparsity as Python prints it (`0.95`), or the bits: the job's folder."""
    regime: str


class Settings(Strict):
    """The study file's keys."""

    data: DataOptions = DataOptions()
    data_root: Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_printable)] = (
        "data"
    )
    network: NetworkOptions
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 2306
    replicates: Annotated[int, Field(ge=1, le=10_000)] = 5
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    arithmetic: Arithmetic = "portable"
    device: Device = "cpu"
    keep_networks: bool = True
    recipes: Recipes
    grid: Grid
    criteria: dict[str, Plugin] = {}
    options: dict[str, dict[str, Any]] = {}
    claims: ClaimOptions = ClaimOptions()
    damage: DamageOptions = DamageOptions()

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "Settings":
        known = dict(CRITERIA)
        for name, plugin in self.criteria.items():
            if name in CRITERIA:
                raise plain.refusal(
                    ("criteria", name), name, "must be a name that no built-in criterion has"
                )
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,40}", name):
                raise plain.refusal(("criteria", name), name, "must be a name of a-z, 0-9 and _")
            title = plugin.title or name
            if title in (criterion.title for criterion in known.values()):
                raise plain.refusal(
                    ("criteria", name, "title"),
                    title,
                    "must be a title that no other criterion has",
                )
            known[name] = Criterion(name, plugin.file, tuple(plugin.levels), title)
        for level in LEVELS:
            grid = getattr(self.grid, level)
            if grid is None:
                continue
            here = [name for name, criterion in known.items() if level in criterion.levels]
            for position, name in enumerate(grid.criteria):
                if name not in here:
                    raise plain.refusal(
                        ("grid", level, "criteria", position),
                        name,
                        f"unknown here; allowed: {', '.join(here)}",
                    )
            if grid.scope == "global" and "merging" in grid.criteria:
                raise plain.refusal(
                    ("grid", level, "scope"),
                    "global",
                    "must be 'layer', since merging works within a layer",
                )
        for name, options in self.options.items():
            if name not in known or not known[name].options:
                takers = ", ".join(key for key, entry in known.items() if entry.options)
                raise plain.refusal(
                    ("options", name), options, f"no such criterion with options; allowed: {takers}"
                )
            for key, value in options.items():
                if key not in known[name].options:
                    allowed = ", ".join(known[name].options)
                    raise plain.refusal(
                        ("options", name, key), value, f"unknown key; allowed: {allowed}"
                    )
                if problem := known[name].options[key].problem(value):
                    raise plain.refusal(("options", name, key), value, f"must be {problem}")
        return self

    @model_validator(mode="after")
    def _fits_into_memory(self) -> "Settings":
        shape, classes = DATA_SHAPES[self.data.name]
        options = self.network.model_dump(exclude={"name"})
        try:
            plan = architectures.plan(self.network.name, shape, classes, **options)
        except UnsupportedNetworkError as problem:
            raise plain.refusal(
                ("network", "channels"), options["channels"], str(problem)
            ) from None
        parameters = architectures.parameters(plan)
        if parameters > MOST_PARAMETERS:
            key = "channels" if "channels" in options else "widths"
            raise plain.refusal(
                ("network", key),
                options[key],
                f"must give at most {MOST_PARAMETERS:,} parameters, not {parameters:,}",
            )
        # Every job holds the networks of all replicates.
        if parameters * self.replicates > MOST_PARAMETERS:
            raise plain.refusal(
                ("replicates",),
                self.replicates,
                f"must be at most {MOST_PARAMETERS // parameters:,}, since all replicates together"
                f" may have {MOST_PARAMETERS:,} parameters and each has {parameters:,}",
            )
        return self


class Study(Settings):
    """A validated study: its settings, its name, and the jobs that follow from it."""

    model_config = ConfigDict(ignored_types=(cached_property,))

    name: str
    file: Path

    @cached_property
    def registry(self) -> dict[str, Criterion]:
        """The criteria this study knows: the built-in ones and its own."""
        own = {
            name: Criterion(
                name,
                str(self.file.parent / plugin.file),
                tuple(plugin.levels),
                plugin.title or name,
            )
            for name, plugin in self.criteria.items()
        }
        return {**CRITERIA, **own}

    def pruning(self, level: str) -> PruningGrid:
        grid = getattr(self.grid, level)
        if grid is None:
            raise StudyError(f"{self.file}: grid.{level}: this study has no such level")
        return grid

    @property
    def raw_data(self) -> Path:
        """The data root: where the environment says, or else `data_root`."""
        return Path(os.environ.get(DATA_VARIABLE) or self.data_root)

    @property
    def levels(self) -> list[str]:
        """The levels at which this study prunes."""
        return [level for level in LEVELS if getattr(self.grid, level) is not None]

    @property
    def methods(self) -> list[str]:
        """The pruning methods, `parameter-random` first."""
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
                for way in self.grid.quantization.regimes:
                    yield Job("quantization", str(bits), way)

    def shares_scratch(self, method: str, regime: str) -> bool:
        """Whether a job trains what all methods share: fresh networks of equal widths."""
        level = method.partition("-")[0]
        return regime == "scratch" and level == "neuron" and self.pruning(level).scope == "layer"

    @property
    def removals(self) -> list[str]:
        """What predicted against measured damage removes singly: levels, and merging apart."""
        return self.levels + (["merging"] if "neuron-merging" in self.methods else [])

    def criterion_options(self, criterion: str) -> dict[str, int | float]:
        return dict(self.options.get(criterion, {}))

    def excerpt(self, *keys: str) -> str:
        """The named settings (`recipes.baseline`) as canonical JSON.

        Rules take it as a parameter, so a job is stale when a setting it uses has changed, and
        only then.
        """
        whole = self.model_dump(mode="json", exclude={"file"})
        chosen: dict[str, Any] = {}
        for key in keys:
            value: Any = whole
            for part in key.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            chosen[key] = value
        return json.dumps(chosen, sort_keys=True)


def find(study: str | Path) -> Path:
    """Return the file of a study given by path or by name (`digits` is config/digits.yaml)."""
    # Snakemake reads `--config study=7` as a number.
    path = Path(str(study))
    if path.suffix in (".yaml", ".yml"):
        return path
    if not NAME.fullmatch(str(study)):
        raise StudyError(
            f"study {plain.short(str(study))}: a name of a-z, 0-9, _ and -, or a path that ends in"
            " .yaml"
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
            allowed = "a study's name must be of a-z, 0-9, _ and -, at most 64 characters"
            raise plain.refusal((), file.stem, allowed)
        try:
            checked = Settings.model_validate(plain.parse(plain.read(file)))
        except ValidationError as error:
            raise _first(error) from None
        for name, plugin in checked.criteria.items():
            if problem := _pluginrefusal(file.parent / plugin.file, name):
                raise plain.refusal(("criteria", name, "file"), plugin.file, problem)
    except FileNotFoundError:
        there = [path.stem for path in REPOSITORY_STUDIES.glob("*.yaml")]
        known = ", ".join(sorted(filter(NAME.fullmatch, there))) or "none"
        missing = plain.RefusedError((), "", f"no such study; there are: {known}")
        raise StudyError(_line(file, missing)) from None
    except plain.RefusedError as problem:
        raise StudyError(_line(file, problem)) from None
    return Study.model_construct(
        **{key: getattr(checked, key) for key in Settings.model_fields}, name=file.stem, file=file
    )


def _line(file: Path, problem: plain.RefusedError) -> str:
    """`file: key: value: what is allowed`, in characters that stay on one line of a terminal."""
    key = ""
    for part in problem.key:
        if isinstance(part, int):
            key += f"[{part}]"
        else:
            word = part if re.fullmatch(r"[\w-]{1,64}|<<", part) else plain.short(part)
            key += f".{word}" if key else word
    told = (plain.cut(str(file), 4096), key, problem.value, plain.cut(problem.allowed, 1000))
    line = ": ".join(part for part in told if part)
    return plain.one_line(line)


def _first(error: ValidationError) -> plain.RefusedError:
    """The first problem that pydantic found, and how many more there are."""
    problems = error.errors(include_url=False)
    # A problem above (an unknown key) explains those below it.
    first = min(problems, key=lambda problem: len(problem["loc"]))
    key, value, allowed = first["loc"], plain.short(first["input"]), first["msg"]
    if key[:1] == ("network",):
        key = ("network", *key[2:])  # without the kind of network, which is no key
    match first["type"]:
        case "value_error":
            found = first["ctx"]["error"]
            key, value, allowed = (*key, *found.key), found.value, found.allowed
        case "missing":
            value, allowed = "missing", "this key is required"
        case "model_type" | "dict_type":
            allowed = "must hold keys and values"
        case "union_tag_invalid":
            key, value = ("network", "name"), plain.short(first["input"]["name"])
            allowed = f"must be one of {', '.join(architectures.ARCHITECTURES)}"
        case "string_pattern_mismatch":
            allowed = SPELLINGS[first["ctx"]["pattern"]]
    allowed = re.sub(r"^(Input|List|String) should ", "must ", allowed)
    allowed = allowed.replace(" after validation", "")
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return plain.RefusedError(key, value, allowed + more)


def _pluginrefusal(path: Path, name: str) -> str | None:
    """What is wrong with the file of a reader's own criterion, told without running it."""
    try:
        if path.suffix != ".py" or not path.is_file():
            return "must be a Python file beside the study"
        if path.stat().st_size > plain.MOST_BYTES:
            return f"must be a Python file of at most {plain.MOST_BYTES:,} bytes"
        body = ast.parse(path.read_bytes()).body
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        return f"is not valid Python{line}: {error.msg}"
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        return f"cannot be read as Python ({type(error).__name__})"
    functions = [node.name for node in body if isinstance(node, ast.FunctionDef)]
    return None if name in functions else f"must have a function {name}()"
