"""Importing a reader's own file, which belongs to no package, from the bytes that are there now."""

import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any


class _Uncached(SourceFileLoader):
    """Compiles a file anew: a __pycache__ would lie beside the study, and would not show what an
    edit within the same second has changed.
    """

    def path_stats(self, path: Any) -> Any:
        raise OSError  # Python then neither reads nor writes one


def load(file: Path, name: str) -> ModuleType:
    """Run `file` as the new module `name`; whatever it raises passes on."""
    loader = _Uncached(name, str(file))
    spec = spec_from_file_location(name, file, loader=loader)
    assert spec is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for their module
    loader.exec_module(module)
    return module
