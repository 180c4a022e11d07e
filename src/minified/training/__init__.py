"""Training: `fit(networks, split, recipe, masks, seeds)` trains the replicates of a job in place.

`loop` is the training loop, on one screen. It uses the networks in training (`models`), the
`optimiser`, the `masks` of removed weights, `augmentation` and the statistics of `batch_norm`.
"""

from typing import TYPE_CHECKING

from minified.foundations import lazy

if TYPE_CHECKING:
    from minified.training.batch_norm import re_estimate as re_estimate
    from minified.training.loop import clones as clones
    from minified.training.loop import fit as fit
    from minified.training.masks import apply_masks as apply_masks
    from minified.training.masks import check_masks as check_masks
    from minified.training.optimiser import learning_rate as learning_rate

PUBLIC = {
    "apply_masks": "masks",
    "check_masks": "masks",
    "clones": "loop",
    "fit": "loop",
    "learning_rate": "optimiser",
    "re_estimate": "batch_norm",
}
__getattr__, __dir__ = lazy.face(__name__, PUBLIC)
