"""Refusals: what is wrong with a study, as key, value and what is allowed, on one line.

`Strict` is the base class of everything that has keys in a study file: it refuses unknown keys.
"""

import re
import reprlib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class RefusedError(ValueError):
    """A value that is not allowed at `key`. A validator gives the key relative to its model."""

    def __init__(self, key: tuple[str | int, ...], value: str, allowed: str):
        self.key = key
        self.value = value
        self.allowed = allowed
        super().__init__(allowed)


def refusal(key: tuple[str | int, ...], value: Any, allowed: str) -> RefusedError:
    """The error that `value`, however large, is not allowed at `key`."""
    return RefusedError(key, short(value), allowed)


# Bounded in depth and length, since a few bytes with aliases can make a value of any size.
_REPR = reprlib.Repr()
_REPR.maxlevel = 3
_REPR.maxdict = _REPR.maxlist = 4
_REPR.maxstring = _REPR.maxlong = _REPR.maxother = 60


def short(value: Any) -> str:
    """A value as a message shows it, in at most 80 characters."""
    return cut(_REPR.repr(value), 80)


def one_line(text: str) -> str:
    """`text` with unprintable characters escaped, so that it stays on one line of a terminal."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def cut(text: str, length: int) -> str:
    """`text` in at most `length` characters, with dots at the end if it was longer."""
    return text if len(text) <= length else text[: length - 3] + "..."


class Strict(BaseModel):
    """Refuses unknown keys, wrong types (a string for a number) and NaN; instances are frozen."""

    model_config = ConfigDict(
        strict=True, frozen=True, allow_inf_nan=False, extra="forbid", validate_default=True
    )

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, given: Any) -> Any:
        # pydantic's own message for an unknown key does not list the known ones.
        if isinstance(given, dict):
            for key in given:
                if key not in cls.model_fields:
                    allowed = ", ".join(cls.model_fields)
                    raise refusal((str(key),), given[key], f"unknown key; allowed: {allowed}")
        return given


def unique(values: list[Any], key: str) -> None:
    """Refuse a list that contains a value twice."""
    for position, value in enumerate(values):
        if value in values[:position]:
            raise refusal((key, position), value, "given twice; each may be given only once")


def line(file: Path, problem: RefusedError) -> str:
    """`file: key: value: what is allowed`, on one line, with unprintable characters escaped."""
    key = ""
    for part in problem.key:
        if isinstance(part, int):
            key += f"[{part}]"
        else:
            word = part if re.fullmatch(r"[\w-]{1,64}|<<", part) else short(part)
            key += f".{word}" if key else word
    parts = (cut(str(file), 4096), key, problem.value, cut(problem.allowed, 1000))
    return one_line(": ".join(part for part in parts if part))
