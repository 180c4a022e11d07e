"""Make a layer smaller, in place: select some of its rows or columns, and set its sizes."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from minified.foundations import arguments
from minified.foundations.errors import AllocationError
from minified.networks import kinds


def different(name: str, indices: Tensor | Sequence[int], neurons: int) -> Tensor:
    """The neurons of layer `name` that stay, in the order given.

    Raises:
        AllocationError: what is not different indices of its `neurons`, at least one.
    """
    # Not as_tensor: it would make numbers of True and of 1.5.
    whole = isinstance(indices, Tensor) or (
        isinstance(indices, Sequence | np.ndarray)
        and all(
            arguments.is_whole(index) or (isinstance(index, Tensor) and index.dim() == 0)
            for index in indices
        )
    )
    stay = torch.as_tensor(indices) if whole else torch.empty(0)
    if (
        stay.dim() != 1
        or len(stay) == 0
        or stay.is_meta
        or stay.dtype not in (torch.int64, torch.int32)
        or stay.min() < 0
        or stay.max() >= neurons
        or len(stay.unique()) != len(stay)
    ):
        raise AllocationError(
            f"{name}: kept must be different indices in 0..{neurons - 1}, at least one, not"
            f" {arguments.shown(indices)}"
        )
    return stay.long()


def columns_of(neurons: Tensor, per_neuron: int) -> Tensor:
    """The input columns that belong to `neurons`, `per_neuron` each, in order."""
    offsets = torch.arange(per_neuron, device=neurons.device)
    return (neurons.unsqueeze(1) * per_neuron + offsets).flatten()


def select(module: nn.Module, name: str, indices: Tensor, dim: int) -> None:
    """Keep only `indices` along `dim` of the parameter or buffer `name`, if the module has it."""
    tensor = getattr(module, name, None)
    if tensor is None:
        return
    chosen = tensor.detach().index_select(dim, indices.to(tensor.device))
    if isinstance(tensor, nn.Parameter):
        setattr(module, name, nn.Parameter(chosen, requires_grad=tensor.requires_grad))
    else:
        setattr(module, name, chosen)


def set_sizes(modules: Sequence[nn.Module]) -> None:
    """Set the modules' size attributes to the sizes of their weights."""
    for module in modules:
        if isinstance(module, nn.Linear):
            module.out_features, module.in_features = module.weight.shape
        elif isinstance(module, nn.Conv2d):
            module.out_channels, module.in_channels = module.weight.shape[:2]
        elif kinds.of(module).role == "normalisation":
            module.num_features = len(module.running_mean)  # type: ignore[arg-type, assignment]
