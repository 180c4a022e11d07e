"""Whether a network can be run on examples: checks of `inputs` and `targets` before their use.

`check(chain, inputs, targets)` raises an error of one line that names the argument. It looks at
types, shapes, devices and the range of the labels, and reads the inputs once, for numbers that are
not finite. No step of a loop is checked.
"""

import math
from collections.abc import Iterable, Mapping, Set
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from minified.foundations import arguments
from minified.foundations.errors import ArgumentError, MinifiedError, UnsupportedNetworkError
from minified.networks import kinds
from minified.networks.alterations import named
from minified.networks.chains import Chain

DTYPES = (torch.float32, torch.float64)
"""What networks compute in: all of a network in one of them, as its inputs."""

NOT_FINITE = "inputs: some are not finite numbers (nan or inf)"

Shape = tuple[int, ...]


def listed(name: str, values: object) -> list[Any]:
    """`values` as a list; a Sequential is one network, and the order of a set is not known.

    Raises:
        ArgumentError: no list of anything.
    """
    one = isinstance(values, nn.Module) and not isinstance(values, nn.ModuleList)
    if one or isinstance(values, str | bytes | Mapping | Set) or not isinstance(values, Iterable):
        raise ArgumentError(f"{name}: must be a list, not {arguments.shown(values)}")
    return list(values)


def check(
    chain: Chain | None,
    inputs: Tensor,
    targets: Tensor,
    *,
    finite: bool = True,
    weights: bool = True,
    error: type[MinifiedError] = ArgumentError,
    of: str = "",
) -> list[Shape]:
    """Raise an error if a network cannot be scored, measured or trained on these examples.

    Args:
        chain: the network; None: a module of another kind, whose layers are not known.
        inputs: (N, ...), at least one, of the network's dtype and on its device.
        targets: (N,) int64 labels from 0 to the number of logits - 1.
        finite: whether to check that all inputs are finite numbers.
        weights: whether to check that the network's numbers are finite, too.
        error: the class of the error; `of`, what the message begins with.

    Returns:
        The shape of one example after each step of the chain.
    """
    if problem := _tensor(inputs, "inputs") or _targets(inputs, targets):
        raise error(f"{of}{problem}")
    after = check_inputs(chain, inputs, finite=finite, weights=weights, error=error, of=of)
    if chain is not None:
        check_labels(targets, classes(chain, after[-1]), error, of)
    return after


def check_inputs(
    chain: Chain | None,
    inputs: Tensor,
    *,
    finite: bool = True,
    weights: bool = True,
    error: type[MinifiedError] = ArgumentError,
    of: str = "",
) -> list[Shape]:
    """`check` for functions that use no labels."""
    problem = _tensor(inputs, "inputs")
    if problem is None and len(inputs) == 0:
        problem = "inputs: there are none; at least one example is needed"
    after: list[Shape] = []
    if problem is None and chain is not None:
        problem = _type(chain, inputs)
        if problem is None:
            after, misfit = _shapes(chain, tuple(inputs.shape[1:]))
            problem = misfit and f"inputs: {misfit}"
        if problem is None and weights:
            problem = not_finite(chain.tensors())
    if problem is None and finite and inputs.is_floating_point() and not all_finite(inputs):
        problem = NOT_FINITE
    if problem:
        raise error(f"{of}{problem}")
    return after


def classes(chain: Chain, shape: Shape) -> int:
    """How many classes the logits, of `shape` for one example, tell apart: at least two."""
    name, module = chain.layers[-1].name, chain.layers[-1].module
    if len(shape) != 1:
        raise UnsupportedNetworkError(
            f"{named(name, module)}: gives outputs of shape {shape}; a network must end in logits,"
            " one per class: add nn.Flatten()"
        )
    if shape[0] < 2:
        raise UnsupportedNetworkError(
            f"{named(name, module)}: gives one logit; a network must end in one logit per class,"
            " so in at least two"
        )
    return shape[0]


def check_labels(
    targets: Tensor, classes: int, error: type[MinifiedError] = ArgumentError, of: str = ""
) -> None:
    """Raise an error if a label is not in 0 to `classes` - 1."""
    low, high = (int(extreme) for extreme in targets.aminmax())
    if low < 0 or high >= classes:
        raise error(
            f"{of}targets: has a label {low if low < 0 else high}; labels must be in 0 to"
            f" {classes - 1}, for the network's {classes} logits"
        )


def check_dtype(name: str, tensor: Tensor) -> None:
    """Raise UnsupportedNetworkError if parameter or buffer `name` is of another precision."""
    if tensor.dtype not in DTYPES:
        raise UnsupportedNetworkError(
            f"{name}: is {tensor.dtype}; a network must be all float32 or all float64"
        )


def not_finite(tensors: Iterable[tuple[str, Tensor]]) -> str | None:
    """Which of a network's tensors has nan or inf, for an error message; None if none has."""
    for name, tensor in tensors:
        if tensor.is_floating_point() and not all_finite(tensor):
            return f"network: {name} has numbers that are not finite (nan or inf)"
    return None


def shapes(chain: Chain, shape: Shape, of: str = "inputs") -> list[Shape]:
    """The shape of one example, of `shape` at first, after each step of `chain`.

    Raises:
        ArgumentError: a layer that cannot read it, by name; `of` is what has this shape.
    """
    found, problem = _shapes(chain, shape)
    if problem:
        raise ArgumentError(f"{of}: {problem}")
    return found


def is_ordinary(tensor: object) -> TypeGuard[Tensor]:
    """Whether `tensor` is a tensor of torch's own class that holds its numbers one by one."""
    return (
        type(tensor) in (Tensor, nn.Parameter)
        and isinstance(tensor, Tensor)
        and tensor.layout is torch.strided
        and not tensor.is_meta
        and not tensor.is_nested
    )


def all_finite(tensor: Tensor) -> bool:
    """Whether `tensor` has neither nan nor inf."""
    # The sum of finite numbers is finite, unless they are huge: one pass, and nothing is stored.
    return bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())


def _tensor(tensor: object, name: str) -> str | None:
    if not isinstance(tensor, Tensor):
        return f"{name}: must be a tensor, not {arguments.shown(tensor)}; use torch.as_tensor"
    if not is_ordinary(tensor):
        kind = "nested" if tensor.is_nested else f"{type(tensor).__name__} {tensor.layout}"
        return f"{name}: must be an ordinary tensor, not {kind} on {tensor.device}"
    if tensor.dim() == 0:
        return f"{name}: must have one row per example, not be a single number"
    return None


def _targets(inputs: Tensor, targets: object) -> str | None:
    if problem := _tensor(targets, "targets"):
        return problem
    assert isinstance(targets, Tensor)
    if targets.dim() != 1 or targets.dtype != torch.int64:
        return (
            "targets: must be class indices, (N,) int64 from 0, not"
            f" {targets.dtype} {tuple(targets.shape)}"
        )
    if len(inputs) != len(targets) or len(inputs) == 0:
        return (
            "needs as many targets as inputs and at least one, got"
            f" {len(inputs)} inputs and {len(targets)} targets"
        )
    if targets.device != inputs.device:
        return f"targets: are on {targets.device}, and the inputs on {inputs.device}"
    return None


def _type(chain: Chain, inputs: Tensor) -> str | None:
    """What is wrong with the dtype or the device of the inputs, or of the network."""
    for name, tensor in chain.tensors():
        if tensor.device != inputs.device:
            return f"inputs: are on {inputs.device}, and the network's {name} on {tensor.device}"
        if name.endswith("num_batches_tracked"):
            continue
        check_dtype(name, tensor)
        if tensor.dtype != inputs.dtype:
            return (
                f"inputs: are {inputs.dtype}, and the network's {name} is {tensor.dtype}; use"
                f" inputs.to({tensor.dtype})"
            )
    if torch.is_autocast_enabled(inputs.device.type):
        return "inputs: torch.autocast is on, and would be used by some layers only; leave it"
    if inputs.requires_grad:
        return "inputs: require gradients; use inputs.detach()"
    return None


def _shapes(chain: Chain, shape: Shape) -> tuple[list[Shape], str | None]:
    """The shape of one example, of `shape` at first, after each step; which step cannot read it."""
    after: list[Shape] = []
    now = shape
    for name, module in chain.steps:
        try:
            now = _after(module, now)
        except (ValueError, RuntimeError, TypeError) as problem:
            reason = str(problem).partition("\n")[0]
            return after, (
                f"examples of shape {shape} do not fit the network: {named(name, module)} {reason}"
            )
        after.append(now)
    return after, None


def _after(module: nn.Module, shape: Shape) -> Shape:
    """The shape of one example after `module`; ValueError if it cannot read `shape`."""
    if isinstance(module, nn.Linear):
        _need(shape == (module.in_features,), f"reads ({module.in_features},)", shape)
        return (module.out_features,)
    if isinstance(module, nn.Conv2d):
        fits = len(shape) == 3 and shape[0] == module.in_channels
        _need(fits, f"reads ({module.in_channels}, height, width)", shape)
        after = tuple(
            (
                shape[1 + i]
                + 2 * int(module.padding[i])
                - module.dilation[i] * (module.kernel_size[i] - 1)
                - 1
            )
            // module.stride[i]
            + 1
            for i in range(2)
        )
        _need(min(after) >= 1, f"reads images as large as its kernel {module.kernel_size}", shape)
        return (module.out_channels, *after)
    if isinstance(module, nn.BatchNorm2d):
        fits = len(shape) == 3 and shape[0] == module.num_features
        _need(fits, f"reads ({module.num_features}, height, width)", shape)
    elif isinstance(module, nn.BatchNorm1d):
        fits = len(shape) in (1, 2) and shape[0] == module.num_features
        _need(fits, f"reads ({module.num_features},)", shape)
    elif kinds.of(module).role == "pooling":
        _need(len(shape) >= 2, "reads images", shape)
        # Pooling treats channels alike, so one is enough.
        return (shape[0], *module(torch.zeros(1, 1, *shape[1:])).shape[2:])
    elif isinstance(module, nn.Flatten):
        return (math.prod(shape),)
    return shape


def _need(fits: bool, reads: str, shape: Shape) -> None:
    if not fits:
        raise ValueError(f"{reads}, not {shape}")
