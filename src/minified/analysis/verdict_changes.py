"""What a new publication changes in a study's verdicts, one line per comparison."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from minified.foundations import files
from minified.foundations.errors import ArtefactError

_KEY = ("claim", "part", "level")
_FOUND = ("verdict", "effect_points")
_MOST_NAMES = 5


def verdict_changes(former: Path, new: Path) -> list[str]:
    """The comparisons of two claims.csv whose verdict changed, that are new, or that vanished.

    One line says so if `former`, which may be of any age, cannot be compared; none if there is no
    such file.

    Raises:
        ArtefactError: `new` is damaged.
    """
    after = _verdicts(new)
    if not former.exists():
        return []
    try:
        before = _verdicts(former)
    except ArtefactError as error:
        return [f"the former ones cannot be compared with the new ones: {error}"]
    lines = []
    for key in dict.fromkeys([*before, *after]):
        if key not in after:
            lines.append(f"{_name(*key)}: vanished; was {_shown(*before[key])}")
        elif key not in before:
            lines.append(f"{_name(*key)}: new: {_shown(*after[key])}")
        elif before[key][0] != after[key][0]:
            lines.append(f"{_name(*key)}: {_shown(*before[key])} -> {_shown(*after[key])}")
    return lines


def changes_under_specifications(former: Path, new: Path) -> list[str]:
    """The same of two specifications.csv: a line for each comparison and change of its verdict,
    with the specifications under which it changed; those that are in one table alone are counted.

    Raises:
        ArtefactError: `new` is damaged.
    """
    after = _verdicts(new, "specification")
    if not former.exists():
        return []
    try:
        before = _verdicts(former, "specification")
    except ArtefactError as error:
        return [f"the former specifications cannot be compared with the new ones: {error}"]
    changed: dict[tuple[str, ...], list[str]] = {}
    for (*comparison, specification), (verdict, _) in after.items():
        was = before.get((*comparison, specification), (verdict, ""))[0]
        if was != verdict:
            changed.setdefault((*comparison, was, verdict), []).append(specification)
    lines = [
        f"{_name(*comparison)}, under {_listed(names)}: {was} -> {verdict}"
        for (*comparison, was, verdict), names in changed.items()
    ]
    then, now = ({key[-1] for key in table} for table in (before, after))
    for word, names in (("new", now - then), ("vanished", then - now)):
        if names:
            lines.append(f"{word} specifications: {_listed(sorted(names))}")
    return lines


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _verdicts(file: Path, *more: str) -> dict[tuple[str, ...], tuple[str, str]]:
    """Verdict and effect of each comparison; `more` columns tell its lines apart."""
    text = files.read_text(file)
    keys = (*_KEY, *more)
    found: dict[tuple[str, ...], tuple[str, str]] = {}
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        missing = [column for column in (*keys, *_FOUND) if column not in (reader.fieldnames or ())]
        if missing:
            raise ArtefactError(file, f"has no column {', '.join(missing)}")
        for row in reader:
            if None in row or None in row.values():
                line = reader.line_num
                raise ArtefactError(file, f"line {line} does not have one field per column")
            found[tuple(row[column] for column in keys)] = row["verdict"], row["effect_points"]
    except csv.Error as error:
        raise ArtefactError(file, f"is not CSV ({error})") from None
    return found


def _name(claim: str, part: str, level: str) -> str:
    return f"{claim} {part}".rstrip() + (f", {level} level" if level else "")


def _shown(verdict: str, effect: str) -> str:
    try:
        return f"{verdict} ({float(effect):+.2f})"
    except ValueError:
        return verdict
