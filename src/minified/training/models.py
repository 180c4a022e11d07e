"""Networks in training: a group of them as one flat tensor that the optimiser updates.

Multilayer perceptrons of one shape are stacked (`Stack`): one batched matrix product per layer does
the work of all replicates. Any other network trains alone (`Single`).
`minified.networks.stacks.groups` decides which networks train together.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minified import quantization
from minified.foundations import products
from minified.networks import chains, kinds, modules, stacks
from minified.training.masks import Masks

# Row lengths are multiples of this, so that every vector instruction is filled.
_VECTOR = 64


class Model:
    """A group of networks as one flat tensor, (networks, numbers), that the optimiser updates.

    `tensors` are views into it by parameter name, (networks, ...) each. `gradient` has the same
    layout, and the backward pass writes into it. With one flat tensor, a step of the optimiser is
    one operation. Rows are padded to whole vectors, because a fused update computes a tensor's last
    elements, which do not fill a vector, by another formula: a replicate's bits would depend on the
    number of replicates.
    """

    def __init__(self, networks: Sequence[nn.Module], masks: Sequence[Masks], bits: int | None):
        self.networks = list(networks)
        self.bits = bits
        self.steps = chains.read(networks[0]).steps
        every = [dict(network.named_parameters()) for network in self.networks]
        # Frozen parameters (requires_grad=False) are not trained.
        names = [name for name, parameter in every[0].items() if parameter.requires_grad]
        sizes = [every[0][name].numel() for name in names]
        padded = _whole_vectors(sum(sizes) + 1)  # so at least the last number is unused
        like = next(iter(every[0].values())).detach()
        self.flat = like.new_zeros(len(every), padded)
        self.gradient = torch.zeros_like(self.flat)
        self.tensors = stacks.tensors(self.networks)
        for name, view in self._views(self.flat, names, sizes).items():
            self.tensors[name] = view.copy_(self.tensors[name]).requires_grad_()
        self.gradients = self._views(self.gradient, names, sizes)
        self.survivors = self._survivors(masks, names, sizes) if any(masks) else None

    def _views(self, flat: Tensor, names: list[str], sizes: list[int]) -> dict[str, Tensor]:
        parts = flat[:, : sum(sizes)].split(sizes, dim=1)
        return {
            name: part.view(self.tensors[name].shape)
            for name, part in zip(names, parts, strict=True)
        }

    def _survivors(self, masks: Sequence[Masks], names: list[str], sizes: list[int]) -> Tensor:
        """Indices into `flat` of the parameters that stay, network by network.

        Each network has equally many; shorter lists are filled up with the index of an unused
        number.
        """
        kept = torch.zeros_like(self.flat, dtype=torch.bool)
        for name, view in self._views(kept, names, sizes).items():
            for i, mask in enumerate(masks):
                view[i] = mask[name].to(view) if name in mask else True
        length = _whole_vectors(int(kept.sum(1).max()))
        indices = [row.nonzero().flatten() for row in kept]
        unused = self.flat.shape[1] - 1
        rows = [F.pad(row, (0, length - len(row)), value=unused) for row in indices]
        starts = torch.arange(len(rows), device=kept.device) * self.flat.shape[1]
        return (torch.stack(rows) + starts.unsqueeze(1)).flatten()

    def differentiate(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Fill `gradient` with the gradient of each network's mean loss over its batch.

        Args:
            inputs: (networks, batch, ...). targets: (networks, batch).

        Returns:
            Each example's loss, (networks, batch).
        """
        raise NotImplementedError

    @torch.no_grad()
    def write_back(self) -> None:
        """Copy the trained weights into the networks."""
        for i, network in enumerate(self.networks):
            for name, parameter in network.named_parameters():
                parameter.copy_(self.tensors[name][i])


class Stack(Model):
    """Multilayer perceptrons of one shape: one operation per layer for all of them.

    The backward pass is written by hand: for networks this small, autograd's overhead is large.
    """

    def __init__(self, networks: Sequence[nn.Module], masks: Sequence[Masks], bits: int | None):
        super().__init__(networks, masks, bits)
        self._products = products.Reused()
        self._grids: dict[str, Tensor] = {}  # weights rounded to `bits`

    @torch.no_grad()
    def differentiate(self, inputs: Tensor, targets: Tensor) -> Tensor:
        outputs = [inputs]
        weights = {}
        for i, (name, module) in enumerate(self.steps):
            output = outputs[-1]
            if isinstance(module, nn.Linear):
                weights[i] = self._rounded(modules.inside(name, "weight"))
                output = self._products.matmul(("output", i), output, weights[i].mT)
                if (bias := self.tensors.get(modules.inside(name, "bias"))) is not None:
                    output += bias.unsqueeze(1)
            elif isinstance(module, nn.Flatten):
                output = output.flatten(2)
            elif isinstance(module, nn.ReLU):
                output.relu_()  # in place: its gradient needs only its output
            else:
                output = module(output)
            outputs.append(output)

        logits = outputs[-1]
        losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        # d loss / d logits is softmax(logits), minus one at the target.
        gradient = logits.softmax(2)
        classes = torch.arange(gradient.shape[2], device=gradient.device)
        gradient -= (targets.unsqueeze(2) == classes).to(gradient.dtype)
        gradient /= targets.shape[1]
        first = min(weights)
        for i in range(len(self.steps) - 1, first - 1, -1):
            name, module = self.steps[i]
            if not isinstance(module, nn.Linear):
                gradient = _before(module, outputs[i], outputs[i + 1], gradient)
                continue
            if (of_weight := self.gradients.get(modules.inside(name, "weight"))) is not None:
                products.matmul(gradient.mT, outputs[i], out=of_weight)
            if (of_bias := self.gradients.get(modules.inside(name, "bias"))) is not None:
                torch.sum(gradient, 1, out=of_bias)
            if i > first:
                gradient = self._products.matmul(("gradient", i), gradient, weights[i])
        return losses.view_as(targets)

    def _rounded(self, name: str) -> Tensor:
        weight = self.tensors[name]
        if self.bits is None:
            return weight
        if name not in self._grids:
            self._grids[name] = torch.empty_like(weight, requires_grad=False)
        # The straight-through estimate: its gradient is used as the weight's own.
        return quantization.nearest(weight, self.bits, 2, out=self._grids[name])


def _before(module: nn.Module, read: Tensor, written: Tensor, gradient: Tensor) -> Tensor:
    """The gradient at the input of `module`, from that at its output."""
    if isinstance(module, nn.Flatten):
        return gradient.view_as(read)
    if isinstance(module, nn.ReLU):
        return torch.ops.aten.threshold_backward.grad_input(
            gradient, written, 0, grad_input=gradient
        )
    with torch.enable_grad():
        read = read.detach().requires_grad_()
        return torch.autograd.grad(module(read), read, gradient)[0]


class Single(Model):
    """One network of any kind."""

    def __init__(self, networks: Sequence[nn.Module], masks: Sequence[Masks], bits: int | None):
        super().__init__(networks, masks, bits)
        for name, gradient in self.gradients.items():
            self.tensors[name].grad = gradient

    def differentiate(self, inputs: Tensor, targets: Tensor) -> Tensor:
        self.gradient.zero_()
        activation = inputs[0]
        for name, module in self.steps:
            own = {
                short: self.tensors[modules.inside(name, short)][0]
                for short, _ in module.named_parameters()
            }
            if kinds.of(module).role == "weighted" and self.bits is not None:
                own["weight"] = quantization.passed_through(own["weight"], self.bits)
            if isinstance(module, nn.Linear):
                activation = products.linear(activation, own["weight"], own.get("bias"))
            else:
                activation = torch.func.functional_call(module, own, (activation,))
        losses = F.cross_entropy(activation, targets[0], reduction="none")
        if self.gradients:
            losses.mean().backward()
        return losses.detach().unsqueeze(0)


def _whole_vectors(numbers: int) -> int:
    return -(-numbers // _VECTOR) * _VECTOR
