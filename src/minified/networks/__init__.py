"""Networks: plans by name (`architectures`), built and initialised (`builder`), read as a chain.

`networks.build("mlp", (64,), 10, widths=[300, 100])` is a plain `nn.Sequential`. `chains.read`
finds its weighted layers, what follows each of them, and the layer that reads its neurons. `kinds`
has one table of all that the library knows about each kind of layer; `modules` and `alterations`
refuse what computes something else, `examples` checks inputs and labels.
"""

from typing import TYPE_CHECKING

from minified.foundations import lazy

if TYPE_CHECKING:
    from minified.networks.architectures import ARCHITECTURES as ARCHITECTURES
    from minified.networks.builder import build as build
    from minified.networks.builder import initialise as initialise
    from minified.networks.chains import prunable as prunable
    from minified.networks.chains import read as read

PUBLIC = {
    "ARCHITECTURES": "architectures",
    "build": "builder",
    "initialise": "builder",
    "prunable": "chains",
    "read": "chains",
}
__getattr__, __dir__ = lazy.face(__name__, PUBLIC)
