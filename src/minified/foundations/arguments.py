"""Checks of the arguments of public functions that need no torch: numbers, names, shapes.

Each returns the argument in the type that the function computes with (NumPy's numbers become
Python's), or raises an error of one line. `minified.networks.examples` checks tensors;
docs/library.md lists what is taken and what is refused.
"""

from collections.abc import Collection, Sequence
from numbers import Integral, Real
from typing import TypeGuard

from minified.foundations.errors import ArgumentError, MinifiedError

MOST_BITS = 8
"""The most bits of a quantized weight."""

_MOST_SEED = 2**63 - 1
_LONGEST = 60


def shown(value: object) -> str:
    """How a message shows an argument: numbers and texts as they are, tensors by their shape."""
    kind = type(value).__name__
    if value is None or isinstance(value, str | bool | Real):
        text = repr(value)
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is not None and dtype is not None:
        return f"{kind} {dtype} {tuple(shape)}"
    if isinstance(value, list | tuple) and len(value) <= 8:
        left, right = "[]" if isinstance(value, list) else "()"
        comma = "," if isinstance(value, tuple) and len(value) == 1 else ""
        return f"{left}{', '.join(map(shown, value))}{comma}{right}"
    return kind


def is_whole(value: object) -> TypeGuard[Integral]:
    """Whether `value` is a whole number, of Python or NumPy; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def whole(
    name: str,
    value: object,
    least: int,
    most: int | None = None,
    error: type[MinifiedError] = ArgumentError,
) -> int:
    """A whole number from `least` to `most`, as an int."""
    if is_whole(value):
        number = int(value)
        if least <= number and (most is None or number <= most):
            return number
    allowed = f"of at least {least}" if most is None else f"from {least} to {most}"
    raise error(f"{name}: must be a whole number {allowed}, not {shown(value)}")


def real(
    name: str,
    value: object,
    least: float = 0.0,
    below: float = float("inf"),
    *,
    least_too: bool = True,
    error: type[MinifiedError] = ArgumentError,
) -> float:
    """A number from `least` (or above it, unless `least_too`) to below `below`, as a float."""
    if isinstance(value, Real) and not isinstance(value, bool):
        number = float(value)
        if (least <= number if least_too else least < number) and number < below:
            return number
    allowed = f"{'in [' if least_too else 'in ('}{least:g}, {below:g})"
    raise error(f"{name}: must be a number {allowed}, not {shown(value)}")


def sparsity(value: object, error: type[MinifiedError]) -> float:
    """A fraction to remove, in [0, 1)."""
    return real("sparsity", value, 0.0, 1.0, error=error)


def bits(value: object) -> int:
    """The bits of a quantized weight."""
    return whole("bits", value, 1, MOST_BITS)


def seed(value: object, name: str = "seed") -> int:
    """A seed, as `minified.foundations.seeds` derives them."""
    return whole(name, value, 0, _MOST_SEED)


def one_of(name: str, value: object, allowed: Collection[str]) -> str:
    """One of the names `allowed`."""
    if isinstance(value, str) and value in allowed:
        return value
    raise ArgumentError(f"{name}: must be one of {', '.join(allowed)}, not {shown(value)}")


def text(name: str, value: object, error: type[MinifiedError] = ArgumentError) -> str:
    """A text."""
    if isinstance(value, str):
        return value
    raise error(f"{name}: must be a text, not {shown(value)}")


def sizes(name: str, value: object, least: int = 0) -> tuple[int, ...]:
    """A list, tuple or array of at least `least` whole numbers from 1, as a tuple of ints."""
    listed = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(listed, Sequence) and not isinstance(listed, str | bytes):
        numbers = [int(one) for one in listed if is_whole(one) and int(one) >= 1]
        if least <= len(numbers) == len(listed):
            return tuple(numbers)
    raise ArgumentError(
        f"{name}: must be whole numbers from 1, such as (1, 28, 28), not {shown(value)}"
    )
