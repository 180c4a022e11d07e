"""Modules of this package by name: their files, and the names that their faces offer.

Read from the file system and the text of the files; nothing is imported.
"""

from functools import cache
from pathlib import Path

from minified.foundations import literals

PACKAGE = Path(__file__).parent.parent


def file_of(module: str) -> Path | None:
    """The file of a module such as `minified.jobs.train`; None if this package has no such one."""
    parts = module.split(".")
    if parts[0] != PACKAGE.name:
        return None
    path = PACKAGE.joinpath(*parts[1:])
    for candidate in (path / "__init__.py", path.with_suffix(".py")):
        if candidate.is_file():
            return candidate
    return None


@cache
def public(module: str) -> dict[str, str] | None:
    """The table of a package's face (`minified.foundations.lazy`); None if it has none."""
    file = file_of(module)
    if file is None or file.name != "__init__.py":
        return None
    return literals.read(file, "PUBLIC")
