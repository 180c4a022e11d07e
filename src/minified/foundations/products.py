"""Matrix products, by the library that is fast and portable on the device in use.

On a CPU, torch uses Intel's MKL. Its fast kernels give other bits on processors of other
manufacturers, and its reproducible kernels, which `minified.foundations.arithmetic` pins, run at
less than half the speed. NumPy's OpenBLAS, pinned to one kernel, is portable and fast. On other
devices torch computes the products. docs/performance.md has the measurements.
"""

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
