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


class _Stack:
    """Networks of one shape as leaf tensors (networks, ...) and a forward pass over all.

    A stack of one runs as a stack of two equal networks: a batch of one matrix product takes
    another kernel, with other bits, and a replicate must not depend on how many there are.
    """

    def __init__(self, networks: Sequence[nn.Module], masks: Sequence[Masks], bits: int | None):
        self.networks = list(networks)
        self.copies = 2 if len(networks) == 1 else 1
        self.bits = bits
        self.steps = chains.read(networks[0]).steps
        names = [name for name, p in networks[0].named_parameters() if p.requires_grad]
        every = [dict(network.named_parameters()) for network in self.networks]
        self.tensors = {
            name: torch.stack([p[name].detach() for p in every] * self.copies) for name in every[0]
        }
        # Those that a reader froze (requires_grad=False) stay as they are.
        self.parameters = {name: self.tensors[name].requires_grad_() for name in names}
        self.masks = {}
        for name in {name: None for mask in masks for name in mask}:
            whole = torch.ones(self.tensors[name].shape[1:], dtype=torch.bool)
            each = [mask.get(name, whole).cpu() for mask in masks]
            self.masks[name] = torch.stack(each * self.copies).to(self.tensors[name])

    def __len__(self) -> int:
        return len(self.networks) * self.copies

    def logits(self, inputs: Tensor) -> Tensor:
        """(networks, batch, ...) -> (networks, batch, classes)."""
        activation = inputs
        for name, module in self.steps:
            if isinstance(module, nn.Linear):
                weight = self.tensors[f"{name}.weight"]
                if self.bits is not None:
                    weight = quantization.straight_through(weight, self.bits, channel_dims=2)
                bias = self.tensors.get(f"{name}.bias")
                product = weight.transpose(1, 2)
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

    @torch.no_grad()
    def write_back(self) -> None:
        for i, network in enumerate(self.networks):
            for name, parameter in network.named_parameters():
                parameter.copy_(self.tensors[name][i])


class _Single:
    """One network of any kind, behind the same face as a stack."""

    copies = 1

    def __init__(self, network: nn.Module, masks: Masks, bits: int | None):
        self.network = network
        self.bits = bits
        self.quantized = list(chains.prunable(network)) if bits is not None else []
        self.tensors = dict(network.named_parameters())
        self.parameters = {name: p for name, p in self.tensors.items() if p.requires_grad}
        self.masks = {name: mask.to(self.tensors[name]) for name, mask in masks.items()}

    def __len__(self) -> int:
        return 1

    def logits(self, inputs: Tensor) -> Tensor:
        replaced = {
            name: quantization.straight_through(self.tensors[name], self.bits)
            for name in self.quantized
            if self.bits is not None
        }
        logits = torch.func.functional_call(self.network, replaced, (inputs[0],))
        return logits.unsqueeze(0)

    def write_back(self) -> None:
        pass


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
    model: _Stack | _Single
    if _stackable(networks[0]):
        model = _Stack(networks, masks, bits)
    else:
        model = _Single(networks[0], masks[0], bits)
    for network in networks:
        network.train()
    parameters = list(model.parameters.values())
    factors = [model.masks.get(name) for name in model.parameters]
    optimiser = _Optimiser(parameters, recipe)
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
                gradients = torch.autograd.grad(losses.mean(1).sum(), parameters)
                for gradient, factor in zip(gradients, factors, strict=True):
                    if factor is not None:
                        gradient.mul_(factor)
                midpoint = epoch + (step + 0.5) / len(starts)
                optimiser.step(gradients, learning_rate(recipe, midpoint))
                total += losses.detach().sum(1)
            history[epoch] = total / examples
            _check_finite(history[epoch], parameters, members, epoch + 1)
    model.write_back()
    for network in networks:
        network.eval()
    return history[:, : len(networks)]


class _Optimiser:
    """torch.optim's Adam or SGD over a fixed list of leaf tensors.

    Not the fused ones: they treat a tensor's last elements by another formula (see `_STACKABLE`).
    """

    def __init__(self, parameters: list[Tensor], recipe: Recipe):
        self.parameters = parameters
        self.recipe = recipe
        self.first = [torch.zeros_like(p) for p in parameters]
        self.second = [torch.zeros_like(p) for p in parameters]
        self.steps = [torch.zeros((), device=p.device) for p in parameters]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], rate: float) -> None:
        if self.recipe.optimiser == "adam":
            adam(
                self.parameters,
                list(gradients),
                self.first,
                self.second,
                [],
                self.steps,
                foreach=True,
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
                self.parameters,
                list(gradients),
                list(self.first),
                foreach=True,
                weight_decay=self.recipe.weight_decay,
                momentum=self.recipe.momentum,
                lr=rate,
                dampening=0.0,
                nesterov=False,
                maximize=False,
            )


def _check_finite(
    losses: Tensor, parameters: Sequence[Tensor], members: list[int], epoch: int
) -> None:
    finite = losses.isfinite()
    for parameter in parameters:
        stacked = parameter.detach().isfinite()
        # A single network's parameters have no leading dimension of networks.
        whole = stacked.flatten(1).all(1) if len(losses) > 1 else stacked.all().unsqueeze(0)
        finite &= whole.to(finite.device)
    if not bool(finite.all()):
        position = int((~finite).nonzero()[0])
        raise DivergenceError(
            members[position % len(members)], epoch, f" (loss {float(losses[position]):g})"
        )


def clones(networks: Sequence[nn.Module]) -> list[nn.Module]:
    """Independent copies, to train while the originals stay as they are."""
    return [copy.deepcopy(network) for network in networks]
