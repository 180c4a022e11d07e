"""What a user would write: the default study's training runs in plain PyTorch, in one process.

It knows nothing of `minified`: a DataLoader, nn.Sequential, torch.optim.Adam, a cosine, torch's own
threads and kernels. Pruning costs it nothing (random masks, rounded widths).
`python benchmarks/plain.py` does a fraction of the runs, spread evenly over each kind, and scales
by steps; dag.py compares the whole study's time with it (goal 2).
"""

import argparse
import json
import time
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from ruamel.yaml import YAML
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

DEFAULT_STUDY = Path(__file__).parent.parent / "config" / "digits.yaml"


@dataclass(frozen=True)
class Run:
    """One network's training: which recipe, how sparse or with how many bits."""

    kind: str
    recipe: str
    replicate: int = 0
    criterion: str = ""
    sparsity: float = 0.0
    bits: int | None = None


class RoundedLinear(nn.Linear):
    """Rounds its weights in the forward pass, per output channel; straight-through gradient."""

    bits = 8

    def forward(self, inputs: Tensor) -> Tensor:
        weight = self.weight.detach()
        low = weight.amin(1, keepdim=True).clamp(max=0)
        high = weight.amax(1, keepdim=True).clamp(min=0)
        scale = (high - low) / (2**self.bits - 1)
        scale = torch.where(scale > 0, scale, 1.0)
        zero = torch.round(-low / scale)
        levels = (torch.round(weight / scale) + zero).clamp(0, 2**self.bits - 1)
        rounded = (levels - zero) * scale
        return F.linear(inputs, self.weight + (rounded - self.weight).detach(), self.bias)


def data(study: dict[str, Any]) -> list[tuple[Tensor, Tensor]]:
    """The digits, normalised: training, validation, test."""
    images, targets = load_digits(return_X_y=True)
    inputs, classes = torch.tensor(images).float(), torch.tensor(targets).long()
    order = torch.randperm(len(inputs))
    held = [round(study["data"][name] * len(inputs)) for name in ("validation", "test")]
    parts = order.split([len(inputs) - sum(held), *held])
    mean, deviation = inputs[parts[0]].mean(), inputs[parts[0]].std()
    return [((inputs[part] - mean) / deviation, classes[part]) for part in parts]


def runs(study: dict[str, Any]) -> list[Run]:
    """Every training run of the study, replicates and all."""
    grid, planned = study["grid"], [Run("baseline", "baseline")]
    for kind in ("parameter", "neuron"):
        for criterion, sparsity, regime in product(
            *(grid[kind][key] for key in ("criteria", "sparsities", "regimes"))
        ):
            # Smaller networks from scratch are the same whichever neurons are gone.
            same = kind == "neuron" and regime == "scratch"
            name = "any" if same else criterion
            planned.append(Run(kind, regime, criterion=name, sparsity=sparsity))
    if "fine_tune" in grid["quantization"]["regimes"]:
        bits = grid["quantization"]["bits"]
        planned += [Run("quantization", "quantization", bits=count) for count in bits]
    return [replace(run, replicate=r) for run in planned for r in range(study["replicates"])]


def build(run: Run, widths: list[int], inputs: int, classes: int) -> nn.Sequential:
    if run.kind == "neuron":
        widths = [round((1 - run.sparsity) * width) for width in widths]
    linear = nn.Linear if run.bits is None else RoundedLinear
    layers: list[nn.Module] = []
    for width in widths:
        layers += [linear(inputs, width), nn.ReLU()]
        inputs = width
    network = nn.Sequential(*layers, linear(inputs, classes))
    for layer in network:
        if run.bits is not None and isinstance(layer, RoundedLinear):
            layer.bits = run.bits
    return network


def masks(network: nn.Sequential, sparsity: float) -> list[tuple[Tensor, Tensor]]:
    """Each weight with its mask."""
    weights = [layer.weight for layer in network if isinstance(layer, nn.Linear)]
    return [(weight, (torch.rand_like(weight) >= sparsity).float()) for weight in weights]


def train(network: nn.Sequential, run: Run, recipe: dict[str, Any], training: TensorDataset) -> int:
    """Train, and return how many steps it took."""
    loader = DataLoader(training, batch_size=recipe["batch_size"], shuffle=True)
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe["learning_rate"])
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe["epochs"])
    pruned = masks(network, run.sparsity) if run.kind == "parameter" else []
    network.train()
    for _ in range(recipe["epochs"]):
        for inputs, targets in loader:
            loss = F.cross_entropy(network(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                for weight, mask in pruned:
                    weight.mul_(mask)
        scheduler.step()
    return recipe["epochs"] * len(loader)


@torch.no_grad()
def evaluate(network: nn.Sequential, splits: list[tuple[Tensor, Tensor]]) -> list[float]:
    network.eval()
    accuracies = []
    for inputs, targets in splits:
        logits = network(inputs)
        F.cross_entropy(logits, targets)
        accuracies.append(float((logits.argmax(1) == targets).float().mean()))
    return accuracies


def spread(kind: list[Run], fraction: float) -> list[Run]:
    """About that fraction of the runs, evenly spread; at least one."""
    count = max(1, round(fraction * len(kind)))
    return [kind[(2 * i + 1) * len(kind) // (2 * count)] for i in range(count)]


def work(study: dict[str, Any], fraction: float) -> dict[str, float]:
    """Seconds of a fraction of the runs, and of all of them, scaled by the steps of each kind.

    `distinct`: the same, but each run that occurs more than once is counted once.
    """
    splits = data(study)
    training, features = TensorDataset(*splits[0]), splits[0][0].shape[1]
    everything = runs(study)
    batches = {
        name: recipe["epochs"] * -(-len(training) // recipe["batch_size"])
        for name, recipe in study["recipes"].items()
    }
    # A short training before the clock starts, since the very first steps load libraries.
    short = study["recipes"]["baseline"] | {"epochs": 1}
    train(build(everything[0], [8], features, 10), everything[0], short, training)
    measured = dict.fromkeys(("seconds", "whole", "distinct", "runs", "right"), 0.0)
    for kind in dict.fromkeys(run.kind for run in everything):
        members = [run for run in everything if run.kind == kind]
        steps, start = 0, time.perf_counter()
        chosen = spread(members, fraction)
        for run in chosen:
            network = build(run, study["network"]["widths"], features, 10)
            steps += train(network, run, study["recipes"][run.recipe], training)
            measured["right"] += evaluate(network, splits)[2] > 0.5
        seconds = time.perf_counter() - start
        measured["seconds"] += seconds
        measured["whole"] += seconds * sum(batches[run.recipe] for run in members) / steps
        measured["distinct"] += seconds * sum(batches[run.recipe] for run in set(members)) / steps
        measured["runs"] += len(chosen)
    return measured | {"of": len(everything), "of_distinct": len(set(everything))}


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--fraction", type=float, default=0.25, help="of the runs")
    options.add_argument("--study", type=Path, default=DEFAULT_STUDY)
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    measured = work(YAML(typ="safe").load(given.study), given.fraction)
    if given.json:
        print(json.dumps(measured))
    else:
        print(
            f"{measured['runs']:.0f} of {measured['of']} runs in {measured['seconds']:.1f} s"
            f" ({torch.get_num_threads()} threads), {measured['right']:.0f} of them to above"
            f" half of the test digits; all: {measured['whole']:.0f} s,"
            f" the {measured['of_distinct']} distinct ones {measured['distinct']:.0f} s"
        )
