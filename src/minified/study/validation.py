"""Plain values to settings; what pydantic says of them, as key, value and what is allowed."""

import re
from typing import Any

from pydantic import ValidationError

from minified.networks import architectures
from minified.study import plugins
from minified.study.recipes import TITLE, TITLE_SPELLING
from minified.study.refusals import RefusedError, short
from minified.study.settings import Settings

# By pattern: how a message describes the strings that the pattern allows.
SPELLINGS = {
    plugins.FILE: "must be the path of a Python file: A-Z a-z 0-9 _ . / - and spaces, then .py",
    TITLE: TITLE_SPELLING,
}


def validated(values: dict[str, Any]) -> Settings:
    """Settings of plain values; raises RefusedError with the first of the problems."""
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise _first(error) from None


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
