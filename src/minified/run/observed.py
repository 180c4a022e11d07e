"""What a criterion leaves behind: networks and random generators, compared with what they were."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_GENERATORS: dict[str, Callable[[], Any]] = {
    "torch": lambda: torch.get_rng_state().tolist(),
    "NumPy": lambda: [part.tolist() if isinstance(part, np.ndarray) else part for part in _numpy()],
    "Python": random.getstate,
}


def generators() -> dict[str, Any]:
    """The states of the global random generators, by library."""
    return {name: read() for name, read in _GENERATORS.items()}


def state(network: nn.Module) -> dict[str, dict[str, Any]]:
    """All that a criterion should leave as it was, by kind: copies, to compare with `changes`."""
    modules, parameters = dict(network.named_modules()), dict(network.named_parameters())
    hooks: dict[str, Any] = {name: _hooks(module) for name, module in modules.items()}
    hooks |= {f"{name} ": _hooks(parameter) for name, parameter in parameters.items()}
    return {
        "weights or buffers": {name: _copy(value) for name, value in _tensors(network).items()},
        "gradients": {name: _copy(value.grad) for name, value in parameters.items()},
        "requires_grad": {name: value.requires_grad for name, value in parameters.items()},
        "training mode": {name: module.training for name, module in modules.items()},
        "hooks": hooks,
        "layers": {name: f"{type(m).__name__} {m.extra_repr()}" for name, m in modules.items()},
    }


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The kinds of which something is not as it was, each with the first name it concerns."""
    found = []
    for kind, old in before.items():
        new = after[kind]
        names = [name for name in {**old, **new} if not _equal(old.get(name), new.get(name))]
        if names:
            found.append(f"{kind} of {names[0].strip() or 'the whole network'}")
    return found


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def _copy(value: Tensor | None) -> Tensor | None:
    return None if value is None else value.detach().clone()


def _equal(old: Any, new: Any) -> bool:
    if isinstance(old, Tensor) and isinstance(new, Tensor):
        return old.dtype == new.dtype and torch.equal(old, new)
    return not (isinstance(old, Tensor) or isinstance(new, Tensor)) and old == new


def _hooks(owner: nn.Module | Tensor) -> int:
    """How many hooks a module or a parameter has, of whatever kind."""
    kept = [getattr(owner, name, None) for name in dir(owner) if name.endswith("_hooks")]
    return sum(len(hooks) for hooks in kept if isinstance(hooks, dict))


def _numpy() -> tuple[Any, ...]:
    return tuple(np.random.get_state())
