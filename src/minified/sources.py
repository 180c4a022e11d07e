"""Which source files shape a result: a job's module and all it imports within this package.

Rules declare these files as inputs, so that an edited file makes exactly the results stale that it
shapes. The closure is read from the source, without importing anything; imports inside functions
do not count: they are how one criterion's file stays out of another's results, and whoever uses
them declares them (see the criterion's own `file`).
"""

import ast
import os
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent


def closure(module: str) -> tuple[str, ...]:
    """The source files behind `module` (`minified.jobs.train`), relative to the working folder."""
    file = _file(module)
    if file is None:
        raise ValueError(f"{module}: no module of {PACKAGE.name}")
    return of_file(file)


@cache
def of_file(start: Path) -> tuple[str, ...]:
    """`start` (perhaps a reader's own file) and the files of this package that it imports."""
    found: dict[Path, None] = {}
    waiting: list[Path | None] = [start]
    while waiting:
        file = waiting.pop()
        if file is None or file in found:
            continue
        found[file] = None
        waiting += [_file(name) for name in _imported(file)]
    return tuple(sorted(relative(file) for file in found))


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
def _imported(file: Path) -> list[str]:
    names = []
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # `from minified import data` names a module, `from minified.data import read` does not.
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names
