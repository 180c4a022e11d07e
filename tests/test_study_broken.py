"""Any study, however it is broken, is valid or refused in one line."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import SMALL
from studies import (
    DIGITS,
    PLACES,
    PLUGIN,
    WHOLE,
    WRONG,
    WRONG_YAML,
    Raw,
    at,
    outcome,
    places,
    written,
)

pytestmark = pytest.mark.usefixtures("never_hangs")


BOUNDED = settings(max_examples=250, deadline=10_000, derandomize=True)
VALUES = st.one_of(
    st.sampled_from([value for value, _ in WRONG]),
    st.sampled_from([*WRONG_YAML, "*a", "&a 1", "[1, 1]", "{a: 1, a: 1}", "{<<: {}}"]).map(Raw),
    st.sampled_from(PLACES).map(lambda place: copy.deepcopy(at(WHOLE, place))),
    st.integers(-3, 10**20),
    st.floats(0, 1),
    st.text(max_size=6),
)
KEYS = st.one_of(
    st.sampled_from([key for place in PLACES for key in place if isinstance(key, str)]),
    st.sampled_from([Raw("5"), Raw("null"), Raw(".nan"), Raw("<<"), Raw("? [a]\n"), Raw("''")]),
    st.text(max_size=6),
)


def put(parent: Any, key: Any, value: Any) -> None:
    if isinstance(parent, list):
        parent.insert(key if isinstance(key, int) else 0, value)
    else:
        parent[key] = value


@st.composite
def broken_trees(draw: st.DrawFn) -> str:
    """The whole study after one to four changes of its structure."""
    tree = copy.deepcopy(WHOLE)
    for _ in range(draw(st.integers(1, 4))):
        there = list(places(tree))
        place = draw(st.sampled_from(there))
        parent, last = at(tree, place[:-1]), place[-1]
        match draw(st.sampled_from(["replace", "delete", "add", "rename", "repeat", "swap"])):
            case "replace":
                parent[last] = copy.deepcopy(draw(VALUES))
            case "delete":
                del parent[last]
            case "add":
                put(parent, draw(KEYS), copy.deepcopy(draw(VALUES)))
            case "rename":
                put(parent, draw(KEYS), parent.pop(last))
            case "repeat":
                twice = Raw(json.dumps(last)) if isinstance(last, str) else last
                put(parent, twice, copy.deepcopy(parent[last]))
            case "swap":
                other = draw(st.sampled_from(there))
                one, two = (copy.deepcopy(at(tree, each)) for each in (place, other))
                at(tree, other[:-1])[other[-1]] = one
                # Unless one holds the other.
                if other[: len(place)] != place and place[: len(other)] != other:
                    parent[last] = two
        tree.setdefault("seed", 0)
    return written(tree)


@BOUNDED
@given(text=broken_trees())
def test_a_study_of_any_structure_is_valid_or_refused_in_one_line(folder: Path, text: str) -> None:
    outcome(folder, text)


SNIPPETS = st.one_of(
    st.sampled_from(
        [*"\"'{}[]:,#&*!|>%@`?-~=<\t\n\r\0\x1b\x7f\x85\u2028\ufeff\ud800", "<<: ", "---"]
    ),
    st.sampled_from(
        ["&a ", "*a ", "*short", "!!int ", "!!set ", "? ", "- ", ": ", "\n%YAML 1.1\n"]
    ),
    st.characters(),
)


@st.composite
def broken_texts(draw: st.DrawFn) -> str:
    """A study's file after one to four edits of its lines and characters."""
    text = draw(st.sampled_from([SMALL + PLUGIN, DIGITS]))
    for _ in range(draw(st.integers(1, 4))):
        lines = text.splitlines(keepends=True) or [""]
        line, other = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
        start = draw(st.integers(0, len(text)))
        change = draw(st.sampled_from(["delete", "repeat", "swap", "insert", "overwrite", "cut"]))
        if change == "insert":
            text = text[:start] + draw(SNIPPETS) + text[start:]
        elif change == "overwrite":
            snippet = draw(SNIPPETS)
            text = text[:start] + snippet + text[start + len(snippet) :]
        elif change == "cut":
            text = text[:start]
        else:
            if change == "delete":
                del lines[line]
            elif change == "repeat":
                lines.insert(other, lines[line])
            else:
                lines[line], lines[other] = lines[other], lines[line]
            text = "".join(lines)
    return text


@BOUNDED
@given(text=broken_texts())
def test_a_file_with_any_characters_is_valid_or_refused_in_one_line(
    folder: Path, text: str
) -> None:
    outcome(folder, text)


@BOUNDED
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_a_file_of_any_bytes_is_refused_in_one_line(folder: Path, content: bytes) -> None:
    assert outcome(folder, content)
