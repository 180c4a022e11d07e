"""Optimal Brain Damage and three readings of its variation "OBD-SD", from exact derivatives.

LeCun, Denker, Solla 1989: removing weight w changes the loss E by about -g w + h w^2 / 2. A neuron
is treated alike through a gate m = 1 on its output (cf. Mozer & Smolensky 1988). `derivatives`
computes g, the mean over examples of h, and h's standard deviation in one pass over the data;
the four criteria are four ways to read them, and can share one pass.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minified import chains, products

# Examples per chunk are chosen so that the largest tensor stays below this; but of large images
# some are taken together, since a layer's weights are read once per chunk.
CHUNK_BYTES = 2**23
FEW_EXAMPLES = 8
FEW_EXAMPLES_BYTES = 2**26


@dataclass(frozen=True)
class Derivatives:
    """Of the loss with respect to each unit of one layer, float64.

    `gradient`: dE/du. `curvature`: mean over examples of h_n, the second derivative of example
    n's loss. `deviation`: the population standard deviation of h_n over examples.
    """

    gradient: Tensor
    curvature: Tensor
    deviation: Tensor


Shared = Mapping[str, Derivatives]
"""What `derivatives` returns, by layer."""


def obd(
    level: str,
    network: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    generator: torch.Generator,
    derivatives: Shared | None = None,
) -> dict[str, Tensor]:
    """h w^2 / 2 (LeCun, Denker, Solla 1989); for a gate h / 2."""
    units = _units(level, network, inputs, targets, derivatives)
    return {name: d.curvature * u**2 / 2 for name, u, d in units}


def obd_sd(
    level: str,
    network: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    generator: torch.Generator,
    derivatives: Shared | None = None,
) -> dict[str, Tensor]:
    """sd_n(h_n w^2 / 2): "SD" read as standard deviation over examples (our reading)."""
    units = _units(level, network, inputs, targets, derivatives)
    return {name: d.deviation * u**2 / 2 for name, u, d in units}


def obd_signed(
    level: str,
    network: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    generator: torch.Generator,
    derivatives: Shared | None = None,
) -> dict[str, Tensor]:
    """-g w + h w^2 / 2: "SD" read as signed damage, the whole second-order term (our reading)."""
    units = _units(level, network, inputs, targets, derivatives)
    return {name: -d.gradient * u + d.curvature * u**2 / 2 for name, u, d in units}


def obd_absolute(
    level: str,
    network: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    generator: torch.Generator,
    derivatives: Shared | None = None,
) -> dict[str, Tensor]:
    """abs(-g w + h w^2 / 2): the size of the signed damage (our reading)."""
    signed = obd_signed(level, network, inputs, targets, generator, derivatives)
    return {name: scores.abs() for name, scores in signed.items()}


def _units(
    level: str, network: nn.Module, inputs: Tensor, targets: Tensor, shared: Shared | None
) -> Iterator[tuple[str, Tensor, Derivatives]]:
    """Each layer's name, the value of its units (weights; 1 for gates) and their derivatives."""
    weights = chains.prunable(network)
    if shared is None:
        shared = derivatives(network, inputs, targets, level)
    for name, found in shared.items():
        value = weights[name].detach().double() if level == "parameter" else torch.tensor(1.0)
        yield name, value.to(found.curvature), found


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
        network: a chain; evaluated in eval mode, left as it was.
        inputs: (N, ...); targets: (N,) class indices.
        level: `parameter` (keys `0.weight`) or `neuron` (keys `0`: gates).

    Memory: three float64 numbers per unit, a few more per weight of the largest convolution, and
    chunks of examples of about `CHUNK_BYTES`, or few examples of at most `FEW_EXAMPLES_BYTES`.
    """
    chain = chains.read(chains.frozen(network))
    shapes = chains.unit_shapes(network, level)
    layers = chain.layers if level == "parameter" else chain.hidden
    if not layers:
        return {}
    names = dict(zip((layer.name for layer in layers), shapes, strict=True))
    sums = {
        layer.name: torch.zeros(
            3, *shapes[names[layer.name]], dtype=torch.float64, device=inputs.device
        )
        for layer in layers
    }
    for chunk in _chunks(chain, inputs, level):
        for layer, read, written, slopes in _backward(chain, inputs[chunk], targets[chunk], level):
            if level == "neuron":
                _add_gates(sums[layer.name], written, slopes)
            elif isinstance(layer.module, nn.Linear):
                _add_linear(sums[layer.name], read, slopes)
            else:
                _add_convolution(sums[layer.name], layer.module, read, slopes)
    found = {}
    for layer in layers:
        # In place: for a large network these are most of the memory.
        gradient, curvature, squares = sums.pop(layer.name).div_(len(inputs))
        deviation = _sqrt(squares.sub_(curvature**2).clamp_(min=0.0))
        found[names[layer.name]] = Derivatives(gradient, curvature, deviation)
    return found


def _backward(
    chain: chains.Chain, inputs: Tensor, targets: Tensor, level: str
) -> Iterator[tuple[chains.Layer, Tensor, Tensor, Tensor]]:
    """Per layer, from the last: what it reads, what it writes, and the slopes there.

    What a layer writes is its own output at parameter level, its gate's at neuron level. The slopes
    (1 + classes, N, ...) are the derivatives of l_n, and of s_c . f for each class c.
    """
    at_parameters = level == "parameter"
    layers = chain.layers if at_parameters else chain.hidden
    places = {layer.position if at_parameters else layer.gate: layer for layer in layers}
    values = [inputs]
    for i in range(len(chain.steps)):
        values.append(chain.run(values[-1], i, i + 1))
    slopes = _seeds(values[-1], targets)
    for i in range(len(chain.steps) - 1, -1, -1):
        if i in places:
            layer = places[i]
            yield layer, values[layer.position], values[i + 1], slopes
        if i == min(places):
            break
        slopes = _through(chain.steps[i][1], values[i], values[i + 1], slopes)


def _seeds(logits: Tensor, targets: Tensor) -> Tensor:
    """d l_n / df, and the columns s_c of S: (1 + classes, N, classes)."""
    p = logits.softmax(1)
    root = _sqrt(p)
    columns = -p * root.T.unsqueeze(2)  # (classes c, N, classes)
    columns.diagonal(dim1=0, dim2=2).add_(root)
    return torch.cat([(p - F.one_hot(targets, p.shape[1])).unsqueeze(0), columns])


def _through(module: nn.Module, read: Tensor, written: Tensor, slopes: Tensor) -> Tensor:
    """The slopes where `module` reads, from those where it writes."""
    # All slopes pass through what is linear in them as one large batch.
    together = slopes.flatten(0, 1)
    if isinstance(module, nn.Linear):
        found = products.matmul(together, module.weight)
    elif isinstance(module, nn.Conv2d):
        # Nothing is computed from this input: a convolution's slope needs its shape alone.
        like = read[:1].expand(len(together), *read.shape[1:])
        found = torch.ops.aten.convolution_backward(
            *(together, like, module.weight, None, module.stride, _numeric(module.padding)),
            *(module.dilation, False, (0, 0), 1, (True, False, False)),
        )[0]
    elif isinstance(module, nn.MaxPool2d) and _apart(module):
        # Each slope goes to the one place that its window's maximum came from.
        _, places = F.max_pool2d_with_indices(
            read,
            _pair(module.kernel_size),
            _pair(module.stride),
            _pair(module.padding),
            _pair(module.dilation),
            module.ceil_mode,
        )
        found = slopes.new_zeros(len(slopes), *read.shape[:2], read[0, 0].numel())
        found.scatter_(3, places.flatten(2).expand(*slopes.shape[:3], -1), slopes.flatten(3))
    elif isinstance(module, nn.Flatten):
        found = together
    elif isinstance(module, nn.ReLU):
        return torch.ops.aten.threshold_backward(slopes, written.expand_as(slopes), 0)
    elif isinstance(module, chains.POOLING):
        with torch.enable_grad():
            read = read.detach().requires_grad_()
            written = module(read)
        last = len(slopes) - 1
        return torch.stack(
            [
                torch.autograd.grad(written, read, slope, retain_graph=k < last)[0]
                for k, slope in enumerate(slopes)
            ]
        )
    else:  # number by number, as batch normalisation is in eval mode
        with torch.enable_grad():
            read = read.detach().requires_grad_()
            factor = torch.autograd.grad(module(read).sum(), read)[0]
        return slopes * factor
    return found.view(len(slopes), *read.shape)


def _add_gates(sums: Tensor, output: Tensor, slopes: Tensor) -> None:
    """A gate scales its neuron's output at every position alike."""
    output = output.double()

    def through_gate(slope: Tensor) -> Tensor:
        product = slope.double() * output
        return product.flatten(2).sum(2) if product.dim() > 2 else product

    gradient = through_gate(slopes[0])
    h = torch.zeros_like(gradient)
    for slope in slopes[1:]:
        h += through_gate(slope) ** 2
    sums[0] += gradient.sum(0)
    sums[1] += h.sum(0)
    sums[2] += (h**2).sum(0)


def _add_linear(sums: Tensor, read: Tensor, slopes: Tensor) -> None:
    """h_n[i, j] = (sum_c delta_c[i]^2) a[j]^2: sums over n are matrix products of squares."""
    spread = torch.zeros(slopes.shape[1:], dtype=torch.float64, device=slopes.device)
    for delta in slopes[1:]:
        delta = delta.double()
        spread.addcmul_(delta, delta)
    a = read.double()
    sums[0] += products.matmul(slopes[0].double().T, a)
    a = a**2
    sums[1] += products.matmul(spread.T, a)
    sums[2] += products.matmul((spread**2).T, a**2)


def _add_convolution(sums: Tensor, module: nn.Conv2d, read: Tensor, slopes: Tensor) -> None:
    """A shared weight: the square comes after the sum over positions, example by example.

    That sum is taken in the network's own precision where there are many positions; squares, and
    all sums over examples, in float64.
    """
    patches = F.unfold(  # (n, in * kernel, positions)
        read, module.kernel_size, module.dilation, _numeric(module.padding), module.stride
    )
    slopes = slopes.flatten(3).transpose(0, 1)  # (n, 1 + classes, out, positions)
    classes, out, positions = slopes.shape[1] - 1, *slopes.shape[2:]
    sums = sums.view(3, out, -1)
    # By pairs of positions there are (positions + 1) / 2 products for each one by classes.
    pairs = positions * (positions + 1) // 2
    in_pairs = 8 * (pairs * (2 * out + 3 * patches.shape[1]) + sums[1].numel())
    if positions < 2 * classes and in_pairs < FEW_EXAMPLES_BYTES:
        curvatures, needed = _by_pairs, in_pairs
        # One product over examples and positions: many weights are better not written out for each.
        sums[0] += products.matmul(
            slopes[:, 0].double().transpose(0, 1).flatten(1),
            patches.transpose(1, 2).double().flatten(0, 1),
        )
    else:
        curvatures, needed = _by_classes, 8 * sums[1].numel() * classes
        gradient = products.matmul(slopes[:, 0], patches.mT)
        sums[0] += gradient.sum(0, dtype=torch.float64)
    few = max(1, CHUNK_BYTES // needed)
    for some, theirs in zip(slopes[:, 1:].split(few), patches.split(few), strict=True):
        h = curvatures(some, theirs)
        if len(h) == 1:  # of a large layer, where a sum of one would be a costly copy
            sums[1] += h[0]
            sums[2].addcmul_(h[0], h[0])
        else:
            sums[1] += h.sum(0)
            sums[2] += h.square_().sum(0)


def _by_classes(slopes: Tensor, patches: Tensor) -> Tensor:
    """Each example's h, (n, out, in * kernel): every class's derivative, squared."""
    n, _, out, positions = slopes.shape
    h = torch.zeros(n, out, patches.shape[1], dtype=torch.float64, device=slopes.device)
    # All classes in one product, but for a layer of so many weights that memory forbids it.
    at_once = max(1, CHUNK_BYTES // (8 * h.numel()))
    for some in slopes.split(at_once, dim=1):
        together = some.reshape(n, -1, positions)
        found = products.matmul(together, patches.mT).view(n, -1, *h.shape[1:])
        for derivative in found.unbind(1):
            derivative = derivative.double()
            h.addcmul_(derivative, derivative)
    return h


def _by_pairs(slopes: Tensor, patches: Tensor) -> Tensor:
    """Each example's h, (n, out, in * kernel): for few positions, which deep layers have.

    sum_c (sum_p delta_c[i, p] a[j, p])^2 is one product over pairs (p, q) of positions, of
    sum_c delta_c[i, p] delta_c[i, q] and a[j, p] a[j, q]: no class's derivative is written out.
    """
    p, q = torch.triu_indices(patches.shape[2], patches.shape[2], device=patches.device)
    n, classes, out, _ = slopes.shape
    spread = torch.zeros(n, out, len(p), dtype=torch.float64, device=slopes.device)
    for c in range(classes):
        delta = slopes[:, c].double()
        spread.addcmul_(delta[:, :, p], delta[:, :, q])
    spread *= 2 - (p == q).double()  # each pair stands for both of its orders
    a = patches.double()
    return products.matmul(spread, (a[:, :, p] * a[:, :, q]).mT).clamp_(min=0.0)


def _apart(module: nn.MaxPool2d) -> bool:
    """Whether no two windows of a pooling share a place."""
    kernel, stride, dilation = map(_pair, (module.kernel_size, module.stride, module.dilation))
    return all(s >= k and d == 1 for k, s, d in zip(kernel, stride, dilation, strict=True))


def _pair(size: int | tuple[int, ...]) -> tuple[int, ...]:
    return (size, size) if isinstance(size, int) else size


def _numeric(padding: str | tuple[int, ...]) -> tuple[int, ...]:
    assert not isinstance(padding, str)  # chains refuses padding by name
    return padding


def _chunks(chain: chains.Chain, inputs: Tensor, level: str) -> Iterator[slice]:
    """Slices of the examples whose largest tensor stays below CHUNK_BYTES."""
    outputs = chain.layer_outputs(inputs[:1])
    classes = list(outputs.values())[-1].numel()
    largest = max(output.numel() for output in outputs.values()) * (1 + classes)
    for layer in chain.layers:
        if isinstance(layer.module, nn.Conv2d) and level == "parameter":
            positions = outputs[layer.name][0, 0].numel()
            fan_in = layer.module.weight[0].numel()
            largest = max(largest, positions * fan_in)
    size = CHUNK_BYTES // (8 * largest)
    if size < FEW_EXAMPLES:
        size = max(1, min(FEW_EXAMPLES, FEW_EXAMPLES_BYTES // (8 * largest)))
    for start in range(0, len(inputs), size):
        yield slice(start, start + size)


def _sqrt(x: Tensor) -> Tensor:
    """The square root, with the same bits everywhere: torch.sqrt asks MKL, whose last bit depends
    on the processor's maker.
    """
    return x.rsqrt().reciprocal()
