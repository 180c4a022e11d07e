"""A reader's own criterion: its file, checked and read without running it.

`declared("config/snip.py", "snip")` returns what the file declares about the criterion. Whatever is
accepted here can be loaded and called by a job; everything else is refused in one line.
"""

import ast
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from minified.criteria import record
from minified.criteria.record import ARGUMENTS
from minified.foundations import literals, modules
from minified.foundations.errors import RecordError, shown

MOST_BYTES = 256 * 1024

DECLARED = ("levels", "title", "short", "options", "scopes")
"""What a reader's own file may declare. The other keys are for this package's criteria."""

_OURS = ("look", "derivatives", "reading", "control", "extension", "data_free", "removal")

# They change nothing about how a function is called.
_DECORATORS = ("no_grad", "enable_grad", "inference_mode")
# Where the modules of earlier releases are now: a user's criterion may still import the old names.
_MOVED = {
    "architectures": "networks.architectures",
    "arithmetic": "foundations.arithmetic",
    "augmentation": "training.augmentation",
    "chains": "networks.chains",
    "errors": "foundations.errors",
    "files": "foundations.files",
    "images": "data.images",
    "paths": "study.paths",
    "plain": "study.text",
    "products": "foundations.products",
    "provenance": "run.provenance",
    "rows": "study.rows",
    "running": "run.lock",
    "seeds": "foundations.seeds",
    "sources": "run.sources",
    "verify": "run.verify",
}


def declared(path: Path, name: str) -> dict[str, Any]:
    """What the file of the criterion `name` declares about it: fields of `Criterion`.

    The file must be Python that compiles, have a function `name`, and import nothing that is not
    there; it may have a literal `RECORDS = {name: {"options": ..., ...}}`.

    Raises:
        RecordError: what is wrong with the file, without the file's name.
    """
    tree = _tree(path)
    functions = _functions(tree)
    if name not in functions:
        raise RecordError(f"must have a function {name}()")
    for number, module in _imported(tree):
        if gone := _gone(module):
            raise RecordError(f"line {number}: {gone}")
    for node in literals.assignments(tree, "MEMBERS"):
        # To `minified.run.sources` it would name more files that the criterion is made of.
        raise RecordError(f"line {node.lineno}: MEMBERS must have another name here")
    records = literals.value(tree, "RECORDS")
    if records is not None and not isinstance(records, dict):
        raise RecordError("RECORDS must be a dict of records")
    said: dict[str, Any] = {}
    for each, given in (records or {}).items():
        where = f"RECORDS[{shown(each)}]"
        if each not in functions:
            raise RecordError(f"{where}: the file has no function {each}()")
        for key in given if isinstance(given, dict) else ():
            if key in _OURS:
                allowed = ", ".join(DECLARED)
                raise RecordError(
                    f"{where}: {key}: only criteria of this package have it; allowed: {allowed}"
                )
        checked = record.checked(where, given, DECLARED)
        said = checked if each == name else said
    if problem := _unfit(functions[name], said.get("options", {})):
        raise RecordError(f"line {functions[name].lineno}: {problem}")
    return said


def named(path: Path) -> str:
    """The criterion of a file: the only one in its RECORDS, or the function named like the file, or
    its only public function.

    Raises:
        RecordError: the file is not Python, or has several; without the file's name.
    """
    tree = _tree(path)
    functions = [name for name in _functions(tree) if not name.startswith("_")]
    records = literals.value(tree, "RECORDS")
    for names in (list(records) if isinstance(records, dict) else [], functions):
        if len(names) == 1:
            return names[0]
        if path.stem in names:
            return path.stem
    if not functions:
        raise RecordError("must have a function with the criterion's name")
    raise RecordError(f"has several functions, choose one: {', '.join(functions)}")


def _tree(path: Path) -> ast.Module:
    """The tree of a file that Python can compile as it is."""
    try:
        if path.suffix != ".py" or not path.is_file():
            raise RecordError("must be a Python file; a study looks for it in the study's folder")
        if path.stat().st_size > MOST_BYTES:
            raise RecordError(f"must be a Python file of at most {MOST_BYTES:,} bytes")
        text = path.read_bytes()
        tree = literals.parse(text)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # It also finds what no tree shows, such as a `return` outside a function.
            compile(text, str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        raise RecordError(f"is not valid Python{line}: {error.msg}") from None
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise RecordError(f"cannot be read as Python ({type(error).__name__})") from None
    return tree


def _functions(tree: ast.Module) -> dict[str, ast.FunctionDef]:
    """The functions at the top level of a file, by name."""
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def _imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and absolute name of each module that the file imports; of others, what is written."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")
            if node.level or not node.module:
                continue
            file = modules.file_of(node.module)
            if file is not None and file.name == "__init__.py":
                offered = (*(modules.public(node.module) or ()), "*")
                names = [alias.name for alias in node.names if alias.name not in offered]
                yield from ((node.lineno, f"{node.module}.{name}") for name in names)


def _gone(module: str) -> str | None:
    """The message that a module cannot be imported by a criterion, and where it is now."""
    if module.startswith("."):
        return f"imports from {module!r}, but a criterion's file belongs to no package"
    package, *parts = module.split(".")
    if package != modules.PACKAGE.name or not parts:
        return None
    if modules.file_of(module) or parts[0].startswith("__"):
        return None
    if moved := _MOVED.get(parts[0]):
        return f"{module} is now {package}.{moved}"
    return f"there is no module {module}"


def _unfit(function: ast.FunctionDef, options: Mapping[str, Any]) -> str | None:
    """Why a function cannot be called with the five arguments and these options; None if it can."""
    for decorator in function.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if str(literals.dotted(called)).rpartition(".")[2] not in _DECORATORS:
            return None  # it may take other arguments than the function that it wraps
    name, given, needed = function.name, function.args, len(ARGUMENTS)
    positional = [*given.posonlyargs, *given.args]
    if len(positional) < needed and not given.vararg:
        return f"{name}() must take {', '.join(ARGUMENTS)}, in this order, and then its options"
    without_default = {one.arg for one in positional[: len(positional) - len(given.defaults)]}
    without_default |= {
        one.arg
        for one, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)
        if default is None
    }
    first = {one.arg for one in positional[:needed]}
    by_place = {one.arg for one in given.posonlyargs} - first
    others = {one.arg for one in (*positional[needed:], *given.kwonlyargs)} - by_place
    for option in options:
        if option not in others and (option in first or not given.kwarg):
            return f"{name}() has no parameter {option!r}, an option in its RECORDS"
    for parameter in [one.arg for one in (*positional[needed:], *given.kwonlyargs)]:
        if parameter in without_default and parameter not in (set(options) - by_place):
            return (
                f"{name}() has a parameter {parameter!r} without a default that is no option in"
                " its RECORDS"
            )
    return None
