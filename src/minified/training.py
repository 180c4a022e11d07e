"""Training: one loop for every regime, trained together where that pays.

`fit(networks, split, recipe, masks, seeds)` trains a list of networks in place. Multilayer
perceptrons of equal shape are stacked: one batched matrix product per layer does the work of all
replicates. With the arithmetic that the command line fixes, each replicate gets the same bits
beside any number of companions.
"""

import copy
import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# The functional forms do the same arithmetic as torch.optim.Adam and SGD, but do not import
# torch's compiler, which costs a job 2 s.
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from minified import chains, quantization
from minified.data import Split
from minified.errors import DivergenceError, MaskError
from minified.study import Recipe

Masks = Mapping[str, Tensor]

# Numbers per row are a multiple of this, so that no vector instruction leaves any over.
_VECTOR = 64

# Activations that are computed alike at every place of a tensor. Others (sigmoid, ELU) treat the
# last few elements, which vector instructions leave over, by another formula: in a stack that would
# make a replicate's bits depend on how many there are.
_STACKABLE = (
    nn.Linear,
    nn.Flatten,
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.Hardtanh,
    nn.Identity,
)


def fit(
    networks: Sequence[nn.Module],
    split: Split,
    recipe: Recipe,
    masks: Sequence[Masks] | None = None,
    seeds: Sequence[int] | None = None,
    *,
    bits: int | None = None,
) -> Tensor:
    """Train `networks` in place on `split`, each with its own data order.

    Args:
        networks: the replicates of one job.
        split: training examples, shared by all.
        recipe: optimiser, schedule, epochs; the last epoch counts.
        masks: per network `{"0.weight": bool, True = stays}`; removed weights are set to zero and
            stay there. None: nothing is removed.
        seeds: per network, of its data order (and dropout); default 0, 1, ...
        bits: train quantization-aware; the networks keep full-precision weights, to be rounded by
            `quantization.quantize` afterwards.

    Returns:
        Mean training loss per epoch and network, (epochs, networks), float64.

    Raises:
        DivergenceError: a loss that is not finite; gives the network's position and the epoch.
        MaskError: a mask that fits no weight, or a removed weight that is not zero at the end.
    """
    seeds = list(range(len(networks))) if seeds is None else list(seeds)
    masks = [{} for _ in networks] if masks is None else list(masks)
    if not len(networks) == len(seeds) == len(masks):
        raise ValueError(
            f"{len(networks)} networks, {len(masks)} masks, {len(seeds)} seeds: must be one each"
        )
    if len(split) == 0:
        raise ValueError("training needs at least one example")
    for network, mask in zip(networks, masks, strict=True):
        check_mask_shapes(network, mask)
    for network, mask in zip(networks, masks, strict=True):
        apply_masks(network, mask)

    losses = torch.zeros(recipe.epochs, len(networks), dtype=torch.float64)
    for group in _groups(networks):
        losses[:, group] = _fit_group(
            [networks[i] for i in group],
            split,
            recipe,
            [masks[i] for i in group],
            [seeds[i] for i in group],
            bits,
            group,
        )
    for network, mask in zip(networks, masks, strict=True):
        check_masks(network, mask)
    return losses


@torch.no_grad()
def apply_masks(network: nn.Module, masks: Masks) -> None:
    """Set the removed weights of `network` to zero, in place."""
    check_mask_shapes(network, masks)
    weights = chains.prunable(network)
    for name, mask in masks.items():
        weights[name].masked_fill_(~mask.to(weights[name].device), 0.0)


def check_mask_shapes(network: nn.Module, masks: Masks) -> None:
    """Raise MaskError, naming the mask, if one is not a bool tensor of its weight's shape."""
    weights = chains.prunable(network)
    for name, mask in masks.items():
        if name not in weights or weights[name].shape != mask.shape:
            raise MaskError(f"mask {name} {tuple(mask.shape)} fits no weight of the network")
        if mask.dtype != torch.bool:
            raise MaskError(f"mask {name}: must be bool (True = stays), not {mask.dtype}")


def check_masks(network: nn.Module, masks: Masks) -> None:
    """Raise MaskError, naming the layer, if a removed weight of `network` is not zero."""
    weights = chains.prunable(network)
    for name, mask in masks.items():
        wrong = int(weights[name].detach()[~mask.to(weights[name].device)].count_nonzero())
        if wrong:
            raise MaskError(f"{name}: {wrong} removed weights are not zero after training")


def learning_rate(recipe: Recipe, epoch: float) -> float:
    """The learning rate at `epoch` (fractional: 1.5 is half-way through the second).

    Linear warm-up, then constant or half a cosine down to 0. A step takes the rate at its middle.
    """
    if epoch < recipe.warmup_epochs:
        return recipe.learning_rate * epoch / recipe.warmup_epochs
    if recipe.schedule == "constant":
        return recipe.learning_rate
    done = (epoch - recipe.warmup_epochs) / (recipe.epochs - recipe.warmup_epochs)
    return recipe.learning_rate * (1 + math.cos(math.pi * done)) / 2


def _groups(networks: Sequence[nn.Module]) -> list[list[int]]:
    """Which networks train together: multilayer perceptrons of one shape, others alone.

    Convolutions gain nothing from stacking on a CPU (measured: half the speed).
    """
    groups: dict[object, list[int]] = {}
    for i, network in enumerate(networks):
        key: object = i
        if _stackable(network):
            parameters = tuple(tuple(p.shape) for p in network.parameters())
            key = (parameters, tuple(str(module) for _, module in chains.read(network).steps))
        groups.setdefault(key, []).append(i)
    return list(groups.values())


def _stackable(network: nn.Module) -> bool:
    return all(type(module) in _STACKABLE for _, module in chains.read(network).steps)


class _Model:
    """A group of networks as one flat tensor, (networks, numbers), that the optimiser updates.

    `tensors` are views into it, (networks, ...) each, by parameter name. One flat tensor makes a
    step of the optimiser one operation; its rows are padded to whole vectors, because a fused
    update treats a tensor's leftover elements by another formula, and a replicate's bits would
    depend on how many there are.
    """

    copies = 1

    def __init__(self, networks: Sequence[nn.Module], masks: Sequence[Masks], bits: int | None):
        self.networks = list(networks)
        self.bits = bits
        every = [dict(network.named_parameters()) for network in self.networks] * self.copies
        # Those that a reader froze (requires_grad=False) stay as they are.
        names = [name for name, parameter in every[0].items() if parameter.requires_grad]
        sizes = [every[0][name].numel() for name in names]
        padded = -(-sum(sizes) // _VECTOR) * _VECTOR
        like = next(iter(every[0].values())).detach()
        self.flat = like.new_zeros(len(every), padded)
        self.gradient = torch.zeros_like(self.flat)
        self.kept = torch.ones_like(self.flat)
        views = self._views(self.flat, names, sizes, every[0])
        gradients = self._views(self.gradient, names, sizes, every[0])
        kept = self._views(self.kept, names, sizes, every[0])
        for name, view in views.items():
            view.copy_(torch.stack([one[name].detach() for one in every]))
            for i, mask in enumerate([*masks] * self.copies):
                if name in mask:
                    kept[name][i] = mask[name].to(view)
        self.parameters = [view.requires_grad_() for view in views.values()]
        self.gradients = list(gradients.values())
        self.tensors = {
            name: views[name]
            if name in views
            else torch.stack([one[name].detach() for one in every])
            for name in every[0]
        }

    @staticmethod
    def _views(
        flat: Tensor, names: list[str], sizes: list[int], like: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        parts = flat[:, : sum(sizes)].split(sizes, dim=1)
        return {
            name: part.view(len(flat), *like[name].shape)
            for name, part in zip(names, parts, strict=True)
        }

    def __len__(self) -> int:
        return len(self.flat)

    def logits(self, inputs: Tensor) -> Tensor:
        """(networks, batch, ...) -> (networks, batch, classes)."""
        raise NotImplementedError

    def weight(self, name: str) -> Tensor:
        """A weight as the forward pass uses it."""
        if self.bits is None:
            return self.tensors[name]
        return quantization.straight_through(self.tensors[name], self.bits, channel_dims=2)

    def backward(self, loss: Tensor) -> None:
        """Fill `gradient`; removed weights have none, so they stay at zero."""
        found = torch.autograd.grad(loss, self.parameters)
        for gradient, one in zip(self.gradients, found, strict=True):
            gradient.copy_(one)
        self.gradient.mul_(self.kept)

    @torch.no_grad()
    def write_back(self) -> None:
        for i, network in enumerate(self.networks):
            for name, parameter in network.named_parameters():
                parameter.copy_(self.tensors[name][i])


class _Stack(_Model):
    """Multilayer perceptrons of one shape: one batched matrix product per layer.

    A stack of one runs as a stack of two equal networks: a batch of one matrix product takes
    another kernel, with other bits, and a replicate must not depend on how many there are.
    """

    def __init__(self, networks: Sequence[nn.Module], masks: Sequence[Masks], bits: int | None):
        self.copies = 2 if len(networks) == 1 else 1
        super().__init__(networks, masks, bits)
        self.steps = chains.read(networks[0]).steps

    def logits(self, inputs: Tensor) -> Tensor:
        activation = inputs
        for name, module in self.steps:
            if isinstance(module, nn.Linear):
                product = self.weight(f"{name}.weight").transpose(1, 2)
                bias = self.tensors.get(f"{name}.bias")
                activation = (
                    torch.bmm(activation, product)
                    if bias is None
                    else torch.baddbmm(bias.unsqueeze(1), activation, product)
                )
            elif isinstance(module, nn.Flatten):
                activation = activation.flatten(2)
            else:
                activation = module(activation)
        return activation


class _Single(_Model):
    """One network of any kind."""

    def __init__(self, networks: Sequence[nn.Module], masks: Sequence[Masks], bits: int | None):
        super().__init__(networks, masks, bits)
        self.prunable = set(chains.prunable(networks[0]))

    def logits(self, inputs: Tensor) -> Tensor:
        parameters = {
            name: (self.weight(name) if name in self.prunable else tensor)[0]
            for name, tensor in self.tensors.items()
        }
        logits = torch.func.functional_call(self.networks[0], parameters, (inputs[0],))
        return logits.unsqueeze(0)


def _fit_group(
    networks: list[nn.Module],
    split: Split,
    recipe: Recipe,
    masks: list[Masks],
    seeds: list[int],
    bits: int | None,
    members: list[int],
) -> Tensor:
    """Train one group; `members` are the networks' positions, for the error message."""
    kind = _Stack if _stackable(networks[0]) else _Single
    model = kind(networks, masks, bits)
    for network in networks:
        network.train()
    optimiser = _Optimiser(model.flat, recipe)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    examples = len(split)
    starts = range(0, examples, recipe.batch_size)
    history = torch.zeros(recipe.epochs, len(model), dtype=torch.float64)

    # Dropout draws from the global generator: give it this group's seed, and the old state back.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds[0])
        for epoch in range(recipe.epochs):
            orders = [torch.randperm(examples, generator=generator) for generator in generators]
            order = torch.stack(orders * model.copies).to(split.targets.device)
            total = torch.zeros(len(model), dtype=torch.float64, device=split.targets.device)
            for step, start in enumerate(starts):
                batch = order[:, start : start + recipe.batch_size]
                logits = model.logits(split.inputs[batch])
                losses = F.cross_entropy(
                    logits.flatten(0, 1), split.targets[batch].flatten(), reduction="none"
                ).view_as(batch)
                model.backward(losses.mean(1).sum())
                midpoint = epoch + (step + 0.5) / len(starts)
                optimiser.step(model.gradient, learning_rate(recipe, midpoint))
                total += losses.detach().sum(1)
            history[epoch] = total / examples
            _check_finite(history[epoch], model.flat, members, epoch + 1)
    model.write_back()
    for network in networks:
        network.eval()
    return history[:, : len(networks)]


class _Optimiser:
    """torch.optim's fused Adam or SGD over one flat tensor."""

    def __init__(self, flat: Tensor, recipe: Recipe):
        self.flat = flat
        self.recipe = recipe
        self.first = torch.zeros_like(flat)
        self.second = torch.zeros_like(flat)
        self.steps = torch.zeros((), device=flat.device)

    @torch.no_grad()
    def step(self, gradient: Tensor, rate: float) -> None:
        if self.recipe.optimiser == "adam":
            adam(
                [self.flat],
                [gradient],
                [self.first],
                [self.second],
                [],
                [self.steps],
                fused=True,
                amsgrad=False,
                beta1=self.recipe.momentum,
                beta2=0.999,
                lr=rate,
                weight_decay=self.recipe.weight_decay,
                eps=1e-8,
                maximize=False,
            )
        else:
            sgd(
                [self.flat],
                [gradient],
                [self.first],
                fused=True,
                weight_decay=self.recipe.weight_decay,
                momentum=self.recipe.momentum,
                lr=rate,
                dampening=0.0,
                nesterov=False,
                maximize=False,
            )


def _check_finite(losses: Tensor, flat: Tensor, members: list[int], epoch: int) -> None:
    finite = losses.isfinite() & flat.isfinite().all(1).to(losses.device)
    if not bool(finite.all()):
        position = int((~finite).nonzero()[0])
        raise DivergenceError(
            members[position % len(members)], epoch, f" (loss {float(losses[position]):g})"
        )


def clones(networks: Sequence[nn.Module]) -> list[nn.Module]:
    """Independent copies, to train while the originals stay as they are."""
    return [copy.deepcopy(network) for network in networks]
