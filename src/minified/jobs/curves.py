"""Training curves: the loss and the validation accuracy of every epoch, over a job's replicates.

    watch = Watch(networks, validation, epochs)
    losses = training.fit(networks, ..., observe=watch)
    write(path, [Curve(losses, watch.accuracy)])        # one curve per round

The accuracy is measured here and not by `minified.evaluation`: no trained network becomes stale
when that file is edited. At the last epoch both give the same number.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from minified import quantization
from minified.data.dataset import Split
from minified.foundations import products
from minified.jobs import curve_files
from minified.networks import chains, modules, stacks
from minified.networks.stacks import SideBySide
from minified.training.loop import StackObserver

BATCH = 1024
"""Examples at once: the outputs of a layer then fit into a processor's cache."""


@dataclass(frozen=True)
class Curve:
    """One training of all replicates: `losses` and `accuracies`, (epochs, replicates) each.

    `losses` are the mean training losses that `training.fit` returns.
    """

    losses: Tensor
    accuracies: Tensor


class Watch(StackObserver):
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
        self._sides: dict[tuple[int, ...], SideBySide] = {}

    def __call__(self, epoch: int, networks: Sequence[nn.Module]) -> None:
        """Measure networks that train together: one, or multilayer perceptrons of one shape."""
        if len(networks) > 1:
            self.stacked(epoch, networks, stacks.tensors(networks))
        else:
            self._measure(epoch, networks, partial(self._alone, networks[0]))

    def stacked(
        self, epoch: int, networks: Sequence[nn.Module], tensors: Mapping[str, Tensor]
    ) -> None:
        """Measure multilayer perceptrons of one shape, by their parameters (networks, ...)."""
        side = self._side(networks)
        if self._bits is not None:
            weights = {modules.inside(layer.name, "weight") for layer in side.chain.layers}
            tensors = {
                name: quantization.nearest(tensor.detach(), self._bits, 2)
                if name in weights
                else tensor
                for name, tensor in tensors.items()
            }
        self._measure(epoch, networks, partial(side.run, tensors))

    @torch.no_grad()
    @products.unchecked()
    def _measure(
        self, epoch: int, networks: Sequence[nn.Module], run: Callable[[Tensor], Tensor]
    ) -> None:
        """`run` gives the logits of all networks for the same inputs, (networks, N, classes)."""
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
        # An in-place activation would overwrite the examples.
        return chains.read(rounded).run(inputs.clone()).unsqueeze(0)

    def _side(self, networks: Sequence[nn.Module]) -> SideBySide:
        """A group, which is the same at each epoch, with its memory."""
        key = tuple(map(id, networks))
        if key not in self._sides:
            self._sides[key] = SideBySide(networks)
        return self._sides[key]


def write(path: Path, rounds: Sequence[Curve], block: range | None = None) -> None:
    """Write the curves of a job, one line per round and epoch; none if it trained nothing.

    `block`: the numbers of the replicates, if the job has only some of them (`curve_files`).
    """
    epochs = [
        list(zip(one.losses.tolist(), one.accuracies.tolist(), strict=True)) for one in rounds
    ]
    curve_files.write(path, epochs, block)
