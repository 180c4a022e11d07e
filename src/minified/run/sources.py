"""Which source files affect a result: a job's module and all that it imports from this package.

Rules declare these files as inputs, so that editing a file makes stale exactly the results that it
affects. The imports are read from the text of the files, without importing anything. A name that is
imported from the face of a package (see `minified.foundations.lazy`) counts as the file behind it.
Imports inside functions do not count: they keep one criterion's file out of another's results, and
rules declare those files themselves (see the `file` of a criterion).
"""

import ast
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from minified.foundations import literals

PACKAGE = Path(__file__).parent.parent


def closure(module: str) -> tuple[str, ...]:
    """The source files behind `module` (`minified.jobs.train`), relative to the working folder."""
    file = _file(module)
    if file is None:
        raise ValueError(f"{module}: no module of {PACKAGE.name}")
    return of_file(file)


@cache
def of_file(start: Path) -> tuple[str, ...]:
    """`start` (perhaps a user's own file) and the files of this package that it imports."""
    reached: dict[Path, None] = {}
    waiting: list[Path | None] = [start]
    while waiting:
        file = waiting.pop()
        if file is None or file in reached:
            continue
        reached[file] = None
        waiting += [_file(name) for name in _imported(file)]
        # Files that this one imports after listing its folder.
        if pattern := literals.read(file, "MEMBERS"):
            waiting += file.parent.glob(pattern)
    return tuple(sorted(relative(file) for file in reached))


def relative(file: Path | str) -> str:
    """`file` as seen from the working folder, so that a moved checkout keeps its results."""
    return os.path.relpath(file)


def _file(module: str) -> Path | None:
    parts = module.split(".")
    if parts[0] != PACKAGE.name:
        return None
    path = PACKAGE.joinpath(*parts[1:])
    for candidate in (path / "__init__.py", path.with_suffix(".py")):
        if candidate.is_file():
            return candidate
    return None


@cache
def _imported(file: Path) -> tuple[str, ...]:
    """The modules of this package that `file` imports at its top level, seen through any faces."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    modules: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                modules += _through_face(alias.name, tree, alias.asname or alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                # `from minified import data` names a module, but `from minified.data import load`
                # names an object.
                module = f"{node.module}.{alias.name}"
                if _file(module):
                    modules += _through_face(module, tree, alias.asname or alias.name)
                else:
                    modules.append(_behind(node.module, alias.name))
    return tuple(modules)


def _through_face(module: str, tree: ast.Module, called: str) -> Iterator[str]:
    """An imported module, or, if it is a face, the modules behind the names that `tree` uses."""
    public = _public(module)
    if public is None:
        yield module
        return
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == called
    }
    for name in used:
        yield _behind(module, name)


def _behind(module: str, name: str) -> str:
    """The module that defines `name` of `module`."""
    public = _public(module) or {}
    if name in public:
        return f"{module}.{public[name]}"
    return f"{module}.{name}" if _file(f"{module}.{name}") else module


@cache
def _public(module: str) -> dict[str, str] | None:
    """The table of a package's face; None if it has none."""
    file = _file(module)
    if file is None or file.name != "__init__.py":
        return None
    return literals.read(file, "PUBLIC")
