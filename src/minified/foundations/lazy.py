"""Faces of packages: a package's public names, each imported when it is first used.

    PUBLIC = {"load": "dataset", "Split": "dataset"}
    __getattr__, __dir__ = lazy.face(__name__, PUBLIC)

`from minified.data import load` then imports minified.data.dataset, while importing minified.data
alone imports nothing. `minified.run.sources` reads the same table, so that a job depends only on
the files that define the names it uses.
"""

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def face(
    package: str, public: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` for `package`; `public` maps each name to its module."""

    def get(name: str) -> Any:
        if name not in public:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{public[name]}"), name)

    return get, lambda: sorted(public)
