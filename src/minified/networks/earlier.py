"""What earlier rounds of an iterative schedule left, checked where it is an argument."""

from collections.abc import Mapping

import torch
from torch import Tensor

from minified.foundations import arguments
from minified.foundations.errors import MinifiedError
from minified.networks import examples

Shapes = Mapping[str, tuple[int, ...]]


def removed(
    masks: Mapping[str, Tensor], shapes: Shapes, error: type[MinifiedError]
) -> dict[str, Tensor]:
    """The units that `masks` (True = stays) removed, as bool tensors on the processor, by layer.

    Raises:
        MinifiedError: an `error` that names the layer without a mask of its shape.
    """
    if not isinstance(masks, Mapping):
        raise error(f"masks: must be {{layer: bool tensor}}, not {arguments.shown(masks)}")
    for name, shape in shapes.items():
        mask = masks.get(name)
        fits = examples.is_ordinary(mask) and tuple(mask.shape) == shape
        if not (fits and mask.dtype == torch.bool):  # type: ignore[union-attr]
            raise error(
                f"masks: {name} must have a bool mask of its shape {tuple(shape)}, not"
                f" {arguments.shown(mask)}"
            )
    return {name: ~masks[name].detach().cpu() for name in shapes}


def lost(
    widths: Mapping[str, int], scored: Mapping[str, int], error: type[MinifiedError]
) -> dict[str, int]:
    """How many neurons of each layer are gone, of those that it had before the first round.

    Raises:
        MinifiedError: an `error` that names a layer which had fewer than are `scored`.
    """
    if not isinstance(widths, Mapping):
        raise error(f"widths: must be {{layer: neurons}}, not {arguments.shown(widths)}")
    return {
        name: arguments.whole(f"widths: {name}", widths.get(name), count, error=error) - count
        for name, count in scored.items()
    }
