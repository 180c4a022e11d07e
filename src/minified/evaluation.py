"""A network's performance and cost: accuracy, loss, parameters, FLOPs, stored bytes, latency.

FLOPs count 2 per multiply-add of Linear and Conv2d layers; nothing else is counted. Bytes are
those of a stored file; `stored_bytes` defines each encoding.
"""

import contextlib
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minified.data.dataset import Split
from minified.foundations import products
from minified.foundations.errors import UnsupportedNetworkError
from minified.networks import chains

BATCH = 8192
# A backward pass costs about two forward passes: one product for the inputs, one for the weights.
TRAINING_FLOPS_PER_FORWARD = 3


@dataclass(frozen=True)
class Performance:
    """Fraction of examples classified correctly, and mean cross-entropy in nats."""

    accuracy: float
    loss: float


@dataclass(frozen=True)
class Bytes:
    """Stored bytes of one network in each encoding that applies to it (else None)."""

    dense: int
    bitmap: int | None = None
    csr: int | None = None
    quantized: int | None = None

    @property
    def stored(self) -> int:
        """The smallest encoding for a pruned or quantized network; `dense` for any other."""
        special = [b for b in (self.bitmap, self.csr, self.quantized) if b is not None]
        return min(special) if special else self.dense


@torch.no_grad()
@products.unchecked()
def performance(network: nn.Module, split: Split) -> Performance:
    """Accuracy and mean loss of `network`, a chain or any other module, in eval mode on `split`."""
    # A copy if necessary: an in-place activation would overwrite the examples.
    network = network if chains.at_rest(network) else chains.frozen(network)
    logits_of: Callable[[Tensor], Tensor] = network
    size = BATCH
    with contextlib.suppress(UnsupportedNetworkError):
        chain = chains.read(network)
        logits_of, size = chain.run, chain.batch(split.inputs, BATCH)
    correct, loss = 0, torch.zeros((), dtype=torch.float64, device=split.targets.device)
    for start in range(0, len(split), size):
        targets = split.targets[start : start + size]
        logits = logits_of(split.inputs[start : start + size]).double()
        correct += int((logits.argmax(1) == targets).sum())
        loss += F.cross_entropy(logits, targets, reduction="sum")
    return Performance(correct / len(split), float(loss) / len(split))


def accuracy(network: nn.Module, split: Split) -> float:
    """Fraction of `split` that `network` classifies correctly."""
    return performance(network, split).accuracy


def loss(network: nn.Module, split: Split) -> float:
    """Mean cross-entropy of `network` on `split`, in nats."""
    return performance(network, split).loss


def parameters(network: nn.Module, masks: Mapping[str, Tensor] | None = None) -> int:
    """Parameters of `network` (biases and normalisation too), less those that `masks` remove."""
    removed = sum(int((~mask).sum()) for mask in (masks or {}).values())
    return sum(p.numel() for p in network.parameters()) - removed


def flops(
    network: nn.Module, input_shape: tuple[int, ...], masks: Mapping[str, Tensor] | None = None
) -> tuple[int, int]:
    """FLOPs of one example's forward pass: with all weights, and with those that stay."""
    first = next(network.parameters())
    example = torch.zeros(1, *input_shape, dtype=first.dtype, device=first.device)
    chain = chains.read(chains.frozen(network))
    outputs = chain.layer_outputs(example)
    dense = effective = 0
    for layer in chain.layers:
        positions = outputs[layer.name][0].numel() // layer.neurons
        weights = layer.module.weight.numel()
        mask = (masks or {}).get(f"{layer.name}.weight")
        dense += 2 * weights * positions
        effective += 2 * positions * (weights if mask is None else int(mask.sum()))
    return dense, effective


def stored_bytes(
    network: nn.Module, masks: Mapping[str, Tensor] | None = None, bits: int | None = None
) -> Bytes:
    """Bytes of `network` in each encoding; biases and normalisation take 4 bytes a number.

    dense: fp32 values. bitmap: 1 bit per weight, fp32 values of those that stay. csr: fp32 values,
    the narrowest of 1, 2, 4-byte column indices that fits, 4-byte row pointers, rows = outputs.
    quantized: ceil(n bits / 8) per tensor, a 4-byte scale and a 1-byte zero point per channel.
    """
    weights = chains.prunable(network)
    others = 4 * (parameters(network) - sum(weight.numel() for weight in weights.values()))
    dense = others + sum(4 * weight.numel() for weight in weights.values())
    if bits is not None:
        quantized = others + sum(
            -(-weight.numel() * bits // 8) + 5 * len(weight) for weight in weights.values()
        )
        return Bytes(dense, quantized=quantized)
    if masks is None:
        return Bytes(dense)
    bitmap = csr = others
    for name, weight in weights.items():
        kept = int(masks[name].sum()) if name in masks else weight.numel()
        columns = weight[0].numel()
        index = 1 if columns <= 2**8 else 2 if columns <= 2**16 else 4
        bitmap += -(-weight.numel() // 8) + 4 * kept
        csr += (4 + index) * kept + 4 * (len(weight) + 1)
    return Bytes(dense, bitmap=bitmap, csr=csr)


@torch.no_grad()
def latency(network: nn.Module, inputs: Tensor, repeats: int = 30) -> float:
    """Median seconds of one forward pass over `inputs`.

    It depends on the machine, so it never enters a row.
    """
    network = chains.frozen(network)
    seconds = []
    for _ in range(repeats + 3):
        if inputs.is_cuda:
            torch.cuda.synchronize()
        start = time.perf_counter()
        network(inputs)
        if inputs.is_cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[3:])
