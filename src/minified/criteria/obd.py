"""Optimal Brain Damage and three readings of its variation "OBD-SD", from exact derivatives.

LeCun, Denker, Solla 1989: removing weight w changes the loss E by about -g w + h w^2 / 2. A neuron
is treated alike through a gate m = 1 on its output (cf. Mozer & Smolensky 1988). `derivatives`
computes g, the mean over examples of h, and h's standard deviation in one pass over the data;
the four criteria are four ways to read them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minified import chains

# Examples per chunk are chosen so that the largest per-example tensor stays below this.
CHUNK_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Derivatives:
    """Of the loss with respect to each unit of one layer, float64.

    `gradient`: dE/du. `curvature`: mean over examples of h_n, the second derivative of example
    n's loss. `deviation`: the population standard deviation of h_n over examples.
    """

    gradient: Tensor
    curvature: Tensor
    deviation: Tensor


def obd(
    level: str, network: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
) -> dict[str, Tensor]:
    """h w^2 / 2 (LeCun, Denker, Solla 1989); for a gate h / 2."""
    return {name: d.curvature * u**2 / 2 for name, u, d in _units(level, network, inputs, targets)}


def obd_sd(
    level: str, network: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
) -> dict[str, Tensor]:
    """sd_n(h_n w^2 / 2): "SD" read as standard deviation over examples (our reading)."""
    return {name: d.deviation * u**2 / 2 for name, u, d in _units(level, network, inputs, targets)}


def obd_signed(
    level: str, network: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
) -> dict[str, Tensor]:
    """-g w + h w^2 / 2: "SD" read as signed damage, the whole second-order term (our reading)."""
    return {
        name: -d.gradient * u + d.curvature * u**2 / 2
        for name, u, d in _units(level, network, inputs, targets)
    }


def obd_absolute(
    level: str, network: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
) -> dict[str, Tensor]:
    """abs(-g w + h w^2 / 2): the size of the signed damage (our reading)."""
    signed = obd_signed(level, network, inputs, targets, generator)
    return {name: scores.abs() for name, scores in signed.items()}


def _units(
    level: str, network: nn.Module, inputs: Tensor, targets: Tensor
) -> Iterator[tuple[str, Tensor, Derivatives]]:
    """Each layer's name, the value of its units (weights; 1 for gates) and their derivatives."""
    weights = chains.prunable(network)
    for name, found in derivatives(network, inputs, targets, level).items():
        value = weights[name].detach().double() if level == "parameter" else torch.tensor(1.0)
        yield name, value.to(found.curvature), found


def derivatives(
    network: nn.Module, inputs: Tensor, targets: Tensor, level: str
) -> dict[str, Derivatives]:
    """First and exact second derivatives of the cross-entropy for every unit of one level.

    With logits f, p = softmax(f) and S = diag(sqrt p) - p sqrt(p)^T, the second derivative of
    example n's loss with respect to one unit u is sum_c (d(s_c . f)/du)^2, one backward pass per
    column of S. It is exact where f is piecewise linear in u (ReLU and leaky ReLU, max and average
    pooling, batch normalisation in eval mode); with smooth activations it is the diagonal of the
    generalised Gauss-Newton matrix.

    Args:
        network: a chain; evaluated in eval mode, left as it was.
        inputs: (N, ...); targets: (N,) class indices.
        level: `parameter` (keys `0.weight`) or `neuron` (keys `0`: gates).

    Memory: two float64 numbers per unit, and chunks of examples of at most `CHUNK_BYTES`.
    """
    twin = chains.frozen(network)
    chain = chains.read(twin)
    shapes = chains.unit_shapes(twin, level)
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
    for chunk in _chunks(twin, inputs, level):
        with torch.enable_grad():
            read, written, logits = _forward(chain, inputs[chunk], level)
            for position, (slopes, curvatures) in _backward(written, logits, targets[chunk]):
                layer = layers[position]
                if level == "neuron":
                    _add_gates(sums[layer.name], written[position].detach(), slopes, curvatures)
                elif isinstance(layer.module, nn.Linear):
                    _add_linear(sums[layer.name], read[position], slopes, curvatures)
                else:
                    _add_convolution(
                        sums[layer.name], layer.module, read[position], slopes, curvatures
                    )
    examples = len(inputs)
    found = {}
    for layer in layers:
        gradient, curvature, squares = sums[layer.name] / examples
        deviation = _sqrt((squares - curvature**2).clamp(min=0.0))
        found[names[layer.name]] = Derivatives(gradient, curvature, deviation)
    return found


def _forward(
    chain: chains.Chain, inputs: Tensor, level: str
) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Run the chain; return what each layer reads, what it writes (at its gate, for neurons)."""
    positions = {layer.position for layer in chain.layers}
    watched = positions if level == "parameter" else {layer.gate for layer in chain.hidden}
    read, written = [], []
    activation = inputs
    for i, (_, module) in enumerate(chain.steps):
        if i in positions:
            read.append(activation.detach())
        activation = module(activation)
        if i in positions and not activation.requires_grad:
            activation.requires_grad_()  # the first layer: the graph starts here
        if i in watched:
            written.append(activation)
    return read, written, activation


def _backward(
    written: list[Tensor], logits: Tensor, targets: Tensor
) -> Iterator[tuple[int, tuple[Tensor, list[Tensor]]]]:
    """Per layer: dl_n/dz, and the gradients of s_c . f for each class c, at what it wrote."""
    p = logits.detach().softmax(1)
    slopes = torch.autograd.grad(
        logits, written, p - F.one_hot(targets, p.shape[1]), retain_graph=True
    )
    root = _sqrt(p)
    per_class = []
    for c in range(p.shape[1]):
        column = -p * root[:, c : c + 1]
        column[:, c] += root[:, c]
        last = c == p.shape[1] - 1
        per_class.append(torch.autograd.grad(logits, written, column, retain_graph=not last))
    for position in range(len(written)):
        yield position, (slopes[position], [grads[position] for grads in per_class])


def _add_gates(sums: Tensor, output: Tensor, slopes: Tensor, curvatures: list[Tensor]) -> None:
    """A gate scales its neuron's output at every position alike."""

    def through_gate(gradient: Tensor) -> Tensor:
        return (gradient.double() * output.double()).flatten(2).sum(2)

    def as_matrix(tensor: Tensor) -> Tensor:
        return tensor if tensor.dim() > 2 else tensor.unsqueeze(2)

    output, slopes = as_matrix(output), as_matrix(slopes)
    h = torch.zeros(output.shape[:2], dtype=torch.float64, device=output.device)
    for gradient in curvatures:
        h += through_gate(as_matrix(gradient)) ** 2
    sums[0] += through_gate(slopes).sum(0)
    sums[1] += h.sum(0)
    sums[2] += (h**2).sum(0)


def _add_linear(sums: Tensor, read: Tensor, slopes: Tensor, curvatures: list[Tensor]) -> None:
    """h_n[i, j] = (sum_c delta_c[i]^2) a[j]^2: sums over n are matrix products of squares."""
    a = read.double()
    spread = torch.zeros(slopes.shape, dtype=torch.float64, device=slopes.device)
    for delta in curvatures:
        spread += delta.double() ** 2
    a2 = a**2
    sums[0] += slopes.double().T @ a
    sums[1] += spread.T @ a2
    sums[2] += (spread**2).T @ a2**2


def _add_convolution(
    sums: Tensor, module: nn.Conv2d, read: Tensor, slopes: Tensor, curvatures: list[Tensor]
) -> None:
    """A shared weight: the square comes after the sum over positions, example by example."""
    patches = F.unfold(
        read.double(), module.kernel_size, module.dilation, _numeric(module.padding), module.stride
    ).transpose(1, 2)  # (n, positions, in * kernel)

    def by_weight(delta: Tensor) -> Tensor:
        return torch.bmm(delta.double().flatten(2), patches)  # (n, out, in * kernel)

    h = torch.zeros(
        len(read), slopes.shape[1], patches.shape[2], dtype=torch.float64, device=read.device
    )
    for delta in curvatures:
        h += by_weight(delta) ** 2
    shape = sums.shape[1:]
    sums[0] += by_weight(slopes).sum(0).view(shape)
    sums[1] += h.sum(0).view(shape)
    sums[2] += (h**2).sum(0).view(shape)


def _numeric(padding: str | tuple[int, ...]) -> tuple[int, ...]:
    assert not isinstance(padding, str)  # chains refuses padding by name
    return padding


def _chunks(network: nn.Module, inputs: Tensor, level: str) -> Iterator[slice]:
    """Slices of the examples whose largest float64 tensor stays below CHUNK_BYTES."""
    outputs = chains.layer_outputs(network, inputs[:1])
    classes = list(outputs.values())[-1].numel()
    largest = max(output.numel() for output in outputs.values()) * classes
    for layer in chains.read(network).layers:
        if isinstance(layer.module, nn.Conv2d) and level == "parameter":
            positions = outputs[layer.name][0, 0].numel()
            fan_in = layer.module.weight[0].numel()
            largest = max(largest, layer.module.weight.numel(), positions * fan_in)
    size = max(1, min(len(inputs), CHUNK_BYTES // (8 * largest)))
    for start in range(0, len(inputs), size):
        yield slice(start, start + size)


def _sqrt(x: Tensor) -> Tensor:
    """The square root, with the same bits everywhere: torch.sqrt asks MKL, whose last bit depends
    on the processor's maker.
    """
    return x.rsqrt().reciprocal()
