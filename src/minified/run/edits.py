"""What differs between two states of the same thing, in a few words of one line."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

_ABSENT = object()


def flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The plain values inside a value, each under its dotted name (`grid.neuron.scope`)."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flat(inner, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def edit(before: Any, after: Any) -> str | None:
    """The first value that differs, as `recipes.scratch.epochs was 30, is 7`, and how many more."""
    old, new = dict(flat(before)), dict(flat(after))
    names = [name for name in [*old, *(n for n in new if n not in old)] if _differs(name, old, new)]
    if not names:
        return None
    first = names[0]
    was, now = (_shown(side.get(first, _ABSENT)) for side in (old, new))
    more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
    return f"{first} was {was}, is {now}{more}"


def _differs(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return old.get(name, _ABSENT) != new.get(name, _ABSENT)


def _shown(value: Any) -> str:
    text = "not there" if value is _ABSENT else json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."
