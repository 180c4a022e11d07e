"""Specifications: the choices that the abstract leaves silent, each varied within one study.

A study may have, under `specifications`, `axes` (each with named options, of which every
combination is run) and `variants` (single deviations beside them). An option or a variant is a set
of settings that it changes, by dotted name:

    specifications:
      axes:
        budget:
          short: {recipes.fine_tune.epochs: 2}
          long: {recipes.fine_tune.epochs: 40}
        scope:
          global: {}
          layer: {grid.parameter.scope: layer}
      variants:
        decay: {recipes.baseline.weight_decay: 0.001}

Here the product is `short-global`, `short-layer`, `long-global`, `long-layer`. Axes are applied in
their order: where two of them change the same setting, the later one counts. A study's settings as
they stand, its `base`, are the specification that figures and tables are about.
"""

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from minified.study.effective import content
from minified.study.refusals import RefusedError, Strict, refusal

if TYPE_CHECKING:
    from minified.study.settings import Settings

BASE = "base"
"""The specification that a study's own settings are."""

MOST = 1_000
"""A study with more specifications than this is a mistake."""

LONGEST = 200
"""A combination of options has at most so long a name: files are kept in a folder of that name."""

NAME = re.compile(r"[a-z0-9][a-z0-9_]{0,30}")

CHANGEABLE = (
    "data.saliency_examples",
    "network",
    "recipes",
    "regimes",
    "options",
    *(
        f"grid.{level}.{key}"
        for level in ("parameter", "neuron")
        for key in ("scope", "scopes", "rounds", "round_epochs", "recipes")
    ),
)
"""What a specification may change. All else is the same in all of them: the seeds above all, so
that specifications are compared by the same random numbers, and the cells that claims average.
"""

Changes = dict[str, Any]
Named = dict[str, Changes]


class Specifications(Strict):
    """Which settings vary: `axes`, all options of which are combined, and single `variants`."""

    axes: dict[str, Named] = Field(default={})
    variants: Named = Field(default={})

    @model_validator(mode="after")
    def _names_and_settings(self) -> "Specifications":
        for axis, options in self.axes.items():
            _check_name(("axes", axis), axis)
            if not options:
                raise refusal(("axes", axis), options, "must have at least one option")
            for option, changes in options.items():
                _check_name(("axes", axis, option), option)
                _check_changes(("axes", axis, option), changes)
        for name, changes in self.variants.items():
            _check_name(("variants", name), name)
            if name == BASE:
                raise refusal(("variants", name), name, "this is the name of the study's settings")
            if not changes:
                raise refusal(("variants", name), changes, "must change at least one setting")
            _check_changes(("variants", name), changes)
        number = math.prod(map(len, self.axes.values())) + len(self.variants)
        if number > MOST:
            allowed = f"must be at most {MOST:,} specifications"
            raise RefusedError((), f"{number:,} specifications", allowed)
        return self


def _check_name(key: tuple[str, ...], name: str) -> None:
    if not NAME.fullmatch(name):
        raise refusal(key, name, "must be a name of a-z, 0-9 and _, at most 31 characters")


def _check_changes(key: tuple[str, ...], changes: Changes) -> None:
    for setting, value in changes.items():
        if not any(setting == one or setting.startswith(f"{one}.") for one in CHANGEABLE):
            allowed = f"no specification may change this; allowed: {', '.join(CHANGEABLE)}"
            raise refusal((*key, *setting.split(".")), value, allowed)


@dataclass(frozen=True)
class Specification:
    """One value for each choice.

    Attributes:
        name: its options joined by `-`, or the variant's own name.
        choices: its option of each axis; empty for a variant.
        settings: the whole study under it.
    """

    name: str
    settings: "Settings"
    choices: Mapping[str, str] = field(default_factory=dict)


Validate = Callable[[dict[str, Any]], "Settings"]
"""Makes settings of plain values; raises RefusedError."""


def expand(settings: "Settings", validate: Validate) -> dict[str, Specification]:
    """All specifications of a study by name, those of the product first; none if it has none.

    A study whose own settings are not among its product has them as `base`.

    Raises:
        RefusedError: names the option, variant or combination, and what is wrong with it.
    """
    given = settings.specifications
    if not (given.axes or given.variants):
        return {}
    plain = settings.model_dump(exclude={"specifications"})

    def changed(key: tuple[str, ...], *changes: Changes) -> "Settings":
        values = plain
        for setting, value in itertools.chain(*(one.items() for one in changes)):
            values = _put(values, setting.split("."), value, (*key, *setting.split(".")))
        try:
            return validate(values)
        except RefusedError as problem:
            where = ".".join(str(part) for part in problem.key) or "the study"
            allowed = f"would make {where} {problem.value}, which {problem.allowed}"
            raise RefusedError(("specifications", *key), "", allowed) from None

    base = settings.model_copy(update={"specifications": Specifications()})
    own = content(base)
    made: dict[str, Specification] = {}
    for choice in itertools.product(*given.axes.values()) if given.axes else ():
        choices = dict(zip(given.axes, choice, strict=True))
        name = "-".join(choice)
        if len(name) > LONGEST:
            allowed = f"is a folder's name, so it must be at most {LONGEST} characters"
            raise refusal(("specifications", "axes"), name, allowed)
        parts = {axis: given.axes[axis][option] for axis, option in choices.items()}
        try:
            made[name] = Specification(name, changed(("axes", name), *parts.values()), choices)
        except RefusedError:
            # The one option whose fault it is, if it is one's alone.
            for axis, option in choices.items():
                changed(("axes", axis, option), parts[axis])
            raise
        if name == BASE and content(made[name].settings) != own:
            allowed = "this is the name of the study's settings, which this option changes"
            raise refusal(("specifications", "axes", *next(iter(choices.items()))), name, allowed)
    for name, changes in given.variants.items():
        if name in made:
            allowed = "must be a name that no combination of the axes has"
            raise refusal(("specifications", "variants", name), name, allowed)
        made[name] = Specification(name, changed(("variants", name), changes))
    if not any(own == content(one.settings) for one in made.values() if one.choices):
        made = {BASE: Specification(BASE, base), **made}
    _all_differ(made)
    return made


def _all_differ(named: Mapping[str, Specification]) -> None:
    """Refuse two names for what would be run alike, and so be counted twice."""
    known: dict[str, str] = {}
    for name, one in named.items():
        first = known.setdefault(content(one.settings), name)
        if first != name:
            allowed = f"is the same study as {first}; each must differ from the others in some job"
            raise RefusedError(("specifications",), name, allowed)


def _put(values: dict[str, Any], place: list[str], value: Any, key: tuple[str, ...]) -> Any:
    """A copy of plain values in which the one at `place` is another."""
    first, *rest = place
    if not rest:
        return {**values, first: value}
    inner = values.get(first)
    if inner is None and len(rest) == 1 and first not in ("parameter", "neuron"):
        inner = {}  # such as options of a criterion that the study leaves at their defaults
    if not isinstance(inner, dict):
        allowed = f"this study has no {first} that could be changed"
        raise refusal(("specifications", *key), value, allowed)
    return {**values, first: _put(inner, rest, value, key)}


def shares(choices: Mapping[str, str], others: Mapping[str, str], axis: str) -> bool:
    """Whether two combinations differ in `axis` and in nothing else."""
    return choices[axis] != others[axis] and all(
        choices[one] == others[one] for one in choices if one != axis
    )


def pairs(specifications: Mapping[str, Specification], axis: str) -> Iterator[tuple[str, str]]:
    """The combinations that differ in `axis` alone, two by two, by name."""
    product = [one for one in specifications.values() if one.choices]
    for one, other in itertools.combinations(product, 2):
        if shares(one.choices, other.choices, axis):
            yield one.name, other.name
