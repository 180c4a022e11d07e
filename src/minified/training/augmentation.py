"""Random augmentation of training images, a batch at a time, from a given generator."""

import torch
import torch.nn.functional as F
from torch import Tensor

from minified.foundations.errors import ArgumentError

PADDING = 4
"""The largest shift of an image in each direction, in pixels."""


def crop_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift each image by up to `PADDING` pixels in each direction, and flip about half of them.

    This is usual on CIFAR-10 (He et al. 2016, arXiv 1512.03385): a random crop of the padded image,
    and a horizontal flip. The padding is 0, the mean colour, since images are normalised.

    Args:
        images: (N, channels, height, width); not changed.
        generator: on the CPU, so that the result does not depend on the images' device.
    """
    if images.dim() != 4:
        raise ArgumentError(
            "images to crop and flip must be (N, channels, height, width), not"
            f" {tuple(images.shape)}"
        )
    count, channels, height, width = images.shape
    padded = F.pad(images, (PADDING,) * 4)
    places = 2 * PADDING + 1
    down = torch.randint(places, (count, 1), generator=generator) + torch.arange(height)
    across = torch.randint(places, (count, 1), generator=generator) + torch.arange(width)
    flipped = torch.rand(count, 1, generator=generator) < 0.5
    across = torch.where(flipped, across.flip(1), across)
    # Whole pixels of all channels are copied: (N, height, width) indices into flattened images.
    chosen = down.unsqueeze(2) * padded.shape[3] + across.unsqueeze(1)
    chosen = chosen.view(count, 1, -1).expand(-1, channels, -1).to(images.device)
    return padded.flatten(2).gather(2, chosen).view_as(images)
