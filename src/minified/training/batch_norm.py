"""Batch normalisation in training: re-estimated statistics, and batches too small to have any."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from minified import quantization
from minified.data.dataset import Split, check_split
from minified.foundations import arguments, products
from minified.foundations.errors import ArgumentError
from minified.networks import chains, kinds
from minified.networks import examples as checks
from minified.networks.alterations import named


def check_last_batch(
    chain: chains.Chain, shapes: Sequence[checks.Shape], examples: int, batch_size: int
) -> None:
    """Raise ArgumentError if a batch normalisation would get one number per neuron from a batch.

    One number has no statistics. A batch of one example is enough for images of several positions.

    Args:
        shapes: that of one example after each step of `chain`.
    """
    if examples % batch_size == 1 or batch_size == 1:
        for (name, module), shape in zip(chain.steps, shapes, strict=True):
            if isinstance(module, kinds.Normalisation) and math.prod(shape[1:]) == 1:
                raise ArgumentError(
                    f"{named(name, module)}: {examples} examples in batches of {batch_size} leave"
                    " a batch of one, which has no statistics; choose another batch_size"
                )


@torch.no_grad()
def re_estimate(network: nn.Module, split: Split, batch_size: int, bits: int | None = None) -> None:
    """Re-estimate the statistics of batch normalisation, in place: their mean over the batches of
    `split`, with the current weights, or these rounded to `bits`. Parameters do not change.

    There are as few batches as `batch_size` allows; their sizes differ by at most one example.

    Raises:
        ArgumentError: examples that the network cannot be run on, or no such batch size or bits.
    """
    check_split(split)
    batch_size = arguments.whole("batch_size", batch_size, 1)
    chains.read(network)
    twin = chains.duplicate(network) if bits is None else quantization.quantize(network, bits)
    twin.eval()  # dropout stays off
    chain = chains.read(twin)
    shapes = checks.check(chain, split.inputs, split.targets)
    batches = -(-len(split) // batch_size)
    if len(split) // batches == 1:
        check_last_batch(chain, shapes, len(split), batch_size)
    norms = [module for _, module in chain.steps if isinstance(module, kinds.Normalisation)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over all batches
        norm.train()
    if norms:
        with products.unchecked():
            for inputs in split.inputs.tensor_split(batches):
                chain.run(inputs)
    for buffer, estimate in zip(network.buffers(), twin.buffers(), strict=True):
        buffer.copy_(estimate)
