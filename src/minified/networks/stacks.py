"""Multilayer perceptrons of one shape, run side by side: one batched matrix product per layer.

    for members in stacks.groups(networks): ...         # those that can run together
    side = SideBySide([networks[i] for i in members])
    logits = side.run(stacks.tensors(side.networks), inputs)    # (networks, N, classes)

On a CPU each network's bits are those that it has alone.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from minified.foundations import products
from minified.networks import chains, kinds, modules


def groups(networks: Sequence[nn.Module]) -> list[list[int]]:
    """Which networks run together: multilayer perceptrons of one shape, others alone.

    Convolutions gain nothing from stacking on a CPU (measured: half the speed).
    """
    found: dict[object, list[int]] = {}
    for i, network in enumerate(networks):
        chain = chains.read(network)
        # A matrix that is not laid out row by row is multiplied with other bits.
        alike = _stackable(chain) and all(p.is_contiguous() for p in network.parameters())
        found.setdefault(_shape(network, chain) if alike else i, []).append(i)
    return list(found.values())


def _shape(network: nn.Module, chain: chains.Chain) -> object:
    """All that networks of one group have in common: steps with their settings, and parameters."""
    steps = tuple(
        (name, type(module), *sorted((k, v) for k, v in vars(module).items() if _is_setting(k)))
        for name, module in chain.steps
    )
    return steps, tuple((tuple(p.shape), p.dtype, p.requires_grad) for p in network.parameters())


def _is_setting(attribute: str) -> bool:
    return not attribute.startswith("_") and attribute != "training"


def stackable(network: nn.Module) -> bool:
    """Whether `network` can run in a stack with others of its shape."""
    return _stackable(chains.read(network))


def _stackable(chain: chains.Chain) -> bool:
    return all(
        kinds.of(module).stacks
        # Other in-place activations would overwrite the values that their gradient needs.
        and (isinstance(module, nn.ReLU) or not getattr(module, "inplace", False))
        for _, module in chain.steps
    )


def tensors(networks: Sequence[nn.Module]) -> dict[str, Tensor]:
    """The current parameters of networks of one shape by name, (networks, ...) each."""
    every = [dict(network.named_parameters()) for network in networks]
    return {name: torch.stack([one[name].detach() for one in every]) for name in every[0]}


class SideBySide:
    """A group of networks, to be run forward on the same examples.

    The memory of each layer's outputs is used again by the next run with as many examples: half of
    the time went into new memory.
    """

    def __init__(self, networks: Sequence[nn.Module]):
        self.networks = list(networks)
        self.chain = chains.read(networks[0])
        self._products = products.Reused()

    @torch.no_grad()
    def run(self, parameters: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        """The logits of networks with these parameters for the same inputs (N, ...):
        (networks, N, classes). The next run may overwrite them.
        """
        output = inputs.unsqueeze(0)
        own = False  # whether it is in memory that nobody else reads
        for name, module in self.chain.steps:
            if isinstance(module, nn.Linear):
                weight = parameters[modules.inside(name, "weight")]
                output = self._products.matmul(name, output, weight.mT)
                if (bias := parameters.get(modules.inside(name, "bias"))) is not None:
                    output += bias.unsqueeze(1)
                own = True
            elif isinstance(module, nn.Flatten):
                output = output.flatten(2)
            elif isinstance(module, nn.ReLU):
                output = output.relu_() if own else output.relu()
            else:
                output, own = module(output), False
        return output
