"""Which source files affect a result: a job's module and all that it imports from this package.

A job records their checksums (`minified.run.records`), so that editing a file makes stale exactly
the results that it affects. The imports are read from the text of the files, without importing
anything. A name that is imported from the face of a package (see `minified.foundations.lazy`)
counts as the file behind it. Imports inside functions do not count: they keep one criterion's file
out of another's results, and `minified.run.tasks` names those files itself (see the `file` of a
criterion).
"""

import ast
import hashlib
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from minified.foundations import bytecode, literals
from minified.foundations.modules import PACKAGE, file_of, public


def closure(module: str) -> tuple[str, ...]:
    """The source files behind `module` (`minified.jobs.train`), relative to the working folder."""
    file = file_of(module)
    if file is None:
        raise ValueError(f"{module}: no module of {PACKAGE.name}")
    return of_file(file)


def of_file(start: Path) -> tuple[str, ...]:
    """`start` (perhaps a user's own file) and the files of this package that it imports, relative
    to the working folder.
    """
    return tuple(sorted(map(relative, reached(start))))


@cache
def reached(start: Path) -> frozenset[Path]:
    """`start` and the files of this package that it imports, directly or not."""
    files: set[Path] = set()
    waiting: list[Path | None] = [start]
    while waiting:
        file = waiting.pop()
        if file is None or file in files:
            continue
        files.add(file)
        if file.suffix != ".py":
            continue  # a notebook
        waiting += [file_of(name) for name in _imported(file)]
        # Files that this one imports after listing its folder.
        if pattern := literals.read(file, "MEMBERS"):
            waiting += file.parent.glob(pattern)
    return frozenset(files)


def signature(file: Path) -> tuple[int, ...]:
    """What the system says of a file, without reading it: it changes when the file is written."""
    return bytecode.state(file.stat())


def unchanged(file: Path) -> bool:
    """Whether a source file of this package is as it was when this process began."""
    return bytecode.STATE.get(str(file), signature(file)) == signature(file)


def digest(file: Path) -> str:
    """The SHA-256 of a source file, read again only if its `signature` has changed."""
    return _digest(file, signature(file))


@cache
def _digest(file: Path, _: tuple[int, ...]) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def relative(file: Path | str) -> str:
    """`file` as seen from the working folder, so that a moved checkout keeps its results."""
    return os.path.relpath(file)


@cache
def _imported(file: Path) -> tuple[str, ...]:
    """The modules of this package that `file` imports at its top level, seen through any faces."""
    tree = literals.parse(file.read_bytes())
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
                if file_of(module):
                    modules += _through_face(module, tree, alias.asname or alias.name)
                else:
                    modules.append(_behind(node.module, alias.name))
    return tuple(modules)


def _through_face(module: str, tree: ast.Module, called: str) -> Iterator[str]:
    """An imported module, or, if it is a face, the modules behind the names that `tree` uses."""
    if public(module) is None:
        yield module
        return
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and literals.dotted(node.value) == called
    }
    for name in used:
        yield _behind(module, name)


def _behind(module: str, name: str) -> str:
    """The module that defines `name` of `module`."""
    behind = public(module) or {}
    if name in behind:
        return f"{module}.{behind[name]}"
    return f"{module}.{name}" if file_of(f"{module}.{name}") else module
