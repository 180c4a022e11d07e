"""Records that are read without running the files that contain them.

The file of a criterion or a figure imports torch or matplotlib. Its record (title, levels, tables)
is a literal at the top of the file; `minified check` and the workflow read it from the source text.
"""

import ast
from pathlib import Path
from typing import Any

from minified.foundations.errors import RecordError


def read(file: Path, name: str) -> Any:
    """The value of the literal `name = ...` at the top level of a Python file; None if it has none.

    Raises:
        RecordError: the file is not valid Python, or the value is not a literal; names the line.
    """
    text = file.read_bytes()
    if name.encode() not in text:
        return None  # most files have no record and need no parsing
    for node in _body(file, text):
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            targets = [node.target]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            try:
                return ast.literal_eval(node.value)  # type: ignore[attr-defined]
            except ValueError:
                raise RecordError(
                    f"{file}: line {node.lineno}: {name} must be a literal: numbers, strings,"
                    " lists and dicts written out"
                ) from None
    return None


def functions(file: Path) -> list[str]:
    """The functions that a Python file defines at its top level."""
    body = _body(file, file.read_bytes())
    return [node.name for node in body if isinstance(node, ast.FunctionDef)]


def _body(file: Path, text: bytes) -> list[ast.stmt]:
    try:
        return ast.parse(text).body
    except SyntaxError as error:
        raise RecordError(
            f"{file}: line {error.lineno}: is not valid Python ({error.msg})"
        ) from None
