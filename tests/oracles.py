"""Small networks, and slow but obviously right answers to compare the library's with.

Nothing here uses `minified`: second derivatives come from double backward, dropout damage from
enumeration and from a plain simulation, merging from refitting every pair at every step,
Kronecker factors from every example's patches and Jacobian, activity from counting.
"""

import copy
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

torch.set_num_threads(1)

# An nn.Sequential: torch's types do not know what its modules carry.
Network = Any


@dataclass(frozen=True)
class Problem:
    """A network, examples, and the module on whose output each hidden layer's gates sit."""

    network: Network
    inputs: Tensor
    targets: Tensor
    gates: Mapping[str, int]

    @property
    def widths(self) -> dict[str, int]:
        return {name: len(self.network[int(name)].weight) for name in self.gates}

    @property
    def readers(self) -> dict[str, int]:
        """The position of the next weighted layer after each hidden one."""
        weighted = [i for i, m in enumerate(self.network) if isinstance(m, nn.Linear | nn.Conv2d)]
        return {str(i): following for i, following in itertools.pairwise(weighted)}


# Input shape (all have three classes), where the gates are, and the modules.
NETWORKS: dict[str, tuple[tuple[int, ...], dict[str, int], Callable[[], list[nn.Module]]]] = {
    "relu": (
        (6,),
        {"0": 1, "2": 3},
        lambda: [nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)],
    ),
    "leaky_relu_without_bias": (
        (6,),
        {"0": 1, "2": 3},
        lambda: [
            nn.Linear(6, 5, bias=False),
            nn.LeakyReLU(0.2),
            nn.Linear(5, 4, bias=False),
            nn.LeakyReLU(0.2),
            nn.Linear(4, 3, bias=False),
        ],
    ),
    "batch_norm": (
        (6,),
        {"0": 2, "3": 5},
        lambda: [
            nn.Linear(6, 5),
            nn.BatchNorm1d(5),
            nn.ReLU(),
            nn.Linear(5, 4),
            nn.ReLU(),
            nn.BatchNorm1d(4),
            nn.Linear(4, 3),
        ],
    ),
    "conv_padded": (
        (1, 5, 5),
        {"0": 2, "4": 6},
        lambda: [
            nn.Conv2d(1, 3, 3, padding=1),
            nn.BatchNorm2d(3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(3, 4, 2, padding=1),
            nn.BatchNorm2d(4),
            nn.LeakyReLU(0.1),
            nn.AvgPool2d(2, stride=1),
            nn.Flatten(),
            nn.Linear(16, 3),
        ],
    ),
    "conv_strided": (
        (2, 5, 5),
        {"0": 1, "2": 4, "6": 7},
        lambda: [
            nn.Conv2d(2, 3, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(3, 4, 2),
            nn.ReLU(),
            nn.BatchNorm2d(4),
            nn.Flatten(),
            nn.Linear(16, 3),
            nn.ReLU(),
            nn.Linear(3, 3),
        ],
    ),
    "conv_dilated_pooled_before_relu": (
        (1, 5, 6),
        {"0": 0},
        lambda: [
            nn.Conv2d(1, 3, (2, 3), stride=(1, 2), padding=(1, 0), dilation=(2, 1)),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(6, 3),
        ],
    ),
    "conv_pooled_in_overlapping_windows": (
        (2, 6, 6),
        {"0": 2, "4": 6},
        lambda: [
            nn.Conv2d(2, 3, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(3),
            nn.ReLU(),
            nn.MaxPool2d(2, stride=1, padding=1),
            nn.Conv2d(3, 4, 3, padding=1, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Flatten(),
            nn.Linear(4, 3),
        ],
    ),
}


def problem(name: str, examples: int = 6, seed: int = 0) -> Problem:
    """One of `NETWORKS` in float64 and eval mode, with random parameters and random examples."""
    return problem_of(*NETWORKS[name], examples, seed)


def problem_of(
    shape: tuple[int, ...],
    gates: dict[str, int],
    modules: Callable[[], list[nn.Module]],
    examples: int = 6,
    seed: int = 0,
) -> Problem:
    """The same for any such network of three classes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: Network = nn.Sequential(*modules()).double().eval()
        module: Any
        for module in network:
            # PyTorch's own first weights are so small that removals hardly change the loss.
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.normal_(module.weight, std=2 * module.weight[0].numel() ** -0.5)
            elif hasattr(module, "running_mean"):
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)
                nn.init.normal_(module.running_mean)
                nn.init.uniform_(module.running_var, 0.5, 2.0)
        inputs = torch.randn(examples, *shape, dtype=torch.float64)
        targets = torch.randint(3, (examples,))
    return Problem(network, inputs, targets, gates)


def gated_logits(task: Problem, inputs: Tensor, gates: Mapping[str, Tensor]) -> Tensor:
    """Logits, hidden neurons' outputs multiplied by `gates`, (N or 1, neurons)."""
    at = {task.gates[name]: gate for name, gate in gates.items()}
    x = inputs
    for i, module in enumerate(task.network):
        x = module(x)
        if i in at:
            x = x * at[i].reshape(*at[i].shape, *[1] * (x.dim() - 2))
    return x


def gated_losses(
    task: Problem, inputs: Tensor, targets: Tensor, gates: Mapping[str, Tensor]
) -> Tensor:
    """Each example's loss, hidden neurons' outputs multiplied by `gates`, (N or 1, neurons)."""
    logits = gated_logits(task, inputs, gates)
    return -logits.log_softmax(1)[torch.arange(len(logits)), targets]


# Optimal Brain Damage


def second_derivatives(loss: Callable[[Tensor], Tensor], units: Tensor) -> tuple[Tensor, Tensor]:
    """First and second derivative of a scalar loss with respect to every single unit."""
    units = units.detach().clone().requires_grad_()
    (first,) = torch.autograd.grad(loss(units), units, create_graph=True)
    second = [
        torch.autograd.grad(gradient, units, retain_graph=True)[0].flatten()[k]
        for k, gradient in enumerate(first.flatten())
    ]
    return first.detach(), torch.stack(second).reshape(units.shape)


def unit_loss(task: Problem, level: str, name: str, x: Tensor, y: Tensor, units: Tensor) -> Tensor:
    """One example's loss as a function of one layer's weights, or of its gates."""
    if level == "neuron":
        return gated_losses(task, x, y, {name: units[None]})[0]
    logits = torch.func.functional_call(task.network, {name: units}, (x,))
    return nn.functional.cross_entropy(logits, y)


def all_units(task: Problem, level: str) -> dict[str, Tensor]:
    """The removable units of every layer: its weights, or gates that are all 1."""
    if level == "neuron":
        return {name: torch.ones(width, dtype=torch.float64) for name, width in task.widths.items()}
    return {
        name: parameter.detach()
        for name, parameter in task.network.named_parameters()
        if name.endswith("weight") and parameter.dim() > 1
    }


def gauss_newton_oracle(task: Problem, level: str) -> dict[str, tuple[Tensor, ...]]:
    """Gradient, curvature (generalised Gauss-Newton), its deviation over examples, and the mean
    square of each example's gradient, by layer.

    From the whole Jacobian of one example's logits after the other: J^T (p - y) and the diagonal of
    J^T (diag p - p p^T) J.
    """
    derivatives: dict[str, tuple[Tensor, ...]] = {}
    for name, units in all_units(task, level).items():
        gradients, curvatures = [], []
        for x, y in zip(task.inputs, task.targets, strict=True):

            def logits(u: Tensor, x: Tensor = x, name: str = name) -> Tensor:
                if level == "neuron":
                    return gated_logits(task, x[None], {name: u[None]})[0]
                return torch.func.functional_call(task.network, {name: u}, (x[None],))[0]

            jacobian = torch.autograd.functional.jacobian(logits, units)
            p = logits(units).softmax(0).detach()
            hessian = torch.diag(p) - torch.outer(p, p)
            residual = p - nn.functional.one_hot(y, len(p))
            gradients.append(torch.einsum("c...,c->...", jacobian, residual))
            curvatures.append(torch.einsum("c...,cd,d...->...", jacobian, hessian, jacobian))
        h = torch.stack(curvatures)
        deviation = torch.from_numpy(np.std(h.numpy(), axis=0))
        g = torch.stack(gradients)
        derivatives[name] = g.mean(0), h.mean(0), deviation, g.square().mean(0)
    return derivatives


def obd_oracle(task: Problem, level: str) -> dict[str, dict[str, Tensor]]:
    """All five OBD scores of every layer, {criterion: {layer: scores}}, one example at a time."""
    scores: dict[str, dict[str, Tensor]] = {
        criterion: {}
        for criterion in ("obd", "obd_sd", "obd_signed", "obd_absolute", "obd_squared")
    }
    for name, u in all_units(task, level).items():
        gradients, damages = [], []
        for x, y in zip(task.inputs, task.targets, strict=True):
            g, h = second_derivatives(partial(unit_loss, task, level, name, x[None], y[None]), u)
            gradients.append(g)
            damages.append(h * u**2 / 2)
        each, damage = torch.stack(gradients), torch.stack(damages)
        g = each.mean(0)
        scores["obd"][name] = damage.mean(0)
        scores["obd_sd"][name] = torch.from_numpy(np.std(damage.numpy(), axis=0))
        scores["obd_signed"][name] = damage.mean(0) - g * u
        scores["obd_absolute"][name] = scores["obd_signed"][name].abs()
        scores["obd_squared"][name] = torch.stack([one**2 for one in each]).mean(0) * u**2 / 2
    return scores


# Kronecker factors


def folded(module: Any, norms: list[Any]) -> tuple[Tensor, Tensor | None]:
    """A layer's weights, (neurons, inputs), and its bias, batch normalisations folded in."""
    weight = module.weight.detach().flatten(1)
    bias = None if module.bias is None else module.bias.detach()
    for norm in norms:
        scale = norm.weight.detach() / (norm.running_var + norm.eps).sqrt()
        before = torch.zeros(len(weight)).to(scale) if bias is None else bias
        weight = weight * scale[:, None]
        bias = (before - norm.running_mean) * scale + norm.bias.detach()
    return weight, bias


def patches(module: Any, x: Tensor) -> Tensor:
    """What a layer reads of one example, (positions, inputs)."""
    if isinstance(module, nn.Linear):
        return x[None]
    geometry = module.kernel_size, module.dilation, module.padding, module.stride
    return nn.functional.unfold(x[None], *geometry)[0].T


def kfac_oracle(task: Problem, norms: Mapping[str, list[int]]) -> dict[str, Tensor]:
    """G_jj / 2 x w_j^T A w_j of every hidden neuron; `norms` are what is folded into each layer."""
    network, scores = task.network, {}
    for name in task.gates:
        layer = network[int(name)]
        weight, bias = folded(layer, [network[i] for i in norms.get(name, [])])
        if bias is not None:
            weight = torch.cat([weight, bias[:, None]], dim=1)
        above = network[max([int(name), *norms.get(name, [])]) + 1 :]
        inputs = weight.shape[1]
        a = torch.zeros(inputs, inputs, dtype=torch.float64)
        g = torch.zeros(len(weight), dtype=torch.float64)
        for x in task.inputs:
            read = patches(layer, network[: int(name)](x[None]).detach()[0])
            if bias is not None:
                read = torch.cat([read, torch.ones(len(read), 1, dtype=torch.float64)], dim=1)
            a += read.T @ read
            output = network[: len(network) - len(above)](x[None]).detach()
            p = network(x[None])[0].softmax(0).detach()
            jacobian = torch.autograd.functional.jacobian(lambda o, up=above: up(o)[0], output)
            columns = torch.diag(p.sqrt()) - torch.outer(p, p.sqrt())
            # (classes c, neurons, positions)
            delta = torch.einsum("kc,k...->c...", columns, jacobian[:, 0])
            delta = delta.reshape(len(p), len(weight), len(read))
            g += delta.square().sum((0, 2)) / len(read)
        a, g = a / len(task.inputs), g / len(task.inputs)
        scores[name] = torch.stack([g[j] / 2 * (w @ a @ w) for j, w in enumerate(weight)])
    return scores


# Activity


@torch.no_grad()
def activity_oracle(task: Problem, threshold: float = 0.0) -> dict[str, list[float]]:
    """How often each neuron's gate lets more than `threshold` through, counted one by one."""
    fractions = {}
    for name, gate in task.gates.items():
        counts = [0] * task.widths[name]
        events = 0
        for x in task.inputs:
            output = task.network[: gate + 1](x[None])[0]
            for j, values in enumerate(output):
                counts[j] += sum(abs(value) > threshold for value in values.flatten().tolist())
            events += output[0].numel()
        fractions[name] = [count / events for count in counts]
    return fractions


# Dropout damage


@torch.no_grad()
def exact_dropout_damage(task: Problem, probability: float) -> np.ndarray:
    """E[excess loss | j dropped] - E[excess loss | j kept], by enumerating every mask."""
    widths = task.widths
    total = sum(widths.values())
    whole = gated_losses(task, task.inputs, task.targets, {})
    sums, weights = np.zeros((2, total)), np.zeros((2, total))
    for kept in itertools.product([0, 1], repeat=total):
        gates = torch.tensor([kept], dtype=torch.float64).split(list(widths.values()), dim=1)
        losses = gated_losses(
            task, task.inputs, task.targets, dict(zip(widths, gates, strict=True))
        )
        chance = (1 - probability) ** sum(kept) * probability ** (total - sum(kept))
        for j in range(total):
            sums[kept[j], j] += chance * float((losses - whole).mean())
            weights[kept[j], j] += chance
    dropped, stayed = sums / weights
    return dropped - stayed


@torch.no_grad()
def simulated_dropout_damage(
    task: Problem, probability: float, passes: int, batches: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The mean over independent batches of passes, and its standard error; masks from numpy."""
    widths = task.widths
    total = sum(widths.values())
    rng = np.random.default_rng(seed)
    whole = gated_losses(task, task.inputs, task.targets, {}).numpy()
    estimates = []
    for _ in range(batches):
        kept, excess = [], []
        for _ in range(passes):
            mask = rng.binomial(1, 1 - probability, (len(task.inputs), total)).astype(float)
            parts = np.split(mask, np.cumsum(list(widths.values()))[:-1], axis=1)
            gates = {name: torch.from_numpy(p) for name, p in zip(widths, parts, strict=True)}
            excess.append(gated_losses(task, task.inputs, task.targets, gates).numpy() - whole)
            kept.append(mask)
        masks, changes = np.concatenate(kept), np.concatenate(excess)
        estimates.append(
            [
                changes[masks[:, j] == 0].mean() - changes[masks[:, j] == 1].mean()
                for j in range(total)
            ]
        )
    return np.mean(estimates, axis=0), np.std(estimates, axis=0, ddof=1) / np.sqrt(batches)


# Merging


@torch.no_grad()
def activations_read(network: Network, reader: int, neurons: int, inputs: Tensor) -> np.ndarray:
    """What module `reader` reads of each neuron, (examples x positions, neurons)."""
    x = network[:reader](inputs).numpy()
    columns = x.size // (len(x) * neurons)
    x = x.reshape(len(x), neurons, columns)
    return np.stack([x[:, j].ravel() for j in range(neurons)], axis=1)


def folds_intercept(reader: Any) -> bool:
    """Whether a constant in what `reader` reads can be made up for exactly by its bias."""
    return reader.bias is not None and not (
        isinstance(reader, nn.Conv2d) and tuple(reader.padding) != (0, 0)
    )


def stand_in(a_j: np.ndarray, a_i: np.ndarray, intercept: bool) -> tuple[float, float, float]:
    """Least-squares alpha and beta of a_j by alpha a_i + beta, and the mean squared residual."""
    if intercept and np.ptp(a_j) == 0:
        return 0.0, float(a_j[0]), 0.0
    if intercept and np.ptp(a_i) == 0:
        return 0.0, float(a_j.mean()), float(a_j.var())
    design = np.stack([a_i, np.ones_like(a_i)] if intercept else [a_i], axis=1)
    solution = np.linalg.lstsq(design, a_j, rcond=None)[0]
    residual = float(np.mean((a_j - design @ solution) ** 2))
    return float(solution[0]), float(solution[1]) if intercept else 0.0, residual


@torch.no_grad()
def merge_by_hand(
    network: Network, layer: int, reader: int, inputs: Tensor, count: int
) -> tuple[Network, list[tuple[int, int]]]:
    """Merge `count` neurons of a layer, every pair refitted at every step.

    Returns a network of the old size, in which no weight leaves a merged neuron, and the merges
    (gone, into) in order.
    """
    network = copy.deepcopy(network)
    neurons, module = len(network[layer].weight), network[reader]
    intercept = folds_intercept(module)
    a = activations_read(network, reader, neurons, inputs)
    # A view: writing to outgoing[:, j] writes to the weights.
    outgoing = module.weight.numpy().reshape(len(module.weight), neurons, -1)
    alive, merges = list(range(neurons)), []
    for _ in range(count):
        options = []
        for j, i in itertools.permutations(alive, 2):
            alpha, beta, residual = stand_in(a[:, j], a[:, i], intercept)
            options.append((residual * np.sum(outgoing[:, j] ** 2), j, i, alpha, beta))
        _, j, i, alpha, beta = min(options)
        if intercept:
            module.bias += torch.from_numpy(beta * outgoing[:, j].sum(1))
        outgoing[:, i] += alpha * outgoing[:, j]
        outgoing[:, j] = 0.0
        alive.remove(j)
        merges.append((j, i))
    return network, merges
