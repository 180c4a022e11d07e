"""Parts of a training step in two ways: the way that was chosen, against one that was not.

Five replicates of 784-300-100-10 and of 64-300-100-10, one thread, portable arithmetic, by turns.
Run as `python benchmarks/tried.py`; docs/performance.md says what follows from it.
"""

import argparse
from collections.abc import Callable

import common

from minified.foundations import arithmetic

arithmetic.fix(1, "portable")

import torch  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.optim.adam import adam  # noqa: E402

from minified import networks, training  # noqa: E402
from minified.data import Split  # noqa: E402
from minified.foundations import products  # noqa: E402
from minified.study import Recipe  # noqa: E402

REPLICATES = 5
WIDTHS = (300, 100)
ROUNDS = 9
# Features, batch, examples; repetitions per round.
TASKS = ((784, 128, 12_800, 20), (64, 64, 1_078, 100))
SPARSITIES = (0.5, 0.9, 0.98)
Works = dict[str, Callable[[], object]]


def repeated(work: Callable[[], object], times: int) -> Callable[[], None]:
    def several() -> None:
        for _ in range(times):
            work()

    return several


def gathered(features: int, batch: int, examples: int) -> Works:
    inputs = torch.randn(examples, 1, features)
    chosen = torch.randint(0, examples, (REPLICATES, batch))
    return {
        "taken": lambda: inputs.index_select(0, chosen.flatten()),
        "not": lambda: inputs[chosen],
    }


class Updated:
    """Adam's step over the survivors alone, or over all numbers with the gradient masked."""

    def __init__(self, numbers: int, sparsity: float):
        self.flat, self.gradient = torch.randn(2, numbers)
        self.kept = torch.rand(numbers) >= sparsity
        self.places = self.kept.nonzero().flatten()
        self.factor = self.kept.float()
        self.state = {n: [torch.zeros(n) for _ in range(2)] for n in (numbers, len(self.places))}
        self.values = self.flat[self.places]
        self.gathered = torch.zeros_like(self.values)

    def survivors(self) -> None:
        torch.index_select(self.gradient, 0, self.places, out=self.gathered)
        self._adam(self.values, self.gathered)
        self.flat.scatter_(0, self.places, self.values)

    def all(self) -> None:
        self.gradient.mul_(self.factor)
        self._adam(self.flat, self.gradient)

    def _adam(self, values: Tensor, gradient: Tensor) -> None:
        first, second = self.state[len(values)]
        options = {"beta1": 0.9, "beta2": 0.999, "lr": 1e-4, "weight_decay": 0.0, "eps": 1e-8}
        states = ([first], [second], [], [torch.zeros(())])
        more = {"fused": True, "amsgrad": False, "maximize": False}
        adam([values], [gradient], *states, **more, **options)


def stacked(features: int, batch: int, examples: int) -> Works:
    """A whole training, together and one after the other."""
    split = Split(torch.randn(examples, features), torch.randint(0, 10, (examples,)))
    split = split.first(10 * batch)
    recipe = Recipe(learning_rate=0.001, epochs=1, batch_size=batch)
    shape = (features,)
    several = [networks.build("mlp", shape, 10, widths=WIDTHS) for _ in range(REPLICATES)]

    def in_turn() -> None:
        for network in several:
            training.fit([network], split, recipe)

    return {"taken": lambda: training.fit(several, split, recipe), "not": in_turn}


class Multiplied:
    """The products of a training step, with all neurons of the first hidden layer or without some.

    Where parameters are removed, a neuron may have no outgoing weight left. The gradient still
    needs a row for every neuron, since OpenBLAS's order of summation depends on the row.
    """

    LEFT = 156  # OBD at sparsity 0.95 on digits, with the places that the same bits ask for

    def __init__(self, features: int, batch: int, _: int):
        first, second = WIDTHS
        self.inputs = torch.randn(REPLICATES, batch, features)
        self.after = torch.randn(REPLICATES, batch, second)
        self.every = self._draws(batch, features, first, second)
        self.some = self._draws(batch, features, self.LEFT, second)
        chosen = torch.arange(self.LEFT).expand(REPLICATES, batch, self.LEFT)
        self.chosen, self.rows = chosen, torch.zeros(REPLICATES, batch, first)

    @staticmethod
    def _draws(batch: int, features: int, first: int, second: int) -> list[Tensor]:
        shapes = ((first, features), (second, first), (batch, first))
        return [torch.randn(REPLICATES, *shape) for shape in shapes]

    def all(self) -> None:
        self._step(*self.every, spread=False)

    def fewer(self) -> None:
        self._step(*self.some, spread=True)

    def _step(self, one: Tensor, two: Tensor, hidden: Tensor, *, spread: bool) -> None:
        products.matmul(self.inputs, one.mT)
        products.matmul(hidden, two.mT)
        products.matmul(self.after.mT, hidden)
        rows = products.matmul(self.after, two)
        if spread:
            rows = self.rows.scatter_(2, self.chosen, rows)
        products.matmul(rows.mT, self.inputs)


def measure(options: argparse.Namespace) -> list[common.Row]:
    rounds = 2 if options.quick else ROUNDS
    rows: list[common.Row] = []

    def compare(what: str, works: Works, against: str, times: int) -> None:
        many = {name: repeated(work, times) for name, work in works.items()}
        seconds = common.by_turns(many, rounds)
        taken, other = ([1000 * s / times for s in seconds[name]] for name in ("taken", "not"))
        rows.append(common.compared(3, what, taken, against, other, unit="ms"))

    for features, batch, examples, times in TASKS:
        sizes = (features, batch, examples)
        name = f"{REPLICATES} x {features}-300-100-10"
        compare(f"{name}: batch by index_select", gathered(*sizes), "indexing", times)
        compare(f"{name}: 10 steps, stacked", stacked(*sizes), "in turn", max(1, times // 10))
        multiplied = Multiplied(*sizes)
        works: Works = {"taken": multiplied.all, "not": multiplied.fewer}
        against = f"of {Multiplied.LEFT} of the first {WIDTHS[0]}"
        compare(f"{name}: products of all neurons", works, against, times)
        numbers = REPLICATES * (features * 300 + 300 * 100 + 100 * 10 + 410)
        for sparsity in SPARSITIES:
            adam_step = Updated(numbers, sparsity)
            works = {"taken": adam_step.survivors, "not": adam_step.all}
            what = f"{name}: Adam of the survivors of sparsity {sparsity}"
            compare(what, works, "Adam of all, gradient masked", times)
    return rows


if __name__ == "__main__":
    common.main(measure, common.parser(__doc__))
