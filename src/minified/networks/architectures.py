"""Networks as plans: their layers in order, with sizes, without torch.

`lenet5((1, 28, 28), 10)` lists its layers from input to output. `minified.networks.build` builds
a network from its plan, and the check of a study counts the plan's parameters.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from minified.foundations import arguments
from minified.foundations.errors import UnsupportedNetworkError


@dataclass(frozen=True)
class Flatten:
    """Flattens an image into a vector."""

    parameters: int = 0


@dataclass(frozen=True)
class Pool:
    """Max pooling over squares of `size` x `size`."""

    size: int
    parameters: int = 0


@dataclass(frozen=True)
class Linear:
    """A Linear layer, followed by a ReLU unless it is the last layer."""

    inputs: int
    outputs: int
    last: bool = False

    @property
    def parameters(self) -> int:
        return (self.inputs + 1) * self.outputs


@dataclass(frozen=True)
class Convolution:
    """A square convolution of stride 1, followed by a ReLU.

    If it is `normalised`, batch normalisation comes before the ReLU, and the convolution has no
    bias, which the normalisation would cancel.
    """

    inputs: int
    outputs: int
    kernel: int
    padding: int = 0
    normalised: bool = False

    @property
    def parameters(self) -> int:
        others = 2 if self.normalised else 1
        return (self.inputs * self.kernel**2 + others) * self.outputs


Plan = list[Flatten | Pool | Linear | Convolution]


def mlp(input_shape: Sequence[int], classes: int, widths: Sequence[int] = (300, 100)) -> Plan:
    """A multilayer perceptron; inputs of more than one dimension are flattened first.

    With 784 inputs and the default widths it is LeNet-300-100 (LeCun et al. 1998): 266,610
    parameters.
    """
    flatten: Plan = [Flatten()] if len(input_shape) > 1 else []
    return flatten + _dense(math.prod(input_shape), widths, classes)


def lenet5(
    input_shape: Sequence[int],
    classes: int,
    channels: Sequence[int] = (6, 16),
    widths: Sequence[int] = (120, 84),
) -> Plan:
    """LeNet-5 (LeCun et al. 1998), with ReLU and max pooling: 61,706 parameters on 28 x 28.

    5 x 5 convolutions of `channels` channels, each followed by pooling, then hidden Linear layers
    of `widths`. The original reads images of 32 x 32; smaller images are padded by 2 in the first
    convolution, so that 28 x 28 gives feature maps of the original sizes.
    """
    depth, height, width = _image("lenet5", input_shape)
    padding = 2 if min(height, width) < 32 else 0
    plan: Plan = []
    for channel in channels:
        plan += [Convolution(depth, channel, kernel=5, padding=padding), Pool(2)]
        depth = channel
        height, width = ((side + 2 * padding - 4) // 2 for side in (height, width))
        padding = 0
    return plan + _classifier("lenet5", input_shape, depth, height, width, widths, classes)


def vgg(
    input_shape: Sequence[int],
    classes: int,
    channels: Sequence[Sequence[int]] = ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3),
    widths: Sequence[int] = (),
) -> Plan:
    """A VGG-style network with batch normalisation (Simonyan & Zisserman 2015, arXiv 1409.1556).

    Blocks of padded 3 x 3 convolutions, with max pooling after each block, then hidden Linear
    layers of `widths`. The default has VGG-16's convolutions and a single Linear layer after them,
    as is usual for 32 x 32 images: 14,724,042 parameters with 3 channels and 10 classes.
    """
    depth, height, width = _image("vgg", input_shape)
    plan: Plan = []
    for block in channels:
        for channel in block:
            plan.append(Convolution(depth, channel, kernel=3, padding=1, normalised=True))
            depth = channel
        plan.append(Pool(2))
        height, width = height // 2, width // 2
    return plan + _classifier("vgg", input_shape, depth, height, width, widths, classes)


ARCHITECTURES: dict[str, Callable[..., Plan]] = {"mlp": mlp, "lenet5": lenet5, "vgg": vgg}


def plan(name: str, input_shape: Sequence[int], classes: int, **options: object) -> Plan:
    """The layers of network `name` for inputs of `input_shape` (without the batch).

    Raises:
        UnsupportedNetworkError: an unknown name or option, or inputs that the network cannot read.
        ArgumentError: a shape, a number of classes or a width that no network has.
    """
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise UnsupportedNetworkError(
            f"unknown network {arguments.shown(name)}; known networks: {sorted(ARCHITECTURES)}"
        )
    shape = arguments.sizes("input_shape", input_shape, least=1)
    classes = arguments.whole("classes", classes, 2)
    known = inspect.signature(ARCHITECTURES[name]).parameters
    chosen: dict[str, object] = {}
    for option, value in options.items():
        if option not in known or option in ("input_shape", "classes"):
            raise UnsupportedNetworkError(
                f"{name}: has no option {option!r}; it takes {', '.join([*known][2:])}"
            )
        # VGG's channels are lists of the widths of each block.
        nested = name == "vgg" and option == "channels"
        if nested and isinstance(value, Sequence):
            chosen[option] = [arguments.sizes(option, block) for block in value]
        else:
            chosen[option] = arguments.sizes(option, value)
    return ARCHITECTURES[name](shape, classes, **chosen)


def parameters(layers: Plan) -> int:
    """How many parameters a network of these layers has, biases and normalisation included."""
    return sum(layer.parameters for layer in layers)


def hidden_neurons(layers: Plan) -> list[int]:
    """The neurons, or channels, of each hidden layer with weights, from input to output."""
    weighted = [layer for layer in layers if isinstance(layer, Linear | Convolution)]
    return [layer.outputs for layer in weighted[:-1]]


def _image(name: str, input_shape: Sequence[int]) -> tuple[int, int, int]:
    if len(input_shape) != 3:
        raise UnsupportedNetworkError(
            f"{name}: reads images (channels, height, width), not inputs of shape"
            f" {tuple(input_shape)}"
        )
    depth, height, width = input_shape
    return depth, height, width


def _classifier(
    name: str,
    input_shape: Sequence[int],
    depth: int,
    height: int,
    width: int,
    widths: Sequence[int],
    classes: int,
) -> Plan:
    if height < 1 or width < 1:
        size = " x ".join(str(side) for side in input_shape[1:])
        raise UnsupportedNetworkError(
            f"{name}: images of {size} are too small for so much pooling; use fewer convolutions"
        )
    return [Flatten(), *_dense(depth * height * width, widths, classes)]


def _dense(features: int, widths: Sequence[int], classes: int) -> Plan:
    layers: Plan = []
    for width in widths:
        layers.append(Linear(features, width))
        features = width
    return [*layers, Linear(features, classes, last=True)]
