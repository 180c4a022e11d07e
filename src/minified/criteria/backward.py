"""The backward pass through one layer, for many gradients at once.

`through(module, read, written, gradients)` turns the gradients at a layer's output into those at
its input. `minified.networks.kinds` says which function here is right for which kind of layer.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minified.foundations import products
from minified.networks import kinds

Way = Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]


def through(module: nn.Module, read: Tensor, written: Tensor, gradients: Tensor) -> Tensor:
    """The gradients at the input of `module`, (K, N, ...), from those at its output.

    Args:
        module: of a known kind, in eval mode.
        read: (N, ...) its input. written: its output for this input.
        gradients: (K, N, ...) with respect to its output.

    Raises:
        UnsupportedNetworkError: the module's kind is not known; names it.
    """
    return _WAYS[kinds.of(module).backward](module, read, written, gradients)


def _any(module: nn.Module, read: Tensor, written: Tensor, gradients: Tensor) -> Tensor:
    """By automatic differentiation, one gradient after the other: correct for every layer."""
    with torch.enable_grad():
        read = read.detach().requires_grad_()
        written = module(read)
    last = len(gradients) - 1
    return torch.stack(
        [
            torch.autograd.grad(written, read, gradient, retain_graph=k < last)[0]
            for k, gradient in enumerate(gradients)
        ]
    )


def _elementwise(module: nn.Module, read: Tensor, written: Tensor, gradients: Tensor) -> Tensor:
    """Elementwise, as in activations: each gradient is multiplied by the same derivative."""
    with torch.enable_grad():
        read = read.detach().requires_grad_()
        factor = torch.autograd.grad(module(read).sum(), read)[0]
    return gradients * factor


def _linear(module: nn.Module, read: Tensor, written: Tensor, gradients: Tensor) -> Tensor:
    assert isinstance(module, nn.Linear)
    # The backward pass is linear in the gradients, so all of them pass through as one large batch.
    at_input = products.matmul(gradients.flatten(0, 1), module.weight)
    return at_input.view(len(gradients), *read.shape)


def _convolution(module: nn.Module, read: Tensor, written: Tensor, gradients: Tensor) -> Tensor:
    assert isinstance(module, nn.Conv2d)
    together = gradients.flatten(0, 1)
    # Only the shape of this input is used: its gradient does not depend on its values.
    like = read[:1].expand(len(together), *read.shape[1:])
    at_input = torch.ops.aten.convolution_backward(
        *(together, like, module.weight, None, module.stride, numeric(module.padding)),
        *(module.dilation, False, (0, 0), 1, (True, False, False)),
    )[0]
    return at_input.view(len(gradients), *read.shape)


def _max_pooling(module: nn.Module, read: Tensor, written: Tensor, gradients: Tensor) -> Tensor:
    assert isinstance(module, nn.MaxPool2d)
    if not _disjoint(module):
        return _any(module, read, written, gradients)
    # Each gradient goes to the one position that its window's maximum came from.
    _, maxima = F.max_pool2d_with_indices(
        read,
        _pair(module.kernel_size),
        _pair(module.stride),
        _pair(module.padding),
        _pair(module.dilation),
        module.ceil_mode,
    )
    at_input = gradients.new_zeros(len(gradients), *read.shape[:2], read[0, 0].numel())
    at_input.scatter_(3, maxima.flatten(2).expand(*gradients.shape[:3], -1), gradients.flatten(3))
    return at_input.view(len(gradients), *read.shape)


def _relu(module: nn.Module, read: Tensor, written: Tensor, gradients: Tensor) -> Tensor:
    return torch.ops.aten.threshold_backward(gradients, written.expand_as(gradients), 0)


def _flatten(module: nn.Module, read: Tensor, written: Tensor, gradients: Tensor) -> Tensor:
    return gradients.view(len(gradients), *read.shape)


_WAYS: dict[kinds.Backward, Way] = {
    "any": _any,
    "elementwise": _elementwise,
    "linear": _linear,
    "convolution": _convolution,
    "max pooling": _max_pooling,
    "relu": _relu,
    "flatten": _flatten,
}


def _disjoint(module: nn.MaxPool2d) -> bool:
    """Whether no two windows of a pooling layer overlap."""
    kernel, stride, dilation = map(_pair, (module.kernel_size, module.stride, module.dilation))
    return all(s >= k and d == 1 for k, s, d in zip(kernel, stride, dilation, strict=True))


def _pair(size: int | tuple[int, ...]) -> tuple[int, ...]:
    return (size, size) if isinstance(size, int) else size


def numeric(padding: str | tuple[int, ...]) -> tuple[int, ...]:
    """A convolution's padding as numbers; `kinds` refuses padding given by name ("same")."""
    assert not isinstance(padding, str)
    return padding
