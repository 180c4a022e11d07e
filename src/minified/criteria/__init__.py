"""Selection criteria: each scores the units of a network by how much damage removing them would do.

`score("parameter-obd", network, inputs, targets, seed)` returns one tensor per layer; the units
with the lowest scores are removed first. Each criterion (or family) is one file of this folder,
with its record at the top. A criterion only scores; `minified.pruning` allocates and masks.
"""

from typing import TYPE_CHECKING

from minified.foundations import lazy

if TYPE_CHECKING:
    from minified.criteria.record import CRITERIA as CRITERIA
    from minified.criteria.record import LEVELS as LEVELS
    from minified.criteria.scoring import score as score

PUBLIC = {"CRITERIA": "record", "LEVELS": "record", "score": "scoring"}
__getattr__, __dir__ = lazy.face(__name__, PUBLIC)
