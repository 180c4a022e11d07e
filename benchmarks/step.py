"""Goal 3: a training step of five stacked replicates against its bare matrix products.

Ours: the whole of `training.fit`, with masks as in parameter pruning, per step. A step's products:
forward, weight gradients, input gradients except the first layer's; they write into memory that
was allocated before, over consecutive batches of the data. One thread, portable arithmetic.
`python benchmarks/step.py`.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import common

from minified.foundations import arithmetic

arithmetic.fix(1, "portable")

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from minified import networks, training  # noqa: E402
from minified.data import Split  # noqa: E402
from minified.foundations import products  # noqa: E402
from minified.study import Recipe  # noqa: E402

WIDTHS = (300, 100)
CLASSES = 10
SPARSITY = 0.9
REPLICATES = 5
ROUNDS = 9
Multiply = Callable[[Tensor, Tensor, Tensor], object]


@dataclass(frozen=True)
class Task:
    """A network's inputs and the training on them."""

    features: int
    batch: int
    examples: int
    epochs: int
    limit: float

    @property
    def name(self) -> str:
        sizes = "-".join(map(str, (self.features, *WIDTHS, CLASSES)))
        return f"{sizes}, batch {self.batch} of {self.examples:,}"

    @property
    def batches(self) -> list[int]:
        """The sizes of an epoch's batches; the last may be smaller."""
        starts = range(0, self.examples, self.batch)
        return [min(self.batch, self.examples - start) for start in starts]


TASKS = (Task(784, 128, 12_800, 3, 1.25), Task(64, 64, 1_078, 20, 2.0))


def examples(task: Task) -> Split:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(task.examples, task.features, generator=generator)
    return Split(inputs, torch.randint(0, CLASSES, (task.examples,), generator=generator))


def pruned(task: Task, count: int) -> tuple[list[nn.Module], list[dict[str, Tensor]]]:
    """Untrained networks and masks at random."""
    chosen, masks = [], []
    for seed in range(count):
        network = networks.build("mlp", (task.features,), CLASSES, widths=WIDTHS)
        chosen.append(networks.initialise(network, seed))
        generator = torch.Generator().manual_seed(seed)
        weights = networks.prunable(network)
        masks.append(
            {n: torch.rand(w.shape, generator=generator) >= SPARSITY for n, w in weights.items()}
        )
    return chosen, masks


def ours(task: Task, split: Split, replicates: int) -> Callable[[], object]:
    chosen, masks = pruned(task, replicates)
    recipe = Recipe(learning_rate=0.001, epochs=task.epochs, batch_size=task.batch)
    return lambda: training.fit(training.clones(chosen), split, recipe, masks)


def bare(task: Task, split: Split, replicates: int, multiply: Multiply) -> Callable[[], None]:
    """The products of as many steps as `ours` does."""
    sizes = (task.features, *WIDTHS, CLASSES)
    layers = range(len(sizes) - 1)
    weights = [torch.randn(replicates, sizes[i + 1], sizes[i]) / sizes[i] ** 0.5 for i in layers]
    of_weights = [torch.zeros_like(weight) for weight in weights]
    # By batch size: what each layer writes, and the gradients with respect to it.
    written = {b: [torch.zeros(replicates, b, n) for n in sizes[1:]] for b in task.batches}
    gradients = {b: [torch.randn(replicates, b, n) for n in sizes[1:]] for b in task.batches}

    @torch.no_grad()
    def steps() -> None:
        at = 0
        for batch in task.batches * task.epochs:
            if at + replicates * batch > task.examples:
                at = 0
            taken = split.inputs[at : at + replicates * batch]
            at += replicates * batch
            read = [taken.view(replicates, batch, -1), *written[batch]]
            gradient = gradients[batch]
            for i in layers:
                multiply(read[i], weights[i].mT, read[i + 1])
            for i in reversed(layers):
                multiply(gradient[i].mT, read[i], of_weights[i])
                if i > 0:
                    multiply(gradient[i], weights[i], gradient[i - 1])

    return steps


def plain(task: Task, split: Split) -> Callable[[], None]:
    """As a user would write it: each network alone, torch.optim.Adam, masks after each step."""
    chosen, masks = pruned(task, REPLICATES)

    def steps() -> None:
        for network, mask in zip(training.clones(chosen), masks, strict=True):
            weights = networks.prunable(network)
            pairs = [(weights[name], kept.float()) for name, kept in mask.items()]
            optimizer = torch.optim.Adam(network.parameters(), lr=0.001)
            for _ in range(task.epochs):
                for batch in torch.randperm(task.examples).split(task.batch):
                    optimizer.zero_grad()
                    F.cross_entropy(network(split.inputs[batch]), split.targets[batch]).backward()
                    optimizer.step()
                    with torch.no_grad():
                        for weight, kept in pairs:
                            weight.mul_(kept)

    return steps


def with_torch(a: Tensor, b: Tensor, out: Tensor) -> object:
    return torch.bmm(a, b, out=out)


def measured(task: Task, rounds: int) -> list[common.Row]:
    split = examples(task)
    works: dict[str, Callable[[], object]] = {}
    for count in (REPLICATES, 1):
        works[f"fit {count}"] = ours(task, split, count)
        works[f"products {count}"] = bare(task, split, count, products.matmul)
    works["bmm"] = bare(task, split, REPLICATES, with_torch)
    works["plain"] = plain(task, split)
    seconds = common.by_turns(works, rounds)
    steps = len(task.batches) * task.epochs
    each = {name: [1000 * one / steps for one in many] for name, many in seconds.items()}

    def row(count: int, against: str, peer: str, limit: float | None = None) -> common.Row:
        work = f"step of {count} x {task.name}"
        return common.compared(
            3, work, each[f"fit {count}"], against, each[peer], unit="ms", most=limit
        )

    return [
        row(REPLICATES, "its matrix products", f"products {REPLICATES}", task.limit),
        row(1, "its matrix products", "products 1"),
        row(REPLICATES, "its products by torch.bmm", "bmm"),
        row(REPLICATES, f"plain PyTorch, {REPLICATES} in turn", "plain"),
    ]


def measure(options: argparse.Namespace) -> list[common.Row]:
    rounds = 3 if options.quick else ROUNDS
    return [row for task in TASKS for row in measured(task, rounds)]


if __name__ == "__main__":
    common.main(measure, common.parser(__doc__))
