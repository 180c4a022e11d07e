"""A network's modules in the order they run: each of a known kind, unaltered, with its own tensors.

`steps(network)` lists them, and `check_tensors` checks their parameters and buffers, or they raise
an error that names the module. `minified.networks.chains` reads the layers of a chain from them.
"""

from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from minified.foundations import arguments
from minified.foundations.errors import AlteredNetworkError, UnsupportedNetworkError
from minified.networks import alterations, kinds
from minified.networks.kinds import Kind

Steps = tuple[tuple[str, nn.Module], ...]
"""Modules by name, in the order they run."""


def check(network: object) -> None:
    """Raise UnsupportedNetworkError if `network` is no module at all."""
    if not isinstance(network, nn.Module):
        raise UnsupportedNetworkError(
            f"network: must be an nn.Module, not {arguments.shown(network)}"
        )


def steps(network: nn.Module) -> tuple[Steps, list[Kind]]:
    """The modules as they run, all unaltered, and the kind of each."""
    check(network)
    containers: list[tuple[str, nn.Module]] = []
    found: list[tuple[str, nn.Module]] = []
    _walk(network, "", containers, found)
    entries = []
    recomputed = None
    # A kind that is not known is reported first: a network with one is no chain, altered or not.
    for name, module in found:
        try:
            entries.append(kinds.of(module, name))
        except AlteredNetworkError as error:
            recomputed = recomputed or error
    if recomputed:
        raise recomputed
    alterations.check_global_hooks()
    for name, container in containers:
        alterations.check_module(name, container, frozenset(), container=True)
    for (name, module), kind in zip(found, entries, strict=True):
        alterations.check_module(name, module, kind.tensors)
    return tuple(found), entries


def tensors(module: nn.Module) -> Iterator[tuple[str, Tensor, bool]]:
    """The parameters and buffers that `module` itself has, and which of them are parameters."""
    for store in (module._parameters, module._buffers):
        for name, tensor in store.items():
            if tensor is not None:
                yield name, tensor, store is module._parameters


def inside(name: str, short: str) -> str:
    """The name in its network of what module `name` calls `short`."""
    return f"{name}.{short}" if name else short


def _walk(
    module: nn.Module,
    name: str,
    containers: list[tuple[str, nn.Module]],
    found: list[tuple[str, nn.Module]],
) -> None:
    if not _is_sequential(type(module)):
        found.append((name, module))
        return
    containers.append((name, module))
    # named_children() would skip a module's second appearance, and hide shared weights.
    for own, child in module._modules.items():
        if child is not None:
            _walk(child, inside(name, own), containers, found)


def _is_sequential(kind: type[nn.Module]) -> bool:
    """Whether modules of class `kind` only run their modules in order."""
    return kind is nn.Sequential or (
        issubclass(kind, nn.Sequential)
        and all(
            getattr(kind, method) is getattr(nn.Sequential, method)
            for method in ("forward", "__call__", "__iter__")
        )
    )


def check_tensors(steps: Steps, entries: Sequence[Kind]) -> None:
    """Raise an error, by name, if tensors are shared, altered, or not of their layer's sizes."""
    seen: dict[int, str] = {}
    for (name, module), kind in zip(steps, entries, strict=True):
        if kind.tensors is not None and not kind.tensors:
            continue
        sizes = _sizes(module)
        for short, tensor, is_parameter in tensors(module):
            full = inside(name, short)
            alterations.check_tensor(full, tensor, is_parameter)
            if short in sizes and tuple(tensor.shape) != sizes[short]:
                raise UnsupportedNetworkError(
                    f"{full}: has shape {tuple(tensor.shape)}, but {module} needs {sizes[short]}"
                )
            # Two views of one storage share their numbers, too; on some devices all are at 0.
            place = tensor.data_ptr() or id(tensor)
            if place in seen:
                raise UnsupportedNetworkError(
                    f"{name}: shares its weights with {seen[place]}; give each layer its own"
                )
            seen[place] = name
        if kind.role == "weighted" and module._parameters.get("weight") is None:
            raise AlteredNetworkError(
                f"{alterations.named(name, module)}: its weight is no Parameter; make it one"
            )


def _sizes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """The shapes that a layer's tensors must have, by their short names."""
    if isinstance(module, nn.Linear):
        return {
            "weight": (module.out_features, module.in_features),
            "bias": (module.out_features,),
        }
    if isinstance(module, nn.Conv2d):
        return {
            "weight": (module.out_channels, module.in_channels, *module.kernel_size),
            "bias": (module.out_channels,),
        }
    if isinstance(module, kinds.Normalisation):
        return dict.fromkeys(
            ("weight", "bias", "running_mean", "running_var"), (module.num_features,)
        )
    return {}
