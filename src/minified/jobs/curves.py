"""Training curves: the loss and the validation accuracy of every epoch, over a job's replicates.

    watch = Watch(networks, validation, epochs)
    losses = training.fit(networks, ..., observe=watch)
    write(path, [Curve(losses, watch.accuracy)])        # one curve per round

The accuracy is measured here and not by `minified.evaluation`: no trained network becomes stale
when that file is edited. At the last epoch both give the same number.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from minified import quantization
from minified.data.dataset import Split
from minified.foundations import files, products
from minified.networks import chains
from minified.study import rows
from minified.study.rows import EPOCH_COLUMNS

BATCH = 1024
"""Examples at once: the outputs of a layer then fit into a processor's cache."""


@dataclass(frozen=True)
class Curve:
    """One training of all replicates: `losses` and `accuracies`, (epochs, replicates) each.

    `losses` are the mean training losses that `training.fit` returns.
    """

    losses: Tensor
    accuracies: Tensor


class Watch:
    """An `observe` for `training.fit`: it measures the networks after each epoch.

    Args:
        networks: those that are trained.
        split: on which they are measured.
        bits: measure them with weights rounded to this many bits.

    Attributes:
        accuracy: (epochs, networks), float64: the fraction of `split` that each classifies right.
    """

    def __init__(
        self, networks: Sequence[nn.Module], split: Split, epochs: int, bits: int | None = None
    ):
        self.accuracy = torch.zeros(epochs, len(networks), dtype=torch.float64)
        self._places = {id(network): place for place, network in enumerate(networks)}
        self._split = split
        self._bits = bits
        self._spaces: dict[tuple[str, torch.Size], Tensor] = {}

    @torch.no_grad()
    @products.unchecked()
    def __call__(self, epoch: int, networks: Sequence[nn.Module]) -> None:
        """Measure networks that train together: one, or multilayer perceptrons of one shape."""
        if len(networks) > 1:
            run = partial(self._together, chains.read(networks[0]), self._stacked(networks))
        else:
            run = partial(self._alone, networks[0])
        split = self._split
        size = chains.read(networks[0]).batch(split.inputs, BATCH)
        correct = torch.zeros(len(networks), dtype=torch.int64, device=split.targets.device)
        for start in range(0, len(split), size):
            logits = run(split.inputs[start : start + size])
            correct += (logits.argmax(2) == split.targets[start : start + size]).sum(1)
        places = [self._places[id(network)] for network in networks]
        self.accuracy[epoch - 1, places] = correct.cpu().double() / len(split)

    def _alone(self, network: nn.Module, inputs: Tensor) -> Tensor:
        rounded = network if self._bits is None else quantization.quantize(network, self._bits)
        return chains.read(rounded).run(inputs).unsqueeze(0)

    def _stacked(self, networks: Sequence[nn.Module]) -> dict[str, Tensor]:
        """The parameters of all networks by name, (networks, ...) each."""
        every = [dict(network.named_parameters()) for network in networks]
        stacked = {name: torch.stack([one[name] for one in every]) for name in every[0]}
        if self._bits is not None:
            for layer in chains.read(networks[0]).layers:
                name = f"{layer.name}.weight"
                stacked[name] = quantization.nearest(stacked[name], self._bits, 2)
        return stacked

    def _together(self, chain: chains.Chain, tensors: dict[str, Tensor], inputs: Tensor) -> Tensor:
        """The logits of a stack for the same inputs (N, ...): (networks, N, classes)."""
        output = inputs.unsqueeze(0)
        own = False  # whether it is in memory that nobody else reads
        for name, module in chain.steps:
            if isinstance(module, nn.Linear):
                output = self._multiply(name, output, tensors[f"{name}.weight"].mT)
                if (bias := tensors.get(f"{name}.bias")) is not None:
                    output += bias.unsqueeze(1)
                own = True
            elif isinstance(module, nn.Flatten):
                output = output.flatten(2)
            elif isinstance(module, nn.ReLU) and own:
                output.relu_()
            else:
                output, own = module(output), False
        return output

    def _multiply(self, name: str, a: Tensor, b: Tensor) -> Tensor:
        """A product, written into memory that is used again: half of the time went into new one."""
        shape = torch.Size((b.shape[0], a.shape[1], b.shape[2]))
        if (name, shape) not in self._spaces:
            self._spaces[name, shape] = a.new_empty(shape)
        return products.matmul(a, b, out=self._spaces[name, shape])


def write(path: Path, rounds: Sequence[Curve]) -> None:
    """Write the curves of a job, one line per round and epoch; none if it trained nothing."""
    files.write_rows(path, EPOCH_COLUMNS, _lines(rounds))


def _lines(rounds: Sequence[Curve]) -> Iterator[dict[str, Any]]:
    for number, curve in enumerate(rounds, start=1):
        both = zip(curve.losses.tolist(), curve.accuracies.tolist(), strict=True)
        for epoch, (losses, accuracy) in enumerate(both, start=1):
            yield dict(
                zip(
                    EPOCH_COLUMNS,
                    (number, epoch, len(losses), *rows.spread(losses), *rows.spread(accuracy)),
                    strict=True,
                )
            )
