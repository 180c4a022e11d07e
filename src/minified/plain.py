"""A study's text as plain values: YAML within bounds, and every refusal with its key.

`parse(read(file))` returns dicts, lists, numbers, texts, booleans and None, or raises
`RefusedError`; nothing in the text can build another object, name a key twice, or grow beyond the
bounds here.
"""

import reprlib
import stat
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import MaxDepthExceededError
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

# Bounds beyond which a study is a mistake; each is far above what any study needs.
MOST_BYTES = 256 * 1024
MOST_VALUES = 50_000
MOST_CHARACTERS = 1_000
DEEPEST = 16


class RefusedError(ValueError):
    """A value that is not allowed at `key`; validators raise it about keys below their place."""

    def __init__(self, key: tuple[str | int, ...], value: str, allowed: str):
        self.key = key
        self.value = value
        self.allowed = allowed
        super().__init__(allowed)


def refusal(key: tuple[str | int, ...], value: Any, allowed: str) -> RefusedError:
    """That `value`, whatever its size, is not allowed at `key`."""
    return RefusedError(key, short(value), allowed)


# Bounded in depth and length, since aliases make a value of any size from a few bytes.
_REPR = reprlib.Repr()
_REPR.maxlevel = 3
_REPR.maxdict = _REPR.maxlist = 4
_REPR.maxstring = _REPR.maxlong = _REPR.maxother = 60


def short(value: Any) -> str:
    """A value as a message shows it, at most 80 characters."""
    return cut(_REPR.repr(value), 80)


def one_line(text: str) -> str:
    """`text` in characters that stay on one line of a terminal, whatever a path in it has."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def cut(text: str, length: int) -> str:
    """`text`, with dots for what goes beyond `length`."""
    return text if len(text) <= length else text[: length - 3] + "..."


def read(file: Path) -> str:
    """The text of a study's file, and of nothing that is none.

    Raises:
        FileNotFoundError: there is no such file.
        RefusedError: it is no regular file, too large, unreadable, or not UTF-8.
    """
    try:
        # A device or a pipe could be read for ever.
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
    """Parse a study's text into plain values; what YAML or a study cannot mean is refused."""
    # YAML 1.2, so that 1e-3 is a number and `no` is a word.
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
        told = (place, getattr(error, "context", ""), getattr(error, "problem", str(error)))
        problem = ", ".join(part for part in told if part)
        raise RefusedError((), "not valid YAML", problem) from None
    if yaml.version is not None and yaml.version != (1, 2):
        raise RefusedError((), "%YAML", "must be 1.2, or left out")
    settings = None if root is None else _Plain(yaml).value(root, ())
    if not isinstance(settings, dict):
        raise refusal((), settings, "a study must hold keys and values")
    return settings


class _Plain:
    """Makes plain values of YAML's nodes, with every alias written out, within bounds.

    Unlike the parser's own constructor it tells where a key stands twice, and builds no dates,
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
            allowed = f"must be at most {MOST_VALUES:,} values, aliases written out"
            raise RefusedError(key[:1], f"over {MOST_VALUES:,} values", allowed)
        if len(key) > DEEPEST:
            allowed = f"must be nested at most {DEEPEST} deep, aliases written out"
            raise RefusedError(key[:4], _line_of(node), allowed)
        if isinstance(node, MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return self.mapping(node, key)
        if isinstance(node, SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            return [self.value(child, (*key, place)) for place, child in enumerate(node.value)]
        if not isinstance(node, ScalarNode) or node.tag not in self.SCALARS:
            tag = str(node.tag).replace("tag:yaml.org,2002:", "!!")
            allowed = "must be a number, a text, true, false, null, a list or keys and values"
            raise RefusedError(key, cut(f"{tag} ({_line_of(node)})", 80), allowed)
        if len(node.value) > MOST_CHARACTERS:
            raise refusal(key, node.value, f"must be at most {MOST_CHARACTERS:,} characters")
        try:
            # Half a character ("\ud800") is no text, and cannot be printed.
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
                raise refusal(here, value, f"a key may stand once ({_line_of(name_node)})")
            if merges:
                merged = self.merged(value, here)
            else:
                given[name] = value
        return {**(merged or {}), **given}

    def name(self, node: Node, key: tuple[str | int, ...]) -> str:
        """A key of the mapping at `key`: text only, since an alias could nest others for ever."""
        if isinstance(node, ScalarNode) and node.tag == "tag:yaml.org,2002:str":
            return self.value(node, key)
        shown = short(node.value) if isinstance(node, ScalarNode) else "a list or keys and values"
        raise RefusedError(key, shown, f"a key must be a word ({_line_of(node)})")

    def merged(self, value: Any, key: tuple[str | int, ...]) -> dict[str, Any]:
        """What `<<: *other` or `<<: [*one, *other]` brings in; of equal keys the first counts."""
        sources = value if isinstance(value, list) else [value]
        if not all(isinstance(source, dict) for source in sources):
            raise refusal(key, value, "must be keys and values to merge, or a list of them")
        return {name: each[name] for each in reversed(sources) for name in each}


def _line_of(node: Node) -> str:
    return f"line {node.start_mark.line + 1}"
