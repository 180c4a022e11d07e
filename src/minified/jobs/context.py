"""What a job works with, opened once from study and paths: data, networks, seeds, artefacts.

    context = Context(study, paths)
    for network in context.baselines("trained"): ...

Training is in `minified.jobs.fitting` and measuring in `minified.jobs.measuring`: a job that only
scores depends on neither.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from minified.criteria.record import parse_method
from minified.data import dataset
from minified.data.dataset import Dataset, Split
from minified.foundations import arithmetic, files, seeds
from minified.foundations.errors import ArtefactError
from minified.foundations.rounds import ONE_SHOT, Round
from minified.networks import builder, chains
from minified.study.paths import Paths
from minified.study.studies import Study

if TYPE_CHECKING:
    from minified.criteria.derivatives import Derivatives

_KEPT_AS = {"trained": "final", "initial": "initial"}


class Context:
    """One study's data, networks, seeds and files, for one job.

    Attributes: `study`, `paths`, and `replicates`, the range of their numbers; of a block, of the
        numbers that they have in the whole study.

    Raises:
        ArtefactError: a file that a job reads is missing, damaged, or from another study.
        StudyError: this machine does not have the study's device.
    """

    def __init__(self, study: Study, paths: Paths):
        self.study = study
        self.paths = paths
        self.replicates = study.numbers

    @cached_property
    def data(self) -> Dataset:
        """The prepared data set, on the study's device."""
        arithmetic.require(self.study.device)
        return dataset.read(self.paths.data).to(self.study.device)

    @cached_property
    def saliency(self) -> Split:
        """The training examples on which saliency and damage are computed."""
        return self.data.training.first(self.study.data.saliency_examples)

    def build(self) -> nn.Module:
        """The study's dense network, untrained, on the study's device."""
        options = self.study.network.model_dump(exclude={"name"})
        shape, classes = self.data.input_shape, self.data.classes
        network = builder.build(self.study.network.name, shape, classes, **options)
        return network.to(self.study.device)

    def baselines(self, start: str = "trained") -> list[nn.Module]:
        """Every replicate's baseline, `trained` or with its `initial` weights."""
        networks = [self.build() for _ in self.replicates]
        self.load(networks, self.paths.baseline, _KEPT_AS[start])
        return networks

    def load(self, networks: Sequence[nn.Module], path: Path, which: str) -> None:
        """Fill `networks`, one per replicate, with the weights saved as `REPLICATE/which`."""
        tensors, _ = files.read_tensors(path)
        for replicate, network in zip(self.replicates, networks, strict=True):
            prefix = f"{replicate}/{which}/"
            state = {
                name.removeprefix(prefix): tensor
                for name, tensor in tensors.items()
                if name.startswith(prefix)
            }
            try:
                network.load_state_dict(state)
            except RuntimeError:
                raise ArtefactError(
                    path,
                    f"holds no {which} network of replicate {replicate} that fits the study",
                ) from None
            network.eval()

    def keep(
        self, path: Path, networks: Mapping[str, nn.Module], metadata: Mapping[str, Any]
    ) -> None:
        """Write networks as one safetensors file, by names such as `0/final`."""
        tensors = {
            f"{key}/{name}": tensor
            for key, network in networks.items()
            for name, tensor in network.state_dict().items()
        }
        files.write_tensors(path, tensors, metadata)

    def scores(self, method: str, network: nn.Module) -> list[dict[str, Tensor]]:
        """Every replicate's saved scores, by layer in the order of `network`."""
        level, _ = parse_method(method, self.study.registry)
        path = self.paths.scores(method)
        tensors, _ = files.read_tensors(path)
        shapes = chains.unit_shapes(network, level)
        by_replicate = []
        for replicate in self.replicates:
            scores = {}
            for name, shape in shapes.items():
                tensor = tensors.get(f"{replicate}/{name}")
                if tensor is None or tuple(tensor.shape) != shape:
                    raise ArtefactError(
                        path, f"holds no scores of replicate {replicate} for {name}"
                    )
                scores[name] = tensor
            by_replicate.append(scores)
        return by_replicate

    def derivatives(
        self, level: str, network: nn.Module, replicate: int
    ) -> "dict[str, Derivatives]":
        """The derivatives saved for one replicate, by layer in the order of `network`."""
        # Imported here, so that only the jobs of criteria that need it depend on that file.
        from minified.criteria.derivatives import Derivatives

        path = self.paths.derivatives(level)
        tensors, _ = files.read_tensors(path, within=f"{replicate}/")
        by_layer = {}
        empty = torch.empty(0)
        for name, shape in chains.unit_shapes(network, level).items():
            keys = [f"{replicate}/{name}/{quantity.name}" for quantity in fields(Derivatives)]
            values = [tensors.get(key, empty) for key in keys]
            if any(tuple(value.shape) != shape for value in values):
                raise ArtefactError(
                    path, f"holds no derivatives of replicate {replicate} for {name}"
                )
            by_layer[name] = Derivatives(*values)
        return by_layer

    def seeds(self, purpose: str, step: Round = ONE_SHOT) -> list[int]:
        """One seed per replicate, derived from (study seed, purpose, replicate); after the first
        round from (study seed, purpose, `round K`, replicate).
        """
        name = [purpose] if step.number == 1 else [purpose, f"round {step.number}"]
        return [seeds.derive(self.study.seed, *name, r) for r in self.replicates]

    def fresh(self, network: nn.Module, seed: int) -> nn.Module:
        """Give `network` new random weights, which depend only on its widths and a run's `seed`."""
        return builder.initialise(network, seeds.derive(seed, "initialisation"))
