"""`minified figures`: draw figures from the tables, each in every format."""

import importlib

from minified.analysis.catalogue import FORMATS, figure_names
from minified.analysis.figures import style
from minified.foundations.errors import MinifiedError
from minified.study.paths import Paths
from minified.study.studies import Study


def figures(study: Study, paths: Paths, figure: list[str] | None = None) -> None:
    """Draw the named figures, or all of the study's figures.

    Raises:
        MinifiedError: this study has no figure of that name.
    """
    names = figure_names(study)
    for name in figure or ():
        if name not in names:
            raise MinifiedError(f"--figure {name}: study {study.name} has {', '.join(names)}")
    for name in figure or names:
        module = importlib.import_module(f"minified.analysis.figures.{name}")
        width = getattr(module, "WIDTH", style.COLUMN)
        with style.figure(width, module.height(study)) as drawn:
            module.draw(drawn, study, paths)
            for kind in FORMATS:
                style.save(drawn, paths.figure(name, kind))
