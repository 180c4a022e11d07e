"""Data sets as tensors: `data.load("digits", root)` gives training, validation and test splits.

`catalogue` lists the data sets, without torch; each is read by one file of this folder (`digits`,
`images`); `dataset` splits and scales what they read.
"""

from typing import TYPE_CHECKING

from minified.foundations import lazy

if TYPE_CHECKING:
    from minified.data.catalogue import CATALOGUE as CATALOGUE
    from minified.data.dataset import Dataset as Dataset
    from minified.data.dataset import Split as Split
    from minified.data.dataset import load as load
    from minified.data.dataset import read as read
    from minified.data.dataset import save as save

PUBLIC = {
    "CATALOGUE": "catalogue",
    "Dataset": "dataset",
    "Split": "dataset",
    "load": "dataset",
    "read": "dataset",
    "save": "dataset",
}
__getattr__, __dir__ = lazy.face(__name__, PUBLIC)
