"""What the rounds before a job's last training leave: `iterate` writes it, `retrain` reads it.

Per replicate a file holds the network after the last removal (`network/`), at parameter level its
masks (`masks/`), and at neuron level which of the baseline's neurons stay (`kept/`) and how wide
the hidden layers were at first and after every round (`widths/`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from minified import pruning
from minified.foundations import files
from minified.foundations.errors import ArtefactError
from minified.jobs.context import Context
from minified.networks import chains
from minified.study.methods import Job


@dataclass(frozen=True)
class Left:
    """What some rounds left of one replicate.

    Attributes:
        network: as it is after the last removal.
        masks: the weights that stay, at parameter level; None before the first round.
        kept: which neurons of the baseline stay, by hidden layer.
        widths: how many neurons the hidden layers had at first and after each round, by layer.
    """

    network: nn.Module
    masks: Mapping[str, Tensor] | None
    kept: Mapping[str, Tensor]
    widths: Mapping[str, Sequence[int]]


def whole(network: nn.Module) -> Left:
    """A baseline, of which nothing is removed yet."""
    hidden = chains.read(network).hidden
    kept = {layer.name: torch.arange(layer.neurons) for layer in hidden}
    return Left(network, None, kept, {name: [len(kept[name])] for name in kept})


def save(context: Context, job: Job, left: Sequence[Left], metadata: Mapping[str, Any]) -> None:
    """Write what is left of all replicates."""
    tensors: dict[str, Tensor] = {}
    for replicate, one in zip(context.replicates, left, strict=True):
        parts: dict[str, Mapping[str, Tensor]] = {"network": one.network.state_dict()}
        if job.level == "parameter":
            parts["masks"] = one.masks or {}
        else:
            widths = {name: torch.tensor(list(values)) for name, values in one.widths.items()}
            parts |= {"kept": one.kept, "widths": widths}
        for part, by_name in parts.items():
            tensors |= {f"{replicate}/{part}/{name}": value for name, value in by_name.items()}
    files.write_tensors(context.paths.rounds(job), tensors, metadata)


def read(context: Context, job: Job, baselines: Sequence[nn.Module], rounds: int) -> list[Left]:
    """What `save` wrote of all replicates.

    Args:
        baselines: networks of the size of the baselines; not changed.
        rounds: how many rounds there were.

    Raises:
        ArtefactError: the file is missing, damaged, or does not fit these networks and rounds.
    """
    path = context.paths.rounds(job)
    tensors, _ = files.read_tensors(path)
    left = []
    for replicate, baseline in zip(context.replicates, baselines, strict=True):
        hidden = [layer.name for layer in chains.read(baseline).hidden]
        parts: dict[str, dict[str, Tensor]] = {part: {} for part in ("masks", "kept", "widths")}
        for name, tensor in tensors.items():
            number, part, key = name.split("/", 2)
            if number == str(replicate) and part in parts:
                parts[part][key] = tensor
        if not _fits(baseline, job.level, rounds, **parts):
            raise ArtefactError(
                path, f"holds no rounds of replicate {replicate} that fit the study"
            )
        # In the order of the network, which a file does not keep.
        masks = {n: parts["masks"][n] for n in chains.prunable(baseline) if n in parts["masks"]}
        kept = {n: parts["kept"][n] for n in hidden if n in parts["kept"]}
        widths = {name: parts["widths"][name].tolist() for name in kept}
        left.append(Left(pruning.remove_neurons(baseline, kept), masks or None, kept, widths))
    context.load([one.network for one in left], path, "network")
    return left


def earlier(baseline: nn.Module, left: Left, rounds: int) -> list[nn.Module]:
    """Networks as large as those that were trained before the last of the rounds."""
    return [
        pruning.remove_neurons(
            baseline, {name: range(widths[number + 1]) for name, widths in left.widths.items()}
        )
        for number in range(rounds - 1)
    ]


def _fits(
    baseline: nn.Module,
    level: str,
    rounds: int,
    masks: Mapping[str, Tensor],
    kept: Mapping[str, Tensor],
    widths: Mapping[str, Tensor],
) -> bool:
    """Whether the parts of a file are those of one replicate, after so many rounds."""
    if level == "parameter":
        shapes = chains.unit_shapes(baseline, level)
        return {name: tuple(mask.shape) for name, mask in masks.items()} == shapes and all(
            mask.dtype == torch.bool for mask in masks.values()
        )
    neurons = {layer.name: layer.neurons for layer in chains.read(baseline).hidden}
    return kept.keys() == widths.keys() == neurons.keys() and all(
        kept[name].dtype == widths[name].dtype == torch.int64
        and kept[name].dim() == 1
        and tuple(widths[name].shape) == (rounds + 1,)
        and int(widths[name][-1]) == len(kept[name]) > 0
        and 0 <= int(kept[name].min()) <= int(kept[name].max()) < count
        and len(kept[name].unique()) == len(kept[name])
        for name, count in neurons.items()
    )
