"""The available data sets: one line each, importable without torch.

The check of a study and the schema take the data sets from here. `Entry.module` names the file of
this folder that reads one; its function `read(name, root)` returns a `dataset.Raw`.
"""

from dataclasses import dataclass
from pathlib import Path

VARIABLE = "MINIFIED_DATA"
"""Environment variable that sets the data root; it overrides the study."""


@dataclass(frozen=True)
class Entry:
    """One data set: the module that reads it, the shape of an example, the number of classes."""

    module: str
    input_shape: tuple[int, ...]
    classes: int
    own_test: bool
    """Whether the data set has its own test split; otherwise one is split off."""
    counts: tuple[int, ...] = ()
    """Examples of each class, those of its own test split left out; empty if not known."""

    @property
    def file(self) -> Path:
        """The source file that reads the data set."""
        return Path(__file__).parent / f"{self.module}.py"


_DIGITS = (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)
_MNIST = (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)

CATALOGUE = {
    "digits": Entry("digits", (1, 8, 8), 10, own_test=False, counts=_DIGITS),
    "mnist": Entry("images", (1, 28, 28), 10, own_test=True, counts=_MNIST),
    "fashion_mnist": Entry("images", (1, 28, 28), 10, own_test=True, counts=(6000,) * 10),
    "cifar10": Entry("images", (3, 32, 32), 10, own_test=True, counts=(5000,) * 10),
}
