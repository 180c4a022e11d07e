"""Reading a network as a chain: its weighted layers, what follows each, what reads its neurons.

Pruning, saliency and merging all need these facts. A network is an `nn.Sequential` (it may be
nested) of Linear, Conv2d, batch normalisation, pooling, flatten, dropout and activations; any other
module is refused by name.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from minified.foundations import arguments, products
from minified.foundations.errors import ArgumentError, UnsupportedNetworkError
from minified.networks import alterations, kinds, modules
from minified.networks.kinds import Weighted

BATCH_BYTES = 2**28


@dataclass(frozen=True)
class Layer:
    """A weighted layer, and the steps after it that belong to its neurons.

    `position` and `gate` are indices into `Chain.steps`. The gate of a hidden layer multiplies the
    output of step `gate`: after the layer's own normalisation and activation, before pooling.
    `norms` are the positions of its batch normalisations.
    """

    name: str
    position: int
    gate: int
    norms: tuple[int, ...]
    module: Weighted

    @property
    def neurons(self) -> int:
        return _outputs(self.module)


@dataclass(frozen=True)
class Chain:
    """The steps of a network in the order they run, and its weighted layers."""

    steps: tuple[tuple[str, nn.Module], ...]
    layers: tuple[Layer, ...]

    @property
    def hidden(self) -> tuple[Layer, ...]:
        return self.layers[:-1]

    def run(self, inputs: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """Apply the steps from `start` up to, but not including, `stop` to `inputs` (N, ...)."""
        activation = inputs
        for _, module in self.steps[start:stop]:
            if isinstance(module, nn.Linear):
                activation = products.linear(activation, module.weight, module.bias)
            else:
                activation = module(activation)
        return activation

    @torch.no_grad()
    def layer_outputs(self, inputs: Tensor) -> dict[str, Tensor]:
        """The output of every weighted layer for `inputs` (N, ...), in network order."""
        outputs = {}
        activation = inputs
        start = 0
        for layer in self.layers:
            activation = self.run(activation, start, layer.position + 1)
            outputs[layer.name] = activation.clone()
            start = layer.position + 1
        return outputs

    def batch(self, inputs: Tensor, most: int) -> int:
        """How many of `inputs` to run at once: `most`, or fewer if a layer's outputs would take
        more than `BATCH_BYTES`, as feature maps of large images do.
        """
        return max(1, min(most, BATCH_BYTES // max(self._bytes(inputs))))

    def together(self, inputs: Tensor, batch: int) -> int:
        """How many networks of this shape to run at once on so many of `inputs`: as many as have
        room for all layers' outputs in `BATCH_BYTES`, at least one.
        """
        return max(1, BATCH_BYTES // (batch * sum(self._bytes(inputs))))

    def _bytes(self, inputs: Tensor) -> list[int]:
        """The bytes of each layer's output for one of `inputs`."""
        # A copy, since an in-place activation would overwrite the example.
        return [output.nbytes for output in self.layer_outputs(inputs[:1].clone()).values()]

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Every parameter and buffer, by its name in the network."""
        for name, module in self.steps:
            for short, tensor, _ in modules.tensors(module):
                yield modules.inside(name, short), tensor

    def reader(self, layer: Layer) -> Layer:
        """The next weighted layer: the one that reads `layer`'s neurons."""
        return self.layers[self.layers.index(layer) + 1]


def columns_per_neuron(layer: Layer, reader: Layer) -> int:
    """How many input columns of `reader` one neuron of `layer` fills (several after a flatten)."""
    inputs = _inputs(reader.module)
    if inputs % layer.neurons:
        raise UnsupportedNetworkError(
            f"{reader.name}: {inputs} inputs cannot be divided equally among"
            f" the {layer.neurons} neurons of {layer.name}"
        )
    return inputs // layer.neurons


def read(network: nn.Module) -> Chain:
    """Read `network` as a chain.

    Raises:
        UnsupportedNetworkError: a module that cannot be part of a chain, by name.
        AlteredNetworkError: it would be a chain, but a module has hooks or recomputed weights.
    """
    steps, found = modules.steps(network)
    positions = [i for i, kind in enumerate(found) if kind.role == "weighted"]
    if not positions:
        raise UnsupportedNetworkError("the network has no Linear or Conv2d layer")
    layers = []
    for position, following in zip(positions, [*positions[1:], len(steps)], strict=True):
        name, module = steps[position]
        if not isinstance(module, Weighted):
            raise UnsupportedNetworkError(
                f"{name} ({type(module).__name__}): its weights cannot be pruned yet; only those of"
                " Linear and Conv2d can"
            )
        last = following == len(steps)
        gate = position
        norms = []
        adjacent = True
        for i in range(position + 1, following):
            step_name, step = steps[i]
            kind = found[i]
            own = adjacent and kind.role in ("normalisation", "activation")
            # Dropout does nothing in eval mode, so what follows it is still the layer's own.
            adjacent = own or (adjacent and kind.role == "dropout")
            if last and not isinstance(step, (nn.Identity, nn.Flatten)):
                raise UnsupportedNetworkError(
                    f"{step_name} ({type(step).__name__}): follows the last layer, {name};"
                    " a network must end in its logits"
                )
            if own:
                gate = i
                if kind.role == "normalisation":
                    norms.append(i)
            elif not kinds.keeps_zero(step):
                raise UnsupportedNetworkError(
                    f"{step_name} ({type(step).__name__}): does not directly follow {name}, and"
                    " would turn a removed neuron's zero into another value"
                )
        layers.append(Layer(name, position, gate, tuple(norms), module))
    chain = Chain(steps, tuple(layers))
    modules.check_tensors(steps, found)
    for layer in chain.hidden:
        reader = chain.reader(layer)
        columns = columns_per_neuron(layer, reader)
        between = [module for _, module in steps[layer.position + 1 : reader.position]]
        if isinstance(layer.module, nn.Linear):
            fits = columns == 1 and isinstance(reader.module, nn.Linear)
        elif isinstance(reader.module, nn.Conv2d):
            fits = columns == 1
        else:
            fits = any(isinstance(module, nn.Flatten) for module in between)
        if not fits:
            raise UnsupportedNetworkError(
                f"{reader.name} ({type(reader.module).__name__}): must read one value per neuron of"
                f" {layer.name}, or a flattened image per channel"
            )
    return chain


def frozen(network: nn.Module) -> nn.Module:
    """A copy in eval mode, with parameters that need no gradients and no in-place operations.

    Code that computes with activations (saliency, merging) works on such a copy: in-place
    operations would overwrite activations that are still needed.
    """
    twin = duplicate(network).eval().requires_grad_(False)
    for module in twin.modules():
        if hasattr(module, "inplace"):
            module.inplace = False  # type: ignore[assignment]
    return twin


def duplicate(network: nn.Module) -> nn.Module:
    """An independent copy.

    Raises:
        UnsupportedNetworkError: the network cannot be copied; names the module where it is known.
    """
    modules.check(network)
    try:
        return copy.deepcopy(network)
    except Exception as error:
        # As where weights are recomputed; a chain's hooks may hold what cannot be copied.
        alterations.check_recomputed(network)
        read(network)
        reason = str(error).partition("\n")[0]
        raise UnsupportedNetworkError(
            f"{type(network).__name__}: cannot be copied: {reason}"
        ) from error


def at_rest(network: nn.Module) -> bool:
    """Whether `network` can be evaluated without a copy: eval mode, no in-place operations."""
    return not any(
        module.training or getattr(module, "inplace", False) for module in network.modules()
    )


def prunable(network: nn.Module) -> dict[str, Tensor]:
    """The weights that parameter pruning may remove, `{"0.weight": tensor}`, in network order."""
    return {f"{layer.name}.weight": layer.module.weight for layer in read(network).layers}


def unit_shapes(network: nn.Module, level: str) -> dict[str, tuple[int, ...]]:
    """The removable units of one level: the shape of each layer's scores, in network order."""
    if level == "parameter":
        return {name: tuple(weight.shape) for name, weight in prunable(network).items()}
    if level != "neuron":
        raise ArgumentError(f"level: must be parameter or neuron, not {arguments.shown(level)}")
    return {layer.name: (layer.neurons,) for layer in read(network).hidden}


def _outputs(module: Weighted) -> int:
    return module.out_features if isinstance(module, nn.Linear) else module.out_channels


def _inputs(module: Weighted) -> int:
    return module.in_features if isinstance(module, nn.Linear) else module.in_channels
