"""The claims of the abstract, tested on a study's rows: one file per claim, named by its id.

`catalogue` lists them. A claim says what it compares, by means of `cells`; similar claims share
`readings` or `regimes`. `verdicts` tests each comparison, `sentences` words the result.
"""

from typing import TYPE_CHECKING

from minified.foundations import lazy

if TYPE_CHECKING:
    from minified.analysis.claims.catalogue import CLAIMS as CLAIMS
    from minified.analysis.claims.verdicts import claims as claims
    from minified.analysis.claims.verdicts import judge as judge

PUBLIC = {"CLAIMS": "catalogue", "claims": "verdicts", "judge": "verdicts"}
__getattr__, __dir__ = lazy.face(__name__, PUBLIC)
