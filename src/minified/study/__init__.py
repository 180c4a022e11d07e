"""The contract of a study: its keys, its jobs, where its files are, and what a row holds.

`study.load("digits")` returns a validated `Study`. `settings` (with `recipes`, `regimes`,
`network`, `grid`, `plugins`) defines the keys of a study file; `text` parses the file, within
bounds; `refusals` words the errors. No module here imports torch.
"""

from typing import TYPE_CHECKING

from minified.foundations import lazy

if TYPE_CHECKING:
    from minified.study.methods import Job as Job
    from minified.study.paths import Paths as Paths
    from minified.study.recipes import Recipe as Recipe
    from minified.study.regimes import REGIMES as REGIMES
    from minified.study.regimes import Regime as Regime
    from minified.study.rows import Row as Row
    from minified.study.settings import Settings as Settings
    from minified.study.studies import Study as Study
    from minified.study.studies import load as load

PUBLIC = {
    "Job": "methods",
    "Paths": "paths",
    "REGIMES": "regimes",
    "Recipe": "recipes",
    "Regime": "regimes",
    "Row": "rows",
    "Settings": "settings",
    "Study": "studies",
    "load": "studies",
}
__getattr__, __dir__ = lazy.face(__name__, PUBLIC)
