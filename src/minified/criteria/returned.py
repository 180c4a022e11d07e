"""What a criterion may return: one dense tensor of finite real numbers per layer.

`taken(...)` returns the scores, or raises a ScoreError for the first of the `CHECKS` that finds a
problem.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from minified.foundations.errors import ScoreError, shown

Shapes = Mapping[str, tuple[int, ...]]

# Integers beyond it would be rounded, and then tie with others.
_EXACT = 2.0**53


def taken(
    method: str, found: Any, shapes: Shapes, gone: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """What a criterion returned, in the order of `shapes`, as float32 or float64.

    float32 and float64 stay as they are. Floats of fewer bits, integers and booleans become the
    same numbers in float64, so their ties are ties; `True` counts as 1. The scores of units that
    are `gone` (bool, by layer) become 0, whatever they are.

    Raises:
        ScoreError: names the layer.
    """
    for check in CHECKS.values():
        if check is _finite and gone is not None:
            found = {key: _only(found[key], gone[key]) for key in shapes}
        if problem := check(found, shapes):
            raise ScoreError(f"{method}: {problem}")
    return {key: _real(found[key]) for key in shapes}


def _tensors(found: Any, shapes: Shapes) -> str | None:
    if not isinstance(found, dict):
        return f"must return {{layer: tensor of scores}}, not {_kind(found)}"
    if set(found) != set(shapes):
        keys = sorted(key if isinstance(key, str) else shown(key) for key in found)
        return f"scored {shown(keys)}, but the units are {shown(sorted(shapes))}"
    for key, scores in found.items():
        if type(scores) not in (Tensor, nn.Parameter):
            return f"{key} must be a torch.Tensor, not {_kind(scores)}"
        if scores.is_nested or scores.layout != torch.strided:
            kind = "nested" if scores.is_nested else scores.layout
            return f"{key} must be a dense tensor, not {kind}: return its .to_dense()"
        if scores.is_meta:
            return f"{key} is on the device meta, where tensors have no values"
    return None


def _shaped(found: Any, shapes: Shapes) -> str | None:
    for key, shape in shapes.items():
        if tuple(found[key].shape) != shape:
            return f"{key} has shape {tuple(found[key].shape)}, not {shape}"
    return None


def _ranked(found: Any, shapes: Shapes) -> str | None:
    for key in shapes:
        if found[key].is_complex():
            return f"{key} has complex scores, which have no order: return their .abs() or .real"
        if found[key].is_quantized:
            return f"{key} has quantized scores: return their .dequantize()"
        whole = not (found[key].is_floating_point() or found[key].dtype == torch.bool)
        if whole and bool((found[key].double().abs() >= _EXACT).any()):
            return f"{key} has integers of 2^53 or more, which float64 cannot tell apart"
    return None


def _finite(found: Any, shapes: Shapes) -> str | None:
    for key in shapes:
        if not bool(torch.isfinite(_real(found[key])).all()):
            return f"{key} has scores that are not finite numbers"
    return None


CHECKS: dict[str, Callable[[Any, Shapes], str | None]] = {
    "tensors": _tensors,
    "shapes": _shaped,
    "real numbers": _ranked,
    "finite": _finite,
}
"""Each says what is wrong, or None; each needs those before it."""


def _only(scores: Tensor, gone: Tensor) -> Tensor:
    return _real(scores).masked_fill(gone.to(scores.device), 0.0)


def _real(scores: Tensor) -> Tensor:
    kept = scores.dtype in (torch.float32, torch.float64)
    # A view such as the .imag of a conjugate keeps the other sign in its memory.
    return (scores.detach() if kept else scores.detach().double()).resolve_neg()


def _kind(value: Any) -> str:
    return f"{type(value).__module__.partition('.')[0]}.{type(value).__qualname__}".removeprefix(
        "builtins."
    )
