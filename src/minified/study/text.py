"""Parse a study file: YAML, within bounds, into plain values. Every error names its key.

`parse(read(file))` returns dicts, lists, numbers, strings, booleans and None, or raises
`RefusedError`. No text can build another kind of object, give a key twice, or exceed the bounds
below.
"""

import stat
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import MaxDepthExceededError
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from minified.study.refusals import RefusedError, cut, refusal, short

# A study beyond these bounds is a mistake: each is far above what any study needs.
MOST_BYTES = 256 * 1024
MOST_VALUES = 50_000
MOST_CHARACTERS = 1_000
DEEPEST = 16


def read(file: Path) -> str:
    """Return the text of a study file.

    Raises:
        FileNotFoundError: there is no such file.
        RefusedError: it is not a regular file, is too large, cannot be read, or is not UTF-8.
    """
    try:
        # Reading a device or a pipe might never end.
        regular = stat.S_ISREG(file.stat().st_mode)
        content = b""
        if regular:
            with file.open("rb") as stream:
                content = stream.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise RefusedError((), "", f"cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise RefusedError((), "", f"cannot be a file ({error})") from None
    if not regular:
        raise RefusedError((), "", "must be a file, not a folder, device or pipe")
    if len(content) > MOST_BYTES:
        raise RefusedError((), "", f"must be at most {MOST_BYTES:,} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise RefusedError((), "", f"must be UTF-8 text, but line {line} is not") from None


def parse(text: str) -> dict[str, Any]:
    """Parse a study's text into plain values; raise RefusedError for anything else in it."""
    # YAML 1.2, so that 1e-3 is a number and `no` is a string.
    yaml = YAML(typ="safe", pure=True)
    yaml.max_depth = DEEPEST
    yaml.composer.warn_double_anchors = False
    try:
        root = yaml.compose(text)
    except MaxDepthExceededError as error:
        line = error.problem_mark.line + 1
        raise RefusedError((), f"line {line}", f"must be nested at most {DEEPEST} deep") from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        what = f"the character {chr(error.character)!r} is not allowed"
        raise RefusedError((), "not valid YAML", f"line {line}: {what}") from None
    except (YAMLError, ValueError, AssertionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}" if mark else ""
        parts = (place, getattr(error, "context", ""), getattr(error, "problem", str(error)))
        problem = ", ".join(part for part in parts if part)
        raise RefusedError((), "not valid YAML", problem) from None
    if yaml.version is not None and yaml.version != (1, 2):
        raise RefusedError((), "%YAML", "must be 1.2, or left out")
    settings = None if root is None else _Plain(yaml).value(root, ())
    if not isinstance(settings, dict):
        raise refusal((), settings, "a study must hold keys and values")
    return settings


class _Plain:
    """Turns YAML nodes into plain values, with all aliases expanded, within bounds.

    Unlike the parser's own constructor, it says where a key is given twice, and it builds no dates,
    sets or other objects.
    """

    SCALARS = frozenset(
        f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null")
    )

    def __init__(self, yaml: YAML):
        self.yaml = yaml
        self.values = 0

    def value(self, node: Node, key: tuple[str | int, ...]) -> Any:
        self.values += 1
        if self.values > MOST_VALUES:
            allowed = f"must be at most {MOST_VALUES:,} values, with aliases expanded"
            raise RefusedError(key[:1], f"over {MOST_VALUES:,} values", allowed)
        if len(key) > DEEPEST:
            allowed = f"must be nested at most {DEEPEST} deep, with aliases expanded"
            raise RefusedError(key[:4], _line_of(node), allowed)
        if isinstance(node, MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return self.mapping(node, key)
        if isinstance(node, SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            return [self.value(child, (*key, place)) for place, child in enumerate(node.value)]
        if not isinstance(node, ScalarNode) or node.tag not in self.SCALARS:
            tag = str(node.tag).replace("tag:yaml.org,2002:", "!!")
            allowed = "must be a number, a string, true, false, null, a list or keys and values"
            raise RefusedError(key, cut(f"{tag} ({_line_of(node)})", 80), allowed)
        if len(node.value) > MOST_CHARACTERS:
            raise refusal(key, node.value, f"must be at most {MOST_CHARACTERS:,} characters")
        try:
            # Half of a surrogate pair ("\ud800") is not a character and cannot be printed.
            node.value.encode()
            return self.yaml.constructor.construct_object(node)
        except (ValueError, LookupError):
            tag = node.tag.rpartition(":")[2]
            raise refusal(key, node.value, f"must be a valid {tag}") from None

    def mapping(self, node: MappingNode, key: tuple[str | int, ...]) -> dict[str, Any]:
        given: dict[str, Any] = {}
        merged: dict[str, Any] | None = None
        for name_node, value_node in node.value:
            merges = name_node.tag == "tag:yaml.org,2002:merge"
            name = "<<" if merges else self.name(name_node, key)
            here = (*key, name)
            value = self.value(value_node, here)
            if name in given or (merges and merged is not None):
                raise refusal(here, value, f"a key may be given only once ({_line_of(name_node)})")
            if merges:
                merged = self.merged(value, here)
            else:
                given[name] = value
        return {**(merged or {}), **given}

    def name(self, node: Node, key: tuple[str | int, ...]) -> str:
        """A key of the mapping at `key`: only a string, since an alias could nest without end."""
        if isinstance(node, ScalarNode) and node.tag == "tag:yaml.org,2002:str":
            return self.value(node, key)
        shown = short(node.value) if isinstance(node, ScalarNode) else "a list or keys and values"
        raise RefusedError(key, shown, f"a key must be a word ({_line_of(node)})")

    def merged(self, value: Any, key: tuple[str | int, ...]) -> dict[str, Any]:
        """What `<<: *other` or `<<: [*one, *other]` adds; the first of equal keys counts."""
        sources = value if isinstance(value, list) else [value]
        if not all(isinstance(source, dict) for source in sources):
            raise refusal(key, value, "must be keys and values to merge, or a list of them")
        return {name: each[name] for each in reversed(sources) for name in each}


def _line_of(node: Node) -> str:
    return f"line {node.start_mark.line + 1}"
