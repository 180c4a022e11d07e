"""Matrix products, by the library that is fast and portable on the device at hand.

On a CPU torch leaves them to Intel's MKL, whose fast kernels give other bits on other makers'
processors, and whose reproducible ones (which `minified.arithmetic` pins) run at less than half the
speed. NumPy's OpenBLAS, pinned to one kernel, is portable and fast. Elsewhere torch multiplies.
What it is worth: docs/performance.md.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

_OPENBLAS = (torch.float32, torch.float64)


def matmul(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """(..., n, k) @ (..., k, m) -> (..., n, m), of one dtype; call it under torch.no_grad().

    Each matrix of a stack is multiplied on its own, so its bits do not depend on the others'.
    """
    if a.device.type != "cpu" or a.dtype not in _OPENBLAS or a.dtype != b.dtype:
        return torch.matmul(a, b, out=out)  # which refuses unequal dtypes
    if out is None:
        return torch.from_numpy(np.matmul(a.numpy(), b.numpy()))
    np.matmul(a.numpy(), b.numpy(), out=out.numpy())
    return out


def unchecked() -> np.errstate:
    """Let products overflow without NumPy's warning, for a caller that looks for it itself."""
    return np.errstate(all="ignore")


def linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """inputs @ weight^T + bias as torch.nn.functional.linear has it, with a gradient.

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
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        of_inputs, of_weight, of_bias = ctx.needs_input_grad
        return (
            matmul(slope, weight) if of_inputs else None,
            matmul(slope.mT, inputs) if of_weight else None,
            slope.sum(0) if of_bias else None,
        )
