"""Records of the criteria: what the library knows about a criterion without running its file.

A criterion's file has a literal `RECORDS = {name: record}` at its top:

    RECORDS = {
        "snip": {
            "levels": ["parameter"],      # the levels at which it scores
            "title": "SNIP",              # its name in figures and tables
            "look": ["#332288", "h"],     # colour and marker
        }
    }

and a function of the same name. `Criterion` lists the other keys. Reading records needs no torch.
"""

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from keyword import iskeyword
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minified.foundations import literals, loading
from minified.foundations.errors import RecordError, ScoreError, shown

if TYPE_CHECKING:
    from torch import Tensor

LEVELS = ("parameter", "neuron")
"""What can be removed: single weights, or whole neurons."""

SCOPES = ("global", "layer")
"""Which units are ranked together: all units of the network, or those of each layer."""

ARGUMENTS = ("level", "network", "inputs", "targets", "generator")
"""What every criterion's function is called with, in this order."""

TAKEN = (*ARGUMENTS, "derivatives", "masks", "method", "seed", "registry")
"""Names of arguments, which no option can have."""

NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
"""How criteria and options are named."""

LARGEST = 1e9
"""No option can be larger."""

_NOT_BESIDE = {"extension": ("reading", "control"), "data_free": ("derivatives", "removal")}

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
    removal, in place, and returns which; `minified.pruning` then removes them. `fold_one(network,
    inputs) -> function(twin, layer, neuron)`: does this for one neuron of `twin`, a copy of
    `network`, to measure the damage of single removals.
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
        look: colour and marker, the same in every figure; None for a study's own.
        options: its numeric options, by name. scopes: those in which its scores may be ranked.
        derivatives: whether it uses `minified.criteria.derivatives`, which jobs compute once for
            all criteria that use them.
        reading: what it takes "SD" in the abstract's OBD-SD to mean; None for other criteria.
        control: whether it is the random control, which no claim is about.
        extension: whether claims leave it out: it is not the abstract's. A reader's own always is.
        data_free: whether its scores are the same whatever the examples.
        removal: set if it has its own way to remove neurons.
        dropout: whether it drops each neuron with its option `probability` in each of `passes`.
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
    extension: bool = False
    data_free: bool = False
    removal: Removal | None = None
    dropout: bool = False

    def __post_init__(self) -> None:
        if not self.built_in:
            object.__setattr__(self, "extension", True)

    @property
    def short_title(self) -> str:
        return self.short or self.title

    @property
    def built_in(self) -> bool:
        """Whether it is one of this package, not a reader's own."""
        return self.file.parent == _FOLDER

    def function(self, name: str | None = None) -> "Callable[..., dict[str, Tensor]]":
        """Import the criterion's file, and return its function (or another one, by name).

        A reader's own file is run anew each time, from the bytes that are there now.
        """
        wanted = name or self.name
        if self.built_in:
            module = importlib.import_module(f"minified.criteria.{self.file.stem}")
        elif not self.file.is_file():
            raise ScoreError(f"criterion {self.name}: {self.file} is not a Python file")
        else:
            module = loading.load(self.file, f"minified_plugin_{self.name}")
        function = getattr(module, wanted, None)
        if not callable(function):
            raise ScoreError(f"criterion {self.name}: {self.file} has no function {wanted}()")
        return function


def from_record(name: str, file: Path, record: Any) -> Criterion:
    """Check a record of `file`, and make a Criterion of it.

    Raises:
        RecordError: names the file, the criterion and the key.
    """
    where = f"{file}: RECORDS[{shown(name)}]"
    for key in ("levels", "title", "look") if isinstance(record, dict) else ():
        if not record.get(key):
            raise RecordError(f"{where}: {key} is missing")
    made = checked(where, record, [one.name for one in fields(Criterion)][2:])
    if made.get("removal") and made["levels"] != ("neuron",):
        raise RecordError(f"{where}: removal: allowed only if levels is ['neuron']")
    for key, others in _NOT_BESIDE.items():
        if made.get(key) and any(map(made.get, others)):
            raise RecordError(f"{where}: {key}: not allowed beside {' or '.join(others)}")
    return Criterion(name, file, **made)


def checked(where: str, record: Any, known: Sequence[str]) -> dict[str, Any]:
    """The keys and values of a record as fields of Criterion; `known` keys are allowed.

    Raises:
        RecordError: begins with `where` and names the key.
    """
    if not isinstance(record, dict):
        raise RecordError(f"{where}: must be a dict of levels, title, look, ...")
    for key in record:
        if key not in known:
            raise RecordError(f"{where}: unknown key {shown(key)}; allowed: {', '.join(known)}")
    made = dict(record)
    for key in ("levels", "look", "scopes"):
        if key in record:
            if not _are_strings(record[key]):
                raise RecordError(f"{where}: {key}: must be a list of strings")
            made[key] = tuple(record[key])
    for key in ("title", "short", "reading"):
        if not isinstance(record.get(key, ""), str):
            raise RecordError(f"{where}: {key}: must be a string")
    for key in ("derivatives", "control", "extension", "data_free", "dropout"):
        if not isinstance(record.get(key, False), bool):
            raise RecordError(f"{where}: {key}: must be True or False")
    if len(record.get("look", "..")) != 2:
        raise RecordError(f"{where}: look: must be a colour and a marker")
    for key in ("options", "removal"):
        if not isinstance(record.get(key, {}), dict):
            raise RecordError(f"{where}: {key}: must be a dict")
    for key, allowed in (("levels", LEVELS), ("scopes", SCOPES)):
        for place, value in enumerate(record.get(key, ())):
            if value not in allowed:
                names = ", ".join(allowed)
                raise RecordError(f"{where}: {key}: {shown(value)} is not one of {names}")
            if value in record[key][:place]:
                raise RecordError(f"{where}: {key}: {shown(value)} is given twice")
    made["options"] = {
        key: _option(f"{where}: options: {shown(key)}", key, given)
        for key, given in record.get("options", {}).items()
    }
    if "removal" in record:
        if not _are_strings(list(record["removal"].values())):
            raise RecordError(f"{where}: removal: must name functions of the file")
        try:
            made["removal"] = Removal(**record["removal"])
        except TypeError as error:
            raise RecordError(f"{where}: removal: {error}") from None
    if made.get("dropout") and not {"probability", "passes"} <= set(made["options"]):
        raise RecordError(f"{where}: dropout: needs the options probability and passes")
    return made


def _option(where: str, name: Any, given: Any) -> Option:
    """Check an option of a record: its name, its bounds, and its default within them."""
    if not isinstance(name, str) or not NAME.fullmatch(name) or iskeyword(name):
        raise RecordError(f"{where}: must be a name of a-z, 0-9 and _, and not a word of Python")
    if name in TAKEN:
        raise RecordError(f"{where}: must not be {', '.join(TAKEN)}, which are not options")
    known = [one.name for one in fields(Option)]
    if not isinstance(given, dict) or "default" not in given:
        raise RecordError(f"{where}: must be a dict with a 'default'; allowed: {', '.join(known)}")
    for key, value in given.items():
        if key not in known:
            raise RecordError(f"{where}: unknown key {shown(key)}; allowed: {', '.join(known)}")
        if type(value) not in (int, float) or not abs(value) <= LARGEST:
            allowed = "must be a number, at most 1e9 in size"
            raise RecordError(f"{where}: {key}: {shown(value)}: {allowed}")
    option = Option(**given)
    if problem := option.problem(option.default):
        raise RecordError(f"{where}: default: {option.default!r}: must be {problem}")
    return option


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
            where = f"{file}: RECORDS[{shown(name)}]"
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
CLAIMED = tuple(name for name, criterion in CRITERIA.items() if not criterion.extension)
"""The abstract's criteria: claims are about these alone."""


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
