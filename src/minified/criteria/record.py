"""Records of the criteria: what the library knows about a criterion without running its file.

A criterion's file has a literal `RECORDS = {name: record}` at its top:

    RECORDS = {
        "snip": {
            "levels": ["parameter"],      # the levels at which it scores
            "title": "SNIP",              # its name in figures and tables
            "look": ["#332288", "h"],     # colour and marker
        }
    }

and a function of the same name. `Criterion` lists the other keys. This module reads all records,
and does not import torch.
"""

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minified.foundations import literals
from minified.foundations.errors import RecordError, ScoreError

if TYPE_CHECKING:
    from torch import Tensor

LEVELS = ("parameter", "neuron")
"""What can be removed: single weights, or whole neurons."""

SCOPES = ("global", "layer")
"""Which units are ranked together: all units of the network, or those of each layer."""

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Option:
    """A numeric option of a criterion: its default and the allowed (open or closed) interval."""

    default: int | float
    at_least: float | None = None
    above: float | None = None
    below: float | None = None

    def problem(self, value: Any) -> str | None:
        """Say what is allowed if `value` is not allowed, else None."""
        kind = "an integer" if isinstance(self.default, int) else "a number"
        allowed = [kind]
        allowed += [f"at least {self.at_least:g}"] if self.at_least is not None else []
        allowed += [f"above {self.above:g}"] if self.above is not None else []
        allowed += [f"below {self.below:g}" if self.below is not None else "below 1e9"]
        numeric = int if isinstance(self.default, int) else (int, float)
        good = (
            isinstance(value, numeric)
            and not isinstance(value, bool)
            and (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
            and abs(value) < 1e9
        )
        return None if good else " ".join(allowed)


@dataclass(frozen=True)
class Removal:
    """A criterion's own way to remove neurons: the names of two functions in its file.

    `fold(network, layer, inputs, count) -> indices`: prepares `count` neurons of `layer` for
    removal, in place, and returns which; `minified.pruning` then removes them.
    `fold_one(network, inputs) -> function(twin, layer, neuron)`: returns a function that does this
    for one neuron of `twin`, a copy of `network`, to measure the damage of single removals.
    """

    fold: str
    fold_one: str


@dataclass(frozen=True)
class Criterion:
    """One criterion: the function `name` in `file`, and how it is shown.

    The function is called as `function(level, network, inputs, targets, generator, **options)`.

    Attributes:
        levels: the levels at which it scores, out of `LEVELS`.
        title: its name in tables and figures; `short`, the name where space is limited.
        look: colour and marker, the same in every figure; None for a criterion that a study adds.
        options: its numeric options, by name.
        scopes: the scopes in which its scores may be ranked.
        derivatives: whether it uses `minified.criteria.derivatives`, which jobs compute once for
            all criteria that use them.
        reading: what it takes "SD" in the abstract's OBD-SD to mean; None for other criteria.
        control: whether it is the random control, which no claim is about.
        removal: set if it has its own way to remove neurons.
    """

    name: str
    file: Path
    levels: tuple[str, ...]
    title: str
    look: tuple[str, str] | None = None
    short: str = ""
    options: Mapping[str, Option] = field(default_factory=dict)
    scopes: tuple[str, ...] = SCOPES
    derivatives: bool = False
    reading: str | None = None
    control: bool = False
    removal: Removal | None = None

    @property
    def short_title(self) -> str:
        return self.short or self.title

    def function(self, name: str | None = None) -> "Callable[..., dict[str, Tensor]]":
        """Import the criterion's file, and return its function (or another one, by name)."""
        wanted = name or self.name
        if self.file.parent == _FOLDER:
            module = importlib.import_module(f"minified.criteria.{self.file.stem}")
        else:
            spec = importlib.util.spec_from_file_location(f"minified_plugin_{self.name}", self.file)
            if spec is None or spec.loader is None or not self.file.is_file():
                raise ScoreError(f"criterion {self.name}: {self.file} is not a Python file")
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        function = getattr(module, wanted, None)
        if not callable(function):
            raise ScoreError(f"criterion {self.name}: {self.file} has no function {wanted}()")
        return function


def from_record(name: str, file: Path, record: Any) -> Criterion:
    """Check a record of `file`, and make a Criterion of it.

    Raises:
        RecordError: names the file, the criterion and the key.
    """
    where = f"{file}: RECORDS[{name!r}]"
    if not isinstance(record, dict):
        raise RecordError(f"{where}: must be a dict of levels, title, look, ...")
    known = [one.name for one in fields(Criterion)][2:]
    for key in record:
        if key not in known:
            raise RecordError(f"{where}: unknown key {key!r}; allowed: {', '.join(known)}")
    for key in ("levels", "title", "look"):
        if not record.get(key):
            raise RecordError(f"{where}: {key} is missing")
    for key in ("levels", "look", "scopes"):
        if key in record and not _are_strings(record[key]):
            raise RecordError(f"{where}: {key}: must be a list of strings")
    for key in ("title", "short", "reading"):
        if not isinstance(record.get(key, ""), str):
            raise RecordError(f"{where}: {key}: must be a string")
    if len(record["look"]) != 2:
        raise RecordError(f"{where}: look: must be a colour and a marker")
    for key in ("options", "removal"):
        if not isinstance(record.get(key, {}), dict):
            raise RecordError(f"{where}: {key}: must be a dict")
    for key, allowed in (("levels", LEVELS), ("scopes", SCOPES)):
        for value in record.get(key, ()):
            if value not in allowed:
                raise RecordError(f"{where}: {key}: {value!r} is not one of {', '.join(allowed)}")
    made = dict(record)
    try:
        for key in ("levels", "look", "scopes"):
            if key in made:
                made[key] = tuple(made[key])
        made["options"] = {key: Option(**given) for key, given in made.get("options", {}).items()}
        if "removal" in made:
            made["removal"] = Removal(**made["removal"])
    except TypeError as error:
        raise RecordError(f"{where}: {error}") from None
    if made.get("removal") and made["levels"] != ("neuron",):
        raise RecordError(f"{where}: removal: allowed only if levels is ['neuron']")
    return Criterion(name, file, **made)


def _are_strings(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)


def _read_all() -> dict[str, Criterion]:
    """All criteria of this folder, files in the order of their names."""
    criteria: dict[str, Criterion] = {}
    for file in sorted(_FOLDER.glob("*.py")):
        records = literals.read(file, "RECORDS") or {}
        if not isinstance(records, dict):
            raise RecordError(f"{file}: RECORDS must be a dict of records")
        functions = literals.functions(file) if records else []
        for name, record in records.items():
            where = f"{file}: RECORDS[{name!r}]"
            if name in criteria:
                raise RecordError(f"{where}: {criteria[name].file} has a record of this name")
            criterion = from_record(name, file, record)
            removal = vars(criterion.removal).values() if criterion.removal else ()
            for function in (name, *removal):
                if function not in functions:
                    raise RecordError(f"{where}: the file has no function {function}()")
            for other in criteria.values():
                for key in ("title", "look"):
                    if getattr(other, key) == getattr(criterion, key):
                        raise RecordError(f"{where}: {key}: another criterion has the same")
            criteria[name] = criterion
    return criteria


CRITERIA = _read_all()

READINGS = tuple(name for name, criterion in CRITERIA.items() if criterion.reading)
"""The interpretations of "OBD-SD" in the abstract; which one the authors meant is not known."""


def parse_method(method: str, registry: Mapping[str, Criterion] = CRITERIA) -> tuple[str, str]:
    """Split `parameter-obd` into level and criterion; raise ScoreError for anything unknown."""
    level, _, criterion = method.partition("-")
    if level not in LEVELS or criterion not in registry:
        known = [f"{lev}-{name}" for name, entry in registry.items() for lev in entry.levels]
        raise ScoreError(f"unknown method {method!r}; known methods: {', '.join(sorted(known))}")
    if level not in registry[criterion].levels:
        allowed = ", ".join(registry[criterion].levels)
        raise ScoreError(f"method {method!r}: {criterion} works at level {allowed} only")
    return level, criterion
