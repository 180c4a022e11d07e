"""Records that are read without running the files that contain them.

The file of a criterion or a figure imports torch or matplotlib. Its record (title, levels, tables)
is a literal at the top of the file; `minified check` and the workflow read it from the source text.
"""

import ast
import warnings
from pathlib import Path
from typing import Any

from minified.foundations.errors import RecordError, shown


def read(file: Path, name: str) -> Any:
    """The value of the literal `name = ...` at the top level of a Python file; None if it has none.

    Raises:
        RecordError: the file is not valid Python, or the value is not a literal; names the line.
    """
    text = file.read_bytes()
    if name.encode() not in text:
        return None  # most files have no record and need no parsing
    tree = _tree(file, text)
    try:
        return value(tree, name)
    except RecordError as error:
        raise RecordError(f"{file}: {error}") from None


def value(tree: ast.Module, name: str) -> Any:
    """The value of the literal `name = ...` at the top level of a file's tree; None if none.

    Raises:
        RecordError: it is no literal, or it or one of its keys is given twice; names the line.
    """
    given = assignments(tree, name)
    if not given:
        return None
    node = given[0]
    if len(given) > 1:
        raise RecordError(f"line {given[1].lineno}: {name} is given twice")
    literal: ast.expr = node.value  # type: ignore[attr-defined]
    try:
        found = ast.literal_eval(literal)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise RecordError(
            f"line {node.lineno}: {name} must be a literal: numbers, strings,"
            " lists and dicts written out"
        ) from None
    for inner in ast.walk(literal):
        keys = inner.keys if isinstance(inner, ast.Dict) else []
        seen = set()
        for key in keys:
            if isinstance(key, ast.Constant) and key.value in seen:
                raise RecordError(f"line {key.lineno}: {name}: {shown(key.value)} is given twice")
            seen |= {key.value} if isinstance(key, ast.Constant) else set()
    return found


def functions(file: Path) -> list[str]:
    """The functions that a Python file defines at its top level."""
    body = _tree(file, file.read_bytes()).body
    return [node.name for node in body if isinstance(node, ast.FunctionDef)]


def parse(text: bytes) -> ast.Module:
    """The syntax tree of a file's bytes, decoded as Python itself decodes a source file: after a
    byte order mark, or in the encoding that the file names.

    Raises:
        SyntaxError: it is not valid Python.
    """
    if b"\0" in text:  # versions of Python differ in how they refuse it, and none says where it is
        line = text.count(b"\n", 0, text.index(b"\0")) + 1
        raise SyntaxError("it has a null byte", (None, line, None, None))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of "\d" in a string: Python warns when it runs the file
        return ast.parse(text)


def dotted(node: ast.expr) -> str | None:
    """`a.b.c` as text; None for any other expression."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(names)]) if isinstance(node, ast.Name) else None


def assignments(tree: ast.Module, name: str) -> list[ast.stmt]:
    """The statements at the top level that assign a value to `name`."""
    return [node for node in tree.body if name in _assigned(node)]


def _assigned(node: ast.stmt) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else []
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        targets = [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _tree(file: Path, text: bytes) -> ast.Module:
    try:
        return parse(text)
    except SyntaxError as error:
        line = f"line {error.lineno}: " if error.lineno else ""
        raise RecordError(f"{file}: {line}is not valid Python ({error.msg})") from None
