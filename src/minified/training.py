"""Training: one loop for every regime, trained together where that pays.

`fit(networks, split, recipe, masks, seeds)` trains a list of networks in place. Multilayer
perceptrons of equal shape are stacked: one batched matrix product per layer does the work of all
replicates. With the arithmetic that the command line fixes, each replicate gets the same bits
beside any number of companions.
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# The functional forms do the same arithmetic as torch.optim.Adam and SGD, but do not import
# torch's compiler, which costs a job 2 s.
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from minified import augmentation, chains, products, quantization
from minified import seeds as seeding
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
    for network in networks:
        _check_last_batch(network, len(split), recipe.batch_size)
    for network, mask in zip(networks, masks, strict=True):
        check_mask_shapes(network, mask)
    for network, mask in zip(networks, masks, strict=True):
        apply_masks(network, mask)

    losses = torch.zeros(recipe.epochs, len(networks), dtype=torch.float64)
    with products.unchecked():
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


def _check_last_batch(network: nn.Module, examples: int, batch_size: int) -> None:
    """Of a single example batch normalisation has no statistics, but for those of an image."""
    if examples % batch_size == 1 or batch_size == 1:
        for name, module in chains.read(network).steps:
            if isinstance(module, nn.BatchNorm1d):
                raise ValueError(
                    f"{name} (BatchNorm1d): {examples} examples in batches of {batch_size} leave"
                    " one alone, of which it has no statistics; choose another batch_size"
                )


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
            parameters = tuple(
                (tuple(p.shape), p.dtype, p.requires_grad) for p in network.parameters()
            )
            key = (parameters, tuple(str(module) for _, module in chains.read(network).steps))
        groups.setdefault(key, []).append(i)
    return list(groups.values())


def _stackable(network: nn.Module) -> bool:
    return all(
        type(module) in _STACKABLE
        # What others overwrite in place, their slope would be taken from.
        and (isinstance(module, nn.ReLU) or not getattr(module, "inplace", False))
        for _, module in chains.read(network).steps
    )


class _Model:
    """A group of networks as one flat tensor, (networks, numbers), that the optimiser updates.

    `tensors` are views into it, (networks, ...) each, by parameter name; `gradient` is laid out
    alike, and the backward pass writes into it. One flat tensor makes a step of the optimiser one
    operation; its rows are padded to whole vectors, because a fused update treats a tensor's
    leftover elements by another formula, and a replicate's bits would depend on how many there are.
    """

    def __init__(self, networks: Sequence[nn.Module], masks: Sequence[Masks], bits: int | None):
        self.networks = list(networks)
        self.bits = bits
        self.steps = chains.read(networks[0]).steps
        every = [dict(network.named_parameters()) for network in self.networks]
        # Those that a reader froze (requires_grad=False) stay as they are.
        names = [name for name, parameter in every[0].items() if parameter.requires_grad]
        sizes = [every[0][name].numel() for name in names]
        padded = _whole_vectors(sum(sizes) + 1)  # one number at least belongs to nothing
        like = next(iter(every[0].values())).detach()
        self.flat = like.new_zeros(len(every), padded)
        self.gradient = torch.zeros_like(self.flat)
        self.tensors = {
            name: torch.stack([one[name].detach() for one in every]) for name in every[0]
        }
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
        """The places in `flat` of what stays, by network; shorter lists end in unused places."""
        kept = torch.zeros_like(self.flat, dtype=torch.bool)
        for name, view in self._views(kept, names, sizes).items():
            for i, mask in enumerate(masks):
                view[i] = mask[name].to(view) if name in mask else True
        length = _whole_vectors(int(kept.sum(1).max()))
        places = [row.nonzero().flatten() for row in kept]
        unused = self.flat.shape[1] - 1
        rows = [F.pad(place, (0, length - len(place)), value=unused) for place in places]
        starts = torch.arange(len(rows), device=kept.device) * self.flat.shape[1]
        return (torch.stack(rows) + starts.unsqueeze(1)).flatten()

    def differentiate(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Fill `gradient` with that of each network's mean loss over its batch.

        Args:
            inputs: (networks, batch, ...). targets: (networks, batch).

        Returns:
            Each example's loss, (networks, batch).
        """
        raise NotImplementedError

    @torch.no_grad()
    def write_back(self) -> None:
        for i, network in enumerate(self.networks):
            for name, parameter in network.named_parameters():
                parameter.copy_(self.tensors[name][i])


class _Stack(_Model):
    """Multilayer perceptrons of one shape: one operation per layer for all of them.

    Differentiated by hand: at these sizes autograd's own work would show.
    """

    def __init__(self, networks: Sequence[nn.Module], masks: Sequence[Masks], bits: int | None):
        super().__init__(networks, masks, bits)
        self._spaces: dict[tuple[str, int, int], Tensor] = {}

    @torch.no_grad()
    def differentiate(self, inputs: Tensor, targets: Tensor) -> Tensor:
        outputs = [inputs]
        weights = {}
        for i, (name, module) in enumerate(self.steps):
            output = outputs[-1]
            if isinstance(module, nn.Linear):
                weights[i] = self._rounded(f"{name}.weight")
                output = self._multiply(("output", i), output, weights[i].mT)
                if (bias := self.tensors.get(f"{name}.bias")) is not None:
                    output += bias.unsqueeze(1)
            elif isinstance(module, nn.Flatten):
                output = output.flatten(2)
            elif isinstance(module, nn.ReLU):
                output.relu_()  # its slope follows from what it writes alone
            else:
                output = module(output)
            outputs.append(output)

        logits = outputs[-1]
        losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        # d loss / d logits is softmax(logits) less one at the target.
        slope = logits.softmax(2)
        classes = torch.arange(slope.shape[2], device=slope.device)
        slope -= (targets.unsqueeze(2) == classes).to(slope.dtype)
        slope /= targets.shape[1]
        first = min(weights)
        for i in range(len(self.steps) - 1, first - 1, -1):
            name, module = self.steps[i]
            if not isinstance(module, nn.Linear):
                slope = _through(module, outputs[i], outputs[i + 1], slope)
                continue
            if (gradient := self.gradients.get(f"{name}.weight")) is not None:
                products.matmul(slope.mT, outputs[i], out=gradient)
            if (gradient := self.gradients.get(f"{name}.bias")) is not None:
                torch.sum(slope, 1, out=gradient)
            if i > first:
                slope = self._multiply(("slope", i), slope, weights[i])
        return losses.view_as(targets)

    def _multiply(self, key: tuple[str, int], a: Tensor, b: Tensor) -> Tensor:
        """A product into memory that is used again in the next step of as many examples."""
        space = self._spaces.get((*key, a.shape[1]))
        if space is None:
            space = a.new_empty(*a.shape[:2], b.shape[2])
            self._spaces[(*key, a.shape[1])] = space
        return products.matmul(a, b, out=space)

    def _rounded(self, name: str) -> Tensor:
        weight = self.tensors[name]
        # Its slope is taken for the weight's own: the straight-through estimate.
        return weight if self.bits is None else quantization.rounded(weight, self.bits, 2)


def _through(module: nn.Module, read: Tensor, written: Tensor, slope: Tensor) -> Tensor:
    """The slope before an activation from that behind it."""
    if isinstance(module, nn.Flatten):
        return slope.view_as(read)
    if isinstance(module, nn.ReLU):
        return torch.ops.aten.threshold_backward.grad_input(slope, written, 0, grad_input=slope)
    with torch.enable_grad():
        read = read.detach().requires_grad_()
        return torch.autograd.grad(module(read), read, slope)[0]


class _Single(_Model):
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
                short: self.tensors[f"{name}.{short}"][0] for short, _ in module.named_parameters()
            }
            if isinstance(module, chains.WEIGHTED) and self.bits is not None:
                own["weight"] = quantization.straight_through(own["weight"], self.bits)
            if isinstance(module, nn.Linear):
                activation = products.linear(activation, own["weight"], own.get("bias"))
            else:
                activation = torch.func.functional_call(module, own, (activation,))
        losses = F.cross_entropy(activation, targets[0], reduction="none")
        if self.gradients:
            losses.mean().backward()
        return losses.detach().unsqueeze(0)


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
    optimiser = _Optimiser(model, recipe)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    vary = _augmented(recipe, seeds)
    examples = len(split)
    starts = range(0, examples, recipe.batch_size)
    history = torch.zeros(recipe.epochs, len(networks), dtype=torch.float64)

    # Dropout draws from the global generator: give it this group's seed, and the old state back.
    devices = [split.inputs.device] if split.inputs.is_cuda else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seeds[0])
        for epoch in range(recipe.epochs):
            orders = [torch.randperm(examples, generator=generator) for generator in generators]
            order = torch.stack(orders).to(split.targets.device)
            losses = torch.zeros_like(order, dtype=split.inputs.dtype)
            for step, start in enumerate(starts):
                batch = order[:, start : start + recipe.batch_size]
                inputs, targets = _take(split, batch)
                inputs = vary(inputs)
                losses[:, start : start + recipe.batch_size] = model.differentiate(inputs, targets)
                midpoint = epoch + (step + 0.5) / len(starts)
                optimiser.step(learning_rate(recipe, midpoint))
            history[epoch] = losses.double().mean(1)
            _check_finite(history[epoch], model.flat, members, epoch + 1)
    model.write_back()
    for network in networks:
        if recipe.batch_norm == "re_estimate":
            re_estimate(network, split, recipe.batch_size, bits)
        network.eval()
    return history


def _augmented(recipe: Recipe, seeds: Sequence[int]) -> Callable[[Tensor], Tensor]:
    """What varies a batch (networks, examples, ...) as the recipe says, each network's its own."""
    if recipe.augmentation == "none":
        return lambda inputs: inputs
    # Apart from the data order's, which stays what it is without augmentation.
    generators = [
        torch.Generator().manual_seed(seeding.derive(seed, "augmentation")) for seed in seeds
    ]
    return lambda inputs: torch.stack(
        [
            augmentation.crop_flip(images, generator)
            for images, generator in zip(inputs, generators, strict=True)
        ]
    )


@torch.no_grad()
def re_estimate(network: nn.Module, split: Split, batch_size: int, bits: int | None = None) -> None:
    """Take the statistics of batch normalisation anew, in place: their mean over the batches of
    `split`, with the weights as they are, or rounded to `bits`. Parameters stay as they are.

    Batches are of one size, as near to `batch_size` as the examples allow.
    """
    twin = copy.deepcopy(network) if bits is None else quantization.quantize(network, bits)
    twin.eval()  # dropout stays off
    norms = [module for module in twin.modules() if isinstance(module, chains.NORMALISATION)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over all batches
        norm.train()
    if norms:
        chain = chains.read(twin)
        with products.unchecked():
            for inputs in split.inputs.tensor_split(-(-len(split) // batch_size)):
                chain.run(inputs)
    for buffer, found in zip(network.buffers(), twin.buffers(), strict=True):
        buffer.copy_(found)


def _take(split: Split, batch: Tensor) -> tuple[Tensor, Tensor]:
    """Inputs (networks, examples, ...) and targets (networks, examples) that `batch` counts."""
    # Copies whole examples, in half the time that indexing with a matrix takes.
    chosen = batch.flatten()
    inputs = split.inputs.index_select(0, chosen)
    targets = split.targets.index_select(0, chosen)
    return inputs.view(*batch.shape, *inputs.shape[1:]), targets.view_as(batch)


class _Optimiser:
    """torch.optim's fused Adam or SGD over all numbers of a group that stay.

    What was removed is never touched, and at high sparsities most of the work is saved with it.
    """

    def __init__(self, model: _Model, recipe: Recipe):
        self.recipe = recipe
        self.flat, self.flat_gradient = model.flat.view(-1), model.gradient.view(-1)
        self.survivors = model.survivors
        self.values, self.gradient = self.flat, self.flat_gradient
        if self.survivors is not None:
            self.values = self.flat.index_select(0, self.survivors)
            self.gradient = torch.zeros_like(self.values)
        self.first = torch.zeros_like(self.values)
        self.second = torch.zeros_like(self.values)
        self.steps = torch.zeros((), device=self.flat.device)

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Update the weights by the gradient that lies in the model."""
        if self.survivors is None:
            self._update(rate)
            return
        torch.index_select(self.flat_gradient, 0, self.survivors, out=self.gradient)
        self._update(rate)
        self.flat.scatter_(0, self.survivors, self.values)

    def _update(self, rate: float) -> None:
        if self.recipe.optimiser == "adam":
            adam(
                [self.values],
                [self.gradient],
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
                [self.values],
                [self.gradient],
                [self.first],
                fused=True,
                weight_decay=self.recipe.weight_decay,
                momentum=self.recipe.momentum,
                lr=rate,
                dampening=0.0,
                nesterov=False,
                maximize=False,
            )


def _whole_vectors(numbers: int) -> int:
    return -(-numbers // _VECTOR) * _VECTOR


def _check_finite(losses: Tensor, flat: Tensor, members: list[int], epoch: int) -> None:
    finite = losses.isfinite() & flat.isfinite().all(1).to(losses.device)
    if not bool(finite.all()):
        position = int((~finite).nonzero()[0])
        raise DivergenceError(members[position], epoch, f" (loss {float(losses[position]):g})")


def clones(networks: Sequence[nn.Module]) -> list[nn.Module]:
    """Independent copies, to train while the originals stay as they are."""
    return [copy.deepcopy(network) for network in networks]
