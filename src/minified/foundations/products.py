"""Matrix products, by the library that is fast and portable on the device in use.

On a CPU, torch uses Intel's MKL. Its fast kernels give other bits on processors of other
manufacturers, and its reproducible kernels, which `minified.foundations.arithmetic` pins, run at
less than half the speed. NumPy's OpenBLAS, pinned to one kernel, is portable and fast. On other
devices torch computes the products. docs/performance.md has the measurements.
"""

from collections.abc import Hashable
from typing import Any

import numpy as np
import torch
from torch import Tensor

_OPENBLAS = (torch.float32, torch.float64)


def matmul(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """(..., n, k) @ (..., k, m) -> (..., n, m), of one dtype; call it under torch.no_grad().

    Each matrix of a stack is multiplied separately, so its bits do not depend on the others.
    """
    if a.device.type != "cpu" or a.dtype not in _OPENBLAS or a.dtype != b.dtype:
        return torch.matmul(a, b, out=out)  # raises an error for unequal dtypes
    if out is None:
        return torch.from_numpy(np.matmul(a.numpy(), b.numpy()))
    np.matmul(a.numpy(), b.numpy(), out=out.numpy())
    return out


class Reused:
    """Products of stacks, each written into the memory of the last one of its name and shape: half
    of the time went into new memory.
    """

    def __init__(self) -> None:
        self._spaces: dict[tuple[Hashable, int, int, int], Tensor] = {}

    def matmul(self, name: Hashable, a: Tensor, b: Tensor) -> Tensor:
        """`matmul` of a (R or 1, n, k) and b (R, k, m). The next of this name overwrites it."""
        key = (name, b.shape[0], a.shape[1], b.shape[2])
        if key not in self._spaces:
            self._spaces[key] = a.new_empty(key[1:])
        return matmul(a, b, out=self._spaces[key])


def unchecked() -> np.errstate:
    """Silence NumPy's overflow warnings, for a caller that checks for overflow itself."""
    return np.errstate(all="ignore")


def linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """inputs @ weight^T + bias, as in torch.nn.functional.linear, with a gradient.

    inputs: (batch, in). weight: (out, in). bias: (out,).
    """
    return _Linear.apply(inputs, weight, bias)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        output = matmul(inputs, weight.mT)
        if bias is not None:
            output += bias
        return output

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        of_inputs, of_weight, of_bias = ctx.needs_input_grad
        return (
            matmul(gradient, weight) if of_inputs else None,
            matmul(gradient.mT, inputs) if of_weight else None,
            gradient.sum(0) if of_bias else None,
        )
