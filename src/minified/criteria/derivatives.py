"""First and exact second derivatives of the loss for every unit of a network, in one pass.

OBD and its variations score with these derivatives. Those of a weighted layer are computed from its
inputs and the gradients at its output, which `minified.criteria.walk` brings there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minified.criteria import backward, walk
from minified.foundations import products
from minified.foundations.errors import UnsupportedNetworkError
from minified.networks import chains, examples


@dataclass(frozen=True)
class Derivatives:
    """Derivatives of the loss with respect to each unit of one layer, float64.

    `gradient`: dE/du, the mean over examples of g_n, the derivative of example n's loss.
    `curvature`: the mean of h_n, its second derivative. `deviation`: the population standard
    deviation of h_n over examples. `squared`: the mean of g_n^2, the empirical Fisher information.
    """

    gradient: Tensor
    curvature: Tensor
    deviation: Tensor
    squared: Tensor


Shared = Mapping[str, Derivatives]
"""What `derivatives` returns, by layer."""


@torch.inference_mode(False)
@torch.no_grad()
def derivatives(
    network: nn.Module, inputs: Tensor, targets: Tensor, level: str
) -> dict[str, Derivatives]:
    """First and exact second derivatives of the cross-entropy for every unit of one level.

    With logits f, p = softmax(f) and S = diag(sqrt p) - p sqrt(p)^T, the second derivative of
    example n's loss with respect to one unit u is sum_c (d(s_c . f)/du)^2, where s_c is a column of
    S. It is exact where f is piecewise linear in u (ReLU and leaky ReLU, max and average pooling,
    batch normalisation in eval mode); with smooth activations it is the diagonal of the generalised
    Gauss-Newton matrix.

    Args:
        network: a chain; evaluated in eval mode, not changed.
        inputs: (N, ...); targets: (N,) class indices.
        level: `parameter` (keys `0.weight`) or `neuron` (keys `0`: gates).

    Raises:
        ArgumentError: examples that the network cannot be run on, or another level.
        UnsupportedNetworkError: no chain; names the module.

    Memory: four float64 numbers per unit, a few more per weight of the largest convolution, and
    one chunk of examples: about `walk.CHUNK_BYTES`, or for large images at most
    `walk.FEW_EXAMPLES_BYTES`.
    """
    shapes = chains.unit_shapes(network, level)
    chain = chains.read(chains.frozen(network))
    examples.check(chain, inputs, targets)
    layers = chain.layers if level == "parameter" else chain.hidden
    if not layers:
        return {}
    names = dict(zip((layer.name for layer in layers), shapes, strict=True))
    sums = {
        layer.name: torch.zeros(
            4, *shapes[names[layer.name]], dtype=torch.float64, device=inputs.device
        )
        for layer in layers
    }
    places = {layer.position if level == "parameter" else layer.gate: layer for layer in layers}
    for chunk in walk.chunks(chain, inputs, level):
        seeds = partial(_seeds, targets=targets[chunk])
        for layer, read, written, gradients in walk.back(chain, inputs[chunk], places, seeds):
            if level == "neuron":
                _add_gates(sums[layer.name], written, gradients)
            else:
                _adder(layer)(sums[layer.name], layer.module, read, gradients)
    results = {}
    for layer in layers:
        # In place: for a large network these sums take most of the memory.
        gradient, curvature, squares, squared = sums.pop(layer.name).div_(len(inputs))
        deviation = walk.sqrt(squares.sub_(curvature**2).clamp_(min=0.0))
        results[names[layer.name]] = Derivatives(gradient, curvature, deviation, squared)
    return results


def _seeds(logits: Tensor, targets: Tensor) -> Tensor:
    """d l_n / df, and the columns s_c of S: (1 + classes, N, classes)."""
    p = logits.softmax(1)
    first = (p - F.one_hot(targets, p.shape[1])).unsqueeze(0)
    return torch.cat([first, walk.columns(logits)])


def _add_gates(sums: Tensor, output: Tensor, gradients: Tensor) -> None:
    """A gate scales its neuron's output by the same factor at every position."""
    output = output.double()

    def through_gate(gradients: Tensor) -> Tensor:
        product = gradients.double() * output
        return product.flatten(2).sum(2) if product.dim() > 2 else product

    gradient = through_gate(gradients[0])
    h = torch.zeros_like(gradient)
    for column in gradients[1:]:
        h += through_gate(column) ** 2
    sums[0] += gradient.sum(0)
    sums[1] += h.sum(0)
    sums[2] += (h**2).sum(0)
    sums[3] += (gradient**2).sum(0)


def _add_linear(sums: Tensor, module: nn.Module, read: Tensor, gradients: Tensor) -> None:
    """h_n[i, j] = (sum_c delta_c[i]^2) a[j]^2: sums over n are matrix products of squares.

    So is that of g_n[i, j]^2 = delta[i]^2 a[j]^2.
    """
    spread = torch.zeros(gradients.shape[1:], dtype=torch.float64, device=gradients.device)
    for delta in gradients[1:]:
        delta = delta.double()
        spread.addcmul_(delta, delta)
    a, first = read.double(), gradients[0].double()
    sums[0] += products.matmul(first.T, a)
    a = a**2
    sums[1] += products.matmul(spread.T, a)
    sums[2] += products.matmul((spread**2).T, a**2)
    sums[3] += products.matmul((first**2).T, a)


def _add_convolution(sums: Tensor, module: nn.Module, read: Tensor, gradients: Tensor) -> None:
    """A weight is shared by all positions: each example's sum over positions is squared.

    With many positions, that sum is computed in the network's own precision; squares and all sums
    over examples are computed in float64.
    """
    assert isinstance(module, nn.Conv2d)
    patches = F.unfold(  # (n, in * kernel, positions)
        read, module.kernel_size, module.dilation, backward.numeric(module.padding), module.stride
    )
    gradients = gradients.flatten(3).transpose(0, 1)  # (n, 1 + classes, out, positions)
    classes, out, positions = gradients.shape[1] - 1, *gradients.shape[2:]
    sums = sums.view(4, out, -1)
    # Per weight and position, _by_pairs takes (positions + 1) / 2 products, and _by_classes takes
    # one per class.
    pairs = positions * (positions + 1) // 2
    in_pairs = 8 * (pairs * (2 * out + 3 * patches.shape[1]) + sums[1].numel())
    by_pairs = positions < 2 * classes and in_pairs < walk.FEW_EXAMPLES_BYTES
    if by_pairs:
        needed = in_pairs
        # One product over examples and positions: storing each example's gradient would cost more.
        sums[0] += products.matmul(
            gradients[:, 0].double().transpose(0, 1).flatten(1),
            patches.transpose(1, 2).double().flatten(0, 1),
        )
    else:
        needed = 8 * sums[1].numel() * classes
        first = products.matmul(gradients[:, 0], patches.mT)
        sums[0] += first.sum(0, dtype=torch.float64)
    few = max(1, walk.CHUNK_BYTES // needed)
    for start in range(0, len(read), few):
        some = slice(start, start + few)
        curvatures = _by_pairs if by_pairs else _by_classes
        h = curvatures(gradients[some, 1:], patches[some])
        sums[1] += h[0] if len(h) == 1 else h.sum(0)
        _add_squares(sums[2], h)
        if by_pairs:
            g = products.matmul(gradients[some, 0].double(), patches[some].double().mT)
        else:
            g = first[some].double()
        _add_squares(sums[3], g)


def _add_squares(total: Tensor, each: Tensor) -> None:
    """Add the squares of every example's values, which are overwritten."""
    if len(each) == 1:  # a large layer: a sum over one example would be a costly copy
        total.addcmul_(each[0], each[0])
    else:
        total += each.square_().sum(0)


_ADDERS: dict[type[nn.Module], Callable[[Tensor, nn.Module, Tensor, Tensor], None]] = {
    nn.Linear: _add_linear,
    nn.Conv2d: _add_convolution,
}


def _adder(layer: chains.Layer) -> Callable[[Tensor, nn.Module, Tensor, Tensor], None]:
    """The function that adds the derivatives of `layer`; a kind without one is refused by name."""
    kind = type(layer.module)
    if kind not in _ADDERS:
        raise UnsupportedNetworkError(
            f"{layer.name} ({kind.__name__}): second derivatives of its weights are not implemented"
        )
    return _ADDERS[kind]


def _by_classes(gradients: Tensor, patches: Tensor) -> Tensor:
    """Each example's h, (n, out, in * kernel): the sum over classes of squared derivatives."""
    n, _, out, positions = gradients.shape
    h = torch.zeros(n, out, patches.shape[1], dtype=torch.float64, device=gradients.device)
    # All classes in one product, unless the layer has so many weights that memory is too short.
    at_once = max(1, walk.CHUNK_BYTES // (8 * h.numel()))
    for some in gradients.split(at_once, dim=1):
        together = some.reshape(n, -1, positions)
        per_class = products.matmul(together, patches.mT).view(n, -1, *h.shape[1:])
        for derivative in per_class.unbind(1):
            derivative = derivative.double()
            h.addcmul_(derivative, derivative)
    return h


def _by_pairs(gradients: Tensor, patches: Tensor) -> Tensor:
    """Each example's h, (n, out, in * kernel): for few positions, as in deep layers.

    sum_c (sum_p delta_c[i, p] a[j, p])^2 is one product over pairs (p, q) of positions, of
    sum_c delta_c[i, p] delta_c[i, q] and a[j, p] a[j, q]: no class's derivative is stored.
    """
    p, q = torch.triu_indices(patches.shape[2], patches.shape[2], device=patches.device)
    n, classes, out, _ = gradients.shape
    spread = torch.zeros(n, out, len(p), dtype=torch.float64, device=gradients.device)
    for c in range(classes):
        delta = gradients[:, c].double()
        spread.addcmul_(delta[:, :, p], delta[:, :, q])
    spread *= 2 - (p == q).double()  # a pair counts twice: (p, q) and (q, p)
    a = patches.double()
    return products.matmul(spread, (a[:, :, p] * a[:, :, q]).mT).clamp_(min=0.0)
