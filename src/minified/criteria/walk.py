"""The walk back through a network that second derivatives share: many gradients at once.

`back(chain, inputs, places, seeds)` runs the network once, and takes the gradients that `seeds`
makes of the logits to each of `places`. `minified.criteria.backward` knows the single layers.
"""

from collections.abc import Callable, Iterator, Mapping

from torch import Tensor, nn

from minified.criteria import backward
from minified.networks import chains

# Examples per chunk are chosen so that the largest tensor stays below this. Large images still come
# a few at a time, within a higher limit, since every layer's weights are read once per chunk.
CHUNK_BYTES = 2**23
FEW_EXAMPLES = 8
FEW_EXAMPLES_BYTES = 2**26


def back(
    chain: chains.Chain,
    inputs: Tensor,
    places: Mapping[int, chains.Layer],
    seeds: Callable[[Tensor], Tensor],
) -> Iterator[tuple[chains.Layer, Tensor, Tensor, Tensor]]:
    """Per place, the last one first: its layer, the layer's input, the output at the place, and the
    gradients at this output.

    Args:
        chain: in eval mode, without in-place operations (see `chains.frozen`).
        inputs: (N, ...).
        places: by the position of a step of the chain, the layer that it belongs to.
        seeds: makes of the logits (N, classes) the gradients (K, N, classes) to start from; at a
            place they are (K, N, ...).
    """
    values = [inputs]
    for i in range(len(chain.steps)):
        values.append(chain.run(values[-1], i, i + 1))
    gradients = seeds(values[-1])
    for i in range(len(chain.steps) - 1, -1, -1):
        if i in places:
            layer = places[i]
            yield layer, values[layer.position], values[i + 1], gradients
        if i == min(places):
            break
        gradients = backward.through(chain.steps[i][1], values[i], values[i + 1], gradients)


def columns(logits: Tensor) -> Tensor:
    """The columns s_c of S, (classes c, N, classes): S S^T is the second derivative of the loss.

    S = diag(sqrt p) - p sqrt(p)^T with p = softmax(logits), one S per example.
    """
    p = logits.softmax(1)
    root = sqrt(p)
    made = -p * root.T.unsqueeze(2)
    made.diagonal(dim1=0, dim2=2).add_(root)
    return made


def chunks(chain: chains.Chain, inputs: Tensor, level: str) -> Iterator[slice]:
    """Slices of the examples for which the largest tensor stays below the limits above.

    At level `parameter` the patches that convolutions read count as well.
    """
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


def sqrt(x: Tensor) -> Tensor:
    """The square root, with the same bits everywhere: torch.sqrt uses MKL, whose last bit depends
    on the processor's manufacturer.
    """
    return x.rsqrt().reciprocal()
