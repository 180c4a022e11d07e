"""Kinds of layer: one table, with all that the library knows about a kind in one entry.

`of(module)` returns the entry. A module of a kind without an entry is refused by name everywhere.
An entry that gives only the role is correct everywhere, but slow: gradients pass through the layer
by automatic differentiation, and networks that contain it train one by one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn.utils import parametrize

from minified.foundations.errors import AlteredNetworkError, UnsupportedNetworkError
from minified.networks import alterations

Role = Literal["weighted", "normalisation", "activation", "pooling", "dropout", "flatten"]
Backward = Literal["any", "elementwise", "linear", "convolution", "max pooling", "relu", "flatten"]


Refused = Callable[[nn.Module], str | None]
Weighted = nn.Linear | nn.Conv2d
Normalisation = nn.BatchNorm1d | nn.BatchNorm2d


def _nothing(module: nn.Module) -> str | None:
    return None


@dataclass(frozen=True)
class Kind:
    """One kind of layer.

    Attributes:
        role: what it does in a network. Weights of `weighted` layers can be removed; a layer's own
            `normalisation` and `activation` come before its gate, `pooling` after it.
        keeps_zero: whether it maps 0 to 0, so that it may come between a gate and the next layer:
            a removed neuron's zero must still be zero when the next layer reads it.
        backward: how gradients at its output become gradients at its input (see
            `minified.criteria.backward`): `any` uses automatic differentiation and is correct for
            every kind; the others are faster.
        stacks: whether it computes every element of a tensor by the same formula, so that networks
            with it can train together. Sigmoid and ELU use another formula for the last few
            elements, which do not fill a vector instruction: in a stack, a replicate's bits would
            depend on the number of replicates.
        refused: returns what is not supported about a module of this kind, or None.
        tensors: the names of its parameters and buffers; a module with others is refused. None:
            any.
    """

    role: Role
    keeps_zero: bool = False
    backward: Backward = "any"
    stacks: bool = False
    refused: Refused = _nothing
    tensors: frozenset[str] | None = None


def _refused_convolution(module: nn.Module) -> str | None:
    assert isinstance(module, nn.Conv2d)
    numeric = module.padding_mode == "zeros" and not isinstance(module.padding, str)
    if module.groups == 1 and numeric:
        return None
    return "only ungrouped convolutions with numeric zero padding are supported"


def _refused_normalisation(module: nn.Module) -> str | None:
    if getattr(module, "running_mean", None) is not None:
        return None
    return "keeps no running statistics, so each output depends on the whole batch"


def _refused_pooling(module: nn.Module) -> str | None:
    return "must not return indices" if getattr(module, "return_indices", False) else None


def _refused_flatten(module: nn.Module) -> str | None:
    assert isinstance(module, nn.Flatten)
    whole = (module.start_dim, module.end_dim) == (1, -1)
    return None if whole else "must flatten all dimensions but the first"


def _activation(keeps_zero: bool = True, stacks: bool = False) -> Kind:
    return Kind("activation", keeps_zero, "elementwise", stacks, tensors=_NONE)


def _pooling(backward: Backward = "any", refused: Refused = _nothing) -> Kind:
    return Kind("pooling", True, backward, refused=refused, tensors=_NONE)


_NONE: frozenset[str] = frozenset()
_AFFINE = frozenset({"weight", "bias"})
_NORMALISATION = Kind(
    "normalisation",
    backward="elementwise",
    refused=_refused_normalisation,
    tensors=_AFFINE | {"running_mean", "running_var", "num_batches_tracked"},
)
_DROPOUT = Kind("dropout", True, "elementwise", tensors=_NONE)

KINDS: dict[type[nn.Module], Kind] = {
    nn.Linear: Kind("weighted", False, "linear", stacks=True, tensors=_AFFINE),
    nn.Conv2d: Kind(
        "weighted", False, "convolution", refused=_refused_convolution, tensors=_AFFINE
    ),
    nn.BatchNorm1d: _NORMALISATION,
    nn.BatchNorm2d: _NORMALISATION,
    nn.MaxPool2d: _pooling("max pooling", _refused_pooling),
    nn.AvgPool2d: _pooling(),
    nn.AdaptiveAvgPool2d: _pooling(),
    nn.AdaptiveMaxPool2d: _pooling(refused=_refused_pooling),
    nn.ReLU: Kind("activation", True, "relu", stacks=True, tensors=_NONE),
    nn.ReLU6: _activation(stacks=True),
    nn.LeakyReLU: _activation(stacks=True),
    nn.Hardtanh: _activation(stacks=True),
    nn.Identity: _activation(stacks=True),
    nn.ELU: _activation(),
    nn.SELU: _activation(),
    nn.CELU: _activation(),
    nn.GELU: _activation(),
    nn.SiLU: _activation(),
    nn.Mish: _activation(),
    nn.Tanh: _activation(),
    nn.Softsign: _activation(),
    nn.Hardswish: _activation(),
    nn.Sigmoid: _activation(keeps_zero=False),
    nn.Hardsigmoid: _activation(keeps_zero=False),
    nn.Softplus: _activation(keeps_zero=False),
    nn.Dropout: _DROPOUT,
    nn.Dropout1d: _DROPOUT,
    nn.Dropout2d: _DROPOUT,
    nn.Flatten: Kind("flatten", True, "flatten", True, _refused_flatten, _NONE),
}

# Classes around a network, and what to pass in their place.
_WRAPPED = {
    "DataParallel": "pass the network inside, .module",
    "DistributedDataParallel": "pass the network inside, .module",
    "OptimizedModule": "pass the network that was compiled, ._orig_mod",
    "ScriptModule": "pass the network that was scripted or traced",
    "GraphModule": "pass the network that was traced",
    "LazyModuleMixin": "it has no weights yet; run the network on one example first",
}


def of(module: nn.Module, name: str = "") -> Kind:
    """The entry of `module`, which is called `name` in its network.

    Raises:
        UnsupportedNetworkError: its kind is unknown, or its configuration is not supported.
        AlteredNetworkError: its kind would be known, but torch recomputes one of its weights.
    """
    # Not isinstance: a subclass may compute something else.
    kind = KINDS.get(type(module))
    if kind is None:
        raise _unknown(module, name)
    if problem := kind.refused(module):
        raise UnsupportedNetworkError(f"{alterations.named(name, module)}: {problem}")
    return kind


def _unknown(module: nn.Module, name: str) -> UnsupportedNetworkError:
    named, kind = alterations.named(name, module), type(module)
    if isinstance(module, nn.Module) and parametrize.is_parametrized(module):
        # The class that torch made is derived from the module's own one.
        error = AlteredNetworkError if kind.__bases__[0] in KINDS else UnsupportedNetworkError
        return error(f"{named}: {alterations.recomputed(module)}")
    fix = next((_WRAPPED[base.__name__] for base in kind.__mro__ if base.__name__ in _WRAPPED), "")
    if not fix:
        fix = (
            "a network must be a chain of Linear, Conv2d, batch normalisation, pooling, flatten,"
            " dropout and activations in nn.Sequential"
        )
    if kind.__name__ in {known.__name__ for known in KINDS}:
        fix = f"it is a {kind.__module__}.{kind.__name__}; {fix}"
    return UnsupportedNetworkError(f"{named}: not supported; {fix}")


def keeps_zero(module: nn.Module) -> bool:
    """Whether 0 stays 0 in `module` as it is set up: `Hardtanh(0.5, 1.0)` makes 0.5 of it."""
    kind = of(module)
    if kind.role != "activation":
        return kind.keeps_zero
    return kind.keeps_zero and not bool(module(torch.zeros(1)).any())
