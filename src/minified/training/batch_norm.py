"""Batch normalisation in training: re-estimated statistics, and batches too small to have any."""

import copy

import torch
from torch import nn

from minified import quantization
from minified.data.dataset import Split
from minified.foundations import products
from minified.networks import chains, kinds


def check_last_batch(network: nn.Module, examples: int, batch_size: int) -> None:
    """Raise ValueError if a BatchNorm1d would get a batch of one example, which has no statistics.

    BatchNorm2d can train on a single example: it takes its statistics over the image's positions.
    """
    if examples % batch_size == 1 or batch_size == 1:
        for name, module in chains.read(network).steps:
            if isinstance(module, nn.BatchNorm1d):
                raise ValueError(
                    f"{name} (BatchNorm1d): {examples} examples in batches of {batch_size} leave"
                    " a batch of one, which has no statistics; choose another batch_size"
                )


@torch.no_grad()
def re_estimate(network: nn.Module, split: Split, batch_size: int, bits: int | None = None) -> None:
    """Re-estimate the statistics of batch normalisation, in place: their mean over the batches of
    `split`, with the current weights, or these rounded to `bits`. Parameters do not change.

    There are as few batches as `batch_size` allows; their sizes differ by at most one example.
    """
    twin = copy.deepcopy(network) if bits is None else quantization.quantize(network, bits)
    twin.eval()  # dropout stays off
    chain = chains.read(twin)
    norms = [module for _, module in chain.steps if isinstance(module, kinds.Normalisation)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over all batches
        norm.train()
    if norms:
        with products.unchecked():
            for inputs in split.inputs.tensor_split(-(-len(split) // batch_size)):
                chain.run(inputs)
    for buffer, estimate in zip(network.buffers(), twin.buffers(), strict=True):
        buffer.copy_(estimate)
