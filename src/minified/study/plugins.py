"""A user's own criterion: its keys, and the check of its file without running it."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from minified.criteria.record import Criterion
from minified.foundations import modules
from minified.study.grid import Level
from minified.study.recipes import Title
from minified.study.refusals import Strict, unique
from minified.study.text import MOST_BYTES

# No braces: Snakemake would read them as wildcards.
FILE = r"^[A-Za-z0-9_./ -]{1,250}\.py$"
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


class Plugin(Strict):
    """A user's own criterion: `file` (beside the study) has a function of the same name."""

    file: Annotated[str, Field(pattern=FILE)]
    levels: Annotated[list[Level], Field(min_length=1, max_length=2)]
    title: Title | None = None

    @model_validator(mode="after")
    def _no_duplicates(self) -> "Plugin":
        unique(self.levels, "levels")
        return self

    def record(self, name: str, folder: Path) -> Criterion:
        return Criterion(name, folder / self.file, tuple(self.levels), self.title or name)


def problem(path: Path, name: str) -> str | None:
    """What is wrong with the file of the criterion `name`; None if the check finds nothing."""
    try:
        if path.suffix != ".py" or not path.is_file():
            return "must be a Python file beside the study"
        if path.stat().st_size > MOST_BYTES:
            return f"must be a Python file of at most {MOST_BYTES:,} bytes"
        tree = ast.parse(path.read_bytes())
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        return f"is not valid Python{line}: {error.msg}"
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        return f"cannot be read as Python ({type(error).__name__})"
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    if name not in functions:
        return f"must have a function {name}()"
    for number, module in _imported(tree):
        if gone := _gone(module):
            return f"line {number}: {gone}"
    return None


def _imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and absolute name of each module that the file imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module
            file = modules.file_of(node.module)
            if file is not None and file.name == "__init__.py":
                offered = (*(modules.public(node.module) or ()), "*")
                names = [alias.name for alias in node.names if alias.name not in offered]
                yield from ((node.lineno, f"{node.module}.{name}") for name in names)


def _gone(module: str) -> str | None:
    """The message that a module of this package does not exist, and where it is now."""
    package, *parts = module.split(".")
    if package != modules.PACKAGE.name or not parts:
        return None
    if modules.file_of(module) or parts[0].startswith("__"):
        return None
    if moved := _MOVED.get(parts[0]):
        return f"{module} is now {package}.{moved}"
    return f"there is no module {module}"
