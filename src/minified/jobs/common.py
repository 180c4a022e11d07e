"""What the jobs share: building and reading a study's networks, training them, writing rows."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from minified import arithmetic, chains, data, evaluation, files, networks, seeds, training
from minified.errors import ArtefactError, DivergenceError
from minified.paths import Paths
from minified.rows import Row
from minified.study import Recipe, Study

if TYPE_CHECKING:
    from minified.criteria.obd import Derivatives


def read_data(study: Study, paths: Paths) -> data.Dataset:
    """The prepared data set, on the study's device."""
    arithmetic.require(study.device)
    return data.read(paths.data).to(study.device)


def build(study: Study, dataset: data.Dataset) -> nn.Module:
    """The study's dense network, untrained, on the study's device."""
    options = study.network.model_dump(exclude={"name"})
    network = networks.build(study.network.name, dataset.input_shape, dataset.classes, **options)
    return network.to(study.device)


def write_networks(
    path: Path, states: Mapping[str, nn.Module], metadata: Mapping[str, Any] | None = None
) -> None:
    """Keep networks as one safetensors file; `states` maps `0/final` to a network."""
    tensors = {
        f"{key}/{name}": tensor
        for key, network in states.items()
        for name, tensor in network.state_dict().items()
    }
    files.write_tensors(path, tensors, metadata)


def read_baselines(study: Study, dataset: data.Dataset, path: Path, which: str) -> list[nn.Module]:
    """The `initial` or `final` networks of every replicate."""
    networks = [build(study, dataset) for _ in range(study.replicates)]
    load_networks(networks, path, which)
    return networks


def load_networks(networks: Sequence[nn.Module], path: Path, which: str) -> None:
    """Fill `networks`, one per replicate, with the weights kept as `REPLICATE/which`."""
    tensors, _ = files.read_tensors(path)
    for replicate, network in enumerate(networks):
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
                path, f"holds no {which} network of replicate {replicate} as the study describes it"
            ) from None
        network.eval()


def read_derivatives(
    network: nn.Module, path: Path, level: str, replicate: int
) -> "dict[str, Derivatives]":
    """What `minified derivatives` kept for one replicate."""
    # Imported here, so that only those criteria's jobs depend on this file.
    from minified.criteria.obd import Derivatives

    tensors, _ = files.read_tensors(path, within=f"{replicate}/")
    found = {}
    empty = torch.empty(0)
    for name, shape in chains.unit_shapes(network, level).items():
        kept = [f"{replicate}/{name}/{quantity.name}" for quantity in fields(Derivatives)]
        values = [tensors.get(key, empty) for key in kept]
        if any(tuple(value.shape) != shape for value in values):
            raise ArtefactError(path, f"holds no derivatives of replicate {replicate} for {name}")
        found[name] = Derivatives(*values)
    return found


def read_scores(
    study: Study, network: nn.Module, path: Path, level: str
) -> list[dict[str, Tensor]]:
    """The scores of every replicate, in the network's order."""
    tensors, _ = files.read_tensors(path)
    shapes = chains.unit_shapes(network, level)
    found = []
    for replicate in range(study.replicates):
        scores = {}
        for name, shape in shapes.items():
            tensor = tensors.get(f"{replicate}/{name}")
            if tensor is None or tuple(tensor.shape) != shape:
                raise ArtefactError(path, f"holds no scores of replicate {replicate} for {name}")
            scores[name] = tensor
        found.append(scores)
    return found


def run_seeds(study: Study, purpose: str) -> list[int]:
    """One seed per replicate, by (study seed, purpose, replicate)."""
    return [seeds.derive(study.seed, purpose, r) for r in range(study.replicates)]


def fresh(network: nn.Module, seed: int) -> nn.Module:
    """`network` with new random weights that depend on the run's `seed` and its widths alone."""
    return networks.initialise(network, seeds.derive(seed, "initialisation"))


def fit(
    what: str,
    replicas: Sequence[nn.Module],
    split: data.Split,
    recipe: Recipe,
    masks: Sequence[training.Masks] | None,
    run: Sequence[int],
    bits: int | None = None,
) -> None:
    """`training.fit`, with the job's name in the message if it diverges."""
    try:
        training.fit(replicas, split, recipe, masks, run, bits=bits)
    except DivergenceError as error:
        raise DivergenceError(
            error.replicate,
            error.epoch,
            f"{error.detail}; {what}; a lower learning rate in its recipe is the usual mend",
        ) from None


def measures(network: nn.Module, dataset: data.Dataset, suffix: str = "") -> dict[str, float]:
    """Accuracy and loss on all three splits, as columns of a row."""
    columns = {}
    for split in data.SPLITS:
        found = evaluation.performance(network, getattr(dataset, split))
        columns[f"accuracy_{split}{suffix}"] = found.accuracy
        columns[f"loss_{split}{suffix}"] = found.loss
    return columns


def make_row(
    study: Study,
    dataset: data.Dataset,
    network: nn.Module,
    *,
    method: str,
    regime: str,
    replicate: int,
    seed: int,
    before: Mapping[str, float],
    epochs: int,
    masks: Mapping[str, Tensor] | None = None,
    level: str | None = None,
    criterion: str | None = None,
    scope: str | None = None,
    sparsity: float | None = None,
    sparsity_achieved: float | None = None,
    bits: int | None = None,
) -> Row:
    """The row of one finished run; `before` holds the `*_before` columns."""
    dense, effective = evaluation.flops(network, dataset.input_shape, masks)
    sizes = evaluation.stored_bytes(network, masks, bits)
    collapsed = [
        name.removesuffix(".weight") for name, mask in (masks or {}).items() if not mask.any()
    ]
    hidden = chains.read(network).hidden
    return Row(
        study=study.name,
        data=study.data.name,
        network=study.network.name,
        method=method,
        level=level,
        criterion=criterion,
        scope=scope,
        sparsity=sparsity,
        sparsity_achieved=sparsity_achieved,
        bits=bits,
        regime=regime,
        replicate=replicate,
        seed=seed,
        **measures(network, dataset),
        **before,
        parameters_total=evaluation.parameters(build(study, dataset)),
        parameters_kept=evaluation.parameters(network, masks),
        neurons_kept=" ".join(f"{layer.name}:{layer.neurons}" for layer in hidden),
        collapsed_layers=" ".join(collapsed) or None,
        flops_dense=dense,
        flops=effective,
        bytes_dense=sizes.dense,
        bytes_bitmap=sizes.bitmap,
        bytes_csr=sizes.csr,
        bytes_quantized=sizes.quantized,
        bytes_stored=sizes.stored,
        epochs=epochs,
        training_flops=evaluation.TRAINING_FLOPS_PER_FORWARD
        * dense
        * len(dataset.training)
        * epochs,
    )


def job_name(study: Study, method: str, place: str, regime: str) -> str:
    """How a job is called in messages."""
    return f"study {study.name}, method {method}, {place}, regime {regime}"
