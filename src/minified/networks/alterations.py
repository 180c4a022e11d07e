"""Whether a module computes what its kind says: no hooks, recomputed weights or replaced methods.

The library computes with a layer's weights itself, and calls only some modules: a hook would run
in one computation and not in another, and a weight that a hook recomputes may be out of date. So
`minified.networks.chains` refuses such modules by name, with the call that undoes the alteration.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules import module as globally

from minified.foundations.errors import AlteredNetworkError

_HOOKS = {
    "_forward_pre_hooks": "forward pre-hook",
    "_forward_hooks": "forward hook",
    "_backward_pre_hooks": "backward pre-hook",
    "_backward_hooks": "backward hook",
}
_UNDO = "remove it: handle.remove(), on what registering it returned"

# How torch's utilities store a recomputed tensor: the endings of the names in its place, the
# utility, and what makes the weight a plain one again.
_RECOMPUTED = (
    (("_orig", "_mask"), "prune", "prune.remove"),
    (("_orig", "_u"), "spectral_norm", "remove_spectral_norm"),
    (("_g", "_v"), "weight_norm", "remove_weight_norm"),
)


def named(name: str, module: object) -> str:
    """How a message calls the module `name` of a network; the network itself has no name."""
    kind = type(module).__name__
    return f"{name} ({kind})" if name else kind


def check_module(
    name: str, module: nn.Module, tensors: frozenset[str] | None, container: bool = False
) -> None:
    """Raise AlteredNetworkError if `module` does not compute what its class does.

    Args:
        tensors: the names that its parameters and buffers may have; None: any.
        container: whether it may hold other modules.
    """
    own = module.__dict__
    if (
        own["_forward_hooks"]
        or own["_forward_pre_hooks"]
        or own["_backward_hooks"]
        or own["_backward_pre_hooks"]
        or not _methods(type(module)).isdisjoint(own)
        or own.get("_compiled_call_impl") is not None
        or (
            tensors is not None
            and (
                (own["_modules"] and not container)
                or not (tensors >= own["_parameters"].keys() and tensors >= own["_buffers"].keys())
                or not tensors.isdisjoint(own)
            )
        )
    ):
        problem = recomputed(module) or next(_problems(module, tensors or frozenset()))
        raise AlteredNetworkError(f"{named(name, module)}: {problem}")


def check_tensor(name: str, tensor: Tensor, parameter: bool) -> None:
    """Raise AlteredNetworkError if the parameter or buffer `name` is not an ordinary one."""
    if type(tensor) is not (nn.Parameter if parameter else Tensor):
        wanted = "an nn.Parameter" if parameter else "a tensor"
        problem = f"is a {type(tensor).__name__}; make it {wanted}"
    elif tensor.layout is not torch.strided:
        problem = f"is stored as {tensor.layout}; use .to_dense()"
    elif not tensor.is_leaf:
        problem = "is computed from other tensors; replace it by a Parameter of its values"
    elif tensor._backward_hooks or getattr(tensor, "_post_accumulate_grad_hooks", None):
        problem = f"has a hook on its gradient, which would not always run; {_UNDO}"
    elif 0 in tensor.stride() and tensor.numel() > 1 and _expanded(tensor):
        problem = "is expanded, so that several of its numbers are one; use .clone()"
    else:
        return
    raise AlteredNetworkError(f"{name}: {problem}")


def check_global_hooks() -> None:
    """Raise AlteredNetworkError if torch runs a hook on every module."""
    for hooks, kind in _HOOKS.items():
        if getattr(globally, f"_global{hooks}"):
            raise AlteredNetworkError(
                f"a {kind} is registered for all modules, which would not always run; {_UNDO}"
            )


def check_recomputed(network: nn.Module) -> None:
    """Raise AlteredNetworkError for the first recomputed weight of any module of `network`."""
    for name, module in network.named_modules():
        if problem := recomputed(module):
            raise AlteredNetworkError(f"{named(name, module)}: {problem}")


def recomputed(module: nn.Module) -> str | None:
    """Which tensor of `module` torch recomputes before it is used, and what ends that."""
    names = (*module._parameters, *module._buffers)
    for ends, utility, undo in _RECOMPUTED:
        for name in names:
            stem = name.removesuffix(ends[0])
            if stem != name and stem + ends[1] in names:
                return (
                    f"its {stem} is recomputed by torch.nn.utils.{utility}; make it a plain"
                    f" parameter: torch.nn.utils.{undo}(module, {stem!r})"
                )
    if parametrized := module._modules.get("parametrizations"):
        tensor = next(iter(parametrized._modules), "weight")
        return (
            f"its {tensor} is recomputed by torch.nn.utils.parametrize; make it a plain parameter:"
            f" torch.nn.utils.parametrize.remove_parametrizations(module, {tensor!r})"
        )
    return None


def _problems(module: nn.Module, tensors: frozenset[str]) -> Iterator[str]:
    own = module.__dict__
    for hooks, kind in _HOOKS.items():
        if own[hooks]:
            yield f"has a {kind}, which would not always run; {_UNDO}"
    for method in sorted(_methods(type(module)) & own.keys()):
        yield (
            f"its method {method} was replaced; undo it: del module.{method}, or write a class of"
            " your own"
        )
    if own.get("_compiled_call_impl") is not None:
        yield "is compiled in place; pass copy.deepcopy(network), which is not"
    for name in sorted(tensors & own.keys()):
        yield f"its {name} is a plain tensor; make it an nn.Parameter again"
    for store, kind in (
        ("_parameters", "parameter"),
        ("_buffers", "buffer"),
        ("_modules", "module"),
    ):
        for name in own[store]:
            if name not in tensors:
                yield f"has a {kind} {name!r} that layers of its kind do not have; remove it"


_METHODS: dict[type, frozenset[str]] = {}


def _methods(kind: type) -> frozenset[str]:
    """The names of the methods of class `kind`."""
    if kind not in _METHODS:
        _METHODS[kind] = frozenset(n for n in dir(kind) if callable(getattr(kind, n, None)))
    return _METHODS[kind]


def _expanded(tensor: Tensor) -> bool:
    return any(
        step == 0 and size > 1 for step, size in zip(tensor.stride(), tensor.shape, strict=True)
    )
