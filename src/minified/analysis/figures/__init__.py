"""The figures of a study: one file each, with its record at the top, `height` and `draw`.

They share their look (`style`), their axes (`axes`) and their lines and legends (`curves`). `stage`
draws them.
"""

from typing import TYPE_CHECKING

from minified.foundations import lazy

if TYPE_CHECKING:
    from minified.analysis.figures.stage import figures as figures

PUBLIC = {"figures": "stage"}
__getattr__, __dir__ = lazy.face(__name__, PUBLIC)
