"""A network's performance and cost: accuracy, loss, parameters, FLOPs, stored bytes, latency.

FLOPs count 2 per multiply-add of Linear and Conv2d layers; nothing else is counted. Bytes are
those of a stored file; `stored_bytes` defines each encoding.
"""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minified.data import dataset
from minified.data.dataset import Split
from minified.foundations import arguments, products
from minified.foundations.errors import (
    AlteredNetworkError,
    ArgumentError,
    UnsupportedNetworkError,
)
from minified.networks import chains, examples, stacks
from minified.training.masks import check_mask_shapes

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


def performance(network: nn.Module, split: Split) -> Performance:
    """Accuracy and mean loss of `network`, a chain or any other module, in eval mode on `split`.

    Raises:
        ArgumentError: examples that the network cannot be run on, or a loss that is not finite.
        AlteredNetworkError: hooks or recomputed weights in a network of known layers; names one.
        UnsupportedNetworkError: outputs that are not (N, classes) logits of at least two classes.
    """
    return performances([network], split)[0]


@torch.no_grad()
@products.unchecked()
def performances(networks: Sequence[nn.Module], split: Split) -> list[Performance]:
    """`performance` of each network, and its errors. Multilayer perceptrons of one shape run side
    by side, which takes less time and on a CPU changes no bit.
    """
    dataset.check_split(split)
    networks = examples.listed("networks", networks)
    chain_of = [_chain(network) for network in networks]
    for i, chain in enumerate(chain_of):
        examples.check(chain, split.inputs, split.targets, weights=False)
        # A copy if necessary: an in-place activation would overwrite the examples.
        if not chains.at_rest(networks[i]):
            networks[i] = chains.frozen(networks[i])
            chain_of[i] = chain and chains.read(networks[i])
    together = [[i] for i in range(len(networks))] if None in chain_of else stacks.groups(networks)
    found: dict[int, Performance] = {}
    for group in together:
        chain = chain_of[group[0]]
        size = BATCH if chain is None else chain.batch(split.inputs, BATCH)
        most = 1 if chain is None else chain.together(split.inputs, min(size, len(split)))
        for first in range(0, len(group), most):
            members = group[first : first + most]
            found |= zip(
                members, _measured([networks[i] for i in members], split, size), strict=True
            )
    return [found[i] for i in range(len(networks))]


def _measured(networks: Sequence[nn.Module], split: Split, size: int) -> list[Performance]:
    """The performance of one network, or of a stack of them; `size` examples at once."""
    run = _stacked(networks) if len(networks) > 1 else _alone(networks[0])
    correct = torch.zeros(len(networks), dtype=torch.int64, device=split.targets.device)
    losses = torch.zeros(len(networks), dtype=torch.float64, device=split.targets.device)
    for start in range(0, len(split), size):
        targets = split.targets[start : start + size]
        logits = run(split.inputs[start : start + size], targets).double()
        correct += (logits.argmax(2) == targets).sum(1)
        losses += torch.stack([F.cross_entropy(one, targets, reduction="sum") for one in logits])
    for network, loss in zip(networks, losses.tolist(), strict=True):
        if not math.isfinite(loss):
            raise ArgumentError(_not_finite(network, split.inputs, loss))
    both = zip(correct.tolist(), losses.tolist(), strict=True)
    return [Performance(right / len(split), loss / len(split)) for right, loss in both]


def _alone(network: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    if (chain := _chain(network)) is None:
        return lambda inputs, targets: _logits(network, inputs, targets).unsqueeze(0)
    return lambda inputs, _: chain.run(inputs).unsqueeze(0)


def _stacked(networks: Sequence[nn.Module]) -> Callable[[Tensor, Tensor], Tensor]:
    side = stacks.SideBySide(networks)
    tensors = stacks.tensors(networks)
    return lambda inputs, _: side.run(tensors, inputs)


def accuracy(network: nn.Module, split: Split) -> float:
    """Fraction of `split` that `network` classifies correctly."""
    return performance(network, split).accuracy


def loss(network: nn.Module, split: Split) -> float:
    """Mean cross-entropy of `network` on `split`, in nats."""
    return performance(network, split).loss


def parameters(network: nn.Module, masks: Mapping[str, Tensor] | None = None) -> int:
    """Parameters of `network` (biases and normalisation too), less those that `masks` remove.

    Raises:
        MaskError: a mask that is not bool, or fits no weight of the network.
        UnsupportedNetworkError: masks for a network that is no chain.
    """
    _chain(network)
    removed = sum(int((~mask).sum()) for mask in _checked(network, masks).values())
    return sum(p.numel() for p in network.parameters()) - removed


def flops(
    network: nn.Module, input_shape: tuple[int, ...], masks: Mapping[str, Tensor] | None = None
) -> tuple[int, int]:
    """FLOPs of one example's forward pass: with all weights, and with those that stay.

    Raises:
        ArgumentError: an `input_shape` (without the batch) that the network cannot read.
        MaskError: a mask that is not bool, or fits no weight of the network.
        UnsupportedNetworkError: no chain; names the module.
    """
    shape = arguments.sizes("input_shape", input_shape, least=1)
    chain = chains.read(network)
    masks = _checked(network, masks)
    outputs = examples.shapes(chain, shape, "input_shape")
    dense = effective = 0
    for layer in chain.layers:
        positions = math.prod(outputs[layer.position]) // layer.neurons
        weights = layer.module.weight.numel()
        mask = masks.get(f"{layer.name}.weight")
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

    Raises:
        ArgumentError: bits outside 1 to 8, or masks and bits at once, which no encoding has.
        MaskError: a mask that is not bool, or fits no weight of the network.
        UnsupportedNetworkError: no chain; names the module.
    """
    checked = _checked(network, masks)
    if bits is not None:
        bits = arguments.bits(bits)
        if masks is not None:
            raise ArgumentError("masks, bits: give one of them; no encoding has both")
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
        kept = int(checked[name].sum()) if name in checked else weight.numel()
        columns = weight[0].numel()
        index = 1 if columns <= 2**8 else 2 if columns <= 2**16 else 4
        bitmap += -(-weight.numel() // 8) + 4 * kept
        csr += (4 + index) * kept + 4 * (len(weight) + 1)
    return Bytes(dense, bitmap=bitmap, csr=csr)


@torch.no_grad()
def latency(network: nn.Module, inputs: Tensor, repeats: int = 30) -> float:
    """Median seconds of one forward pass over `inputs`.

    It depends on the machine, so it never enters a row.

    Raises:
        ArgumentError: inputs that the network cannot be run on, or no repeats.
        AlteredNetworkError: hooks or recomputed weights in a network of known layers; names one.
    """
    repeats = arguments.whole("repeats", repeats, 1)
    chain = _chain(network)
    examples.check_inputs(chain, inputs)
    network = chains.frozen(network)
    if chain is None:
        _called(network, inputs)
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


def _chain(network: nn.Module) -> chains.Chain | None:
    """`network` as a chain; None for any other module, which is called as it is."""
    try:
        return chains.read(network)
    except AlteredNetworkError:
        raise
    except UnsupportedNetworkError:
        if not isinstance(network, nn.Module):
            raise
        for name, parameter in network.named_parameters():
            if nn.parameter.is_lazy(parameter):
                raise UnsupportedNetworkError(
                    f"{name}: has no numbers yet; run the network on one example first"
                ) from None
        return None


def _checked(network: nn.Module, masks: Mapping[str, Tensor] | None) -> Mapping[str, Tensor]:
    """The masks, if they are those of `network`; none if they are None."""
    if masks is None:
        return {}
    check_mask_shapes(network, masks)
    return masks


def _logits(network: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """What a network that is no chain gives, if these are logits for the labels."""
    logits = _called(network, inputs)
    if (
        not isinstance(logits, Tensor)
        or not logits.is_floating_point()
        or logits.dim() != 2
        or len(logits) != len(targets)
        or logits.shape[1] < 2
    ):
        raise UnsupportedNetworkError(
            f"{type(network).__name__}: gives {arguments.shown(logits)} for {len(targets)}"
            " examples; must give (N, classes) logits of at least two classes"
        )
    examples.check_labels(targets, logits.shape[1])
    return logits


def _called(network: nn.Module, inputs: Tensor) -> Any:
    """What a network that is no chain gives; what it says if it cannot read `inputs`."""
    try:
        return network(inputs)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        reason = str(error).partition("\n")[0]
        raise ArgumentError(
            f"inputs: {type(network).__name__} cannot be run on {arguments.shown(inputs)}: {reason}"
        ) from error


def _not_finite(network: nn.Module, inputs: Tensor, loss: float) -> str:
    """Where a loss that is not finite comes from, for an error message."""
    if inputs.is_floating_point() and not examples.all_finite(inputs):
        return examples.NOT_FINITE
    problem = examples.not_finite(network.state_dict().items())
    return problem or f"network: its loss is not a finite number ({loss})"
