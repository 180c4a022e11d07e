"""Goal 5: dropout damage and greedy merging, against the loops that one would write first.

Dropout damage's peer drops one neuron at a time, with a whole pass over the examples for each.
Merging's peer computes the costs of all pairs anew before every merge; its order must be the same.
LeNet-300-100, 1,000 examples; one thread, portable arithmetic. `python benchmarks/neurons.py`.
"""

import argparse
import sys

import common
from common import Row

from minified.foundations import arithmetic

arithmetic.fix(1, "portable")

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from minified import networks  # noqa: E402
from minified.criteria import dropout_damage, merging  # noqa: E402

EXAMPLES = 1000
FEATURES = 784
PASSES = 20
PROBABILITY = 0.1
# Neurons of the layer whose neurons are merged, and seconds allowed.
LIMITS = {300: 1.0, 1024: 20.0}
ROUNDS = 3


def network(width: int) -> nn.Module:
    built = networks.build("mlp", (FEATURES,), 10, widths=[width, 100])
    return networks.initialise(built, 0).eval()


def examples() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(EXAMPLES, FEATURES, generator=generator)
    return inputs, torch.randint(0, 10, (EXAMPLES,), generator=generator)


@torch.no_grad()
def one_by_one(chain: nn.Module, inputs: Tensor, targets: Tensor) -> dict[str, list[float]]:
    """The loss without each hidden neuron, less the loss with all."""

    def loss(layer: int | None = None, neuron: int | None = None) -> float:
        activation = inputs
        for i, module in enumerate(chain):
            activation = module(activation)
            if i == layer:
                activation[:, neuron] = 0.0
        return float(F.cross_entropy(activation, targets))

    whole = loss()
    hidden = [i for i, module in enumerate(chain) if isinstance(module, nn.Linear)][:-1]
    return {str(i): [loss(i + 1, j) - whole for j in range(chain[i].out_features)] for i in hidden}


@torch.no_grad()
def costs_anew(fit: merging.Fit, weights: Tensor) -> list[merging.Merge]:
    """The greedy order, all costs computed before each merge."""
    outgoing = weights.flatten(1).clone()
    neurons = len(outgoing)
    here = torch.ones(neurons, dtype=torch.bool)
    merges = []
    for _ in range(neurons - 1):
        cost = fit.residual * outgoing.square().sum(1, keepdim=True)
        cost.fill_diagonal_(torch.inf)
        cost[~here] = torch.inf
        cost[:, ~here] = torch.inf
        gone, into = divmod(int((cost == cost.min()).flatten().int().argmax()), neurons)
        merges.append(merging.Merge(gone, into))
        outgoing[into] += fit.alpha[gone, into] * outgoing[gone]
        here[gone] = False
    return merges


def damage(rounds: int) -> Row:
    lenet, (inputs, targets) = network(300), examples()

    def ours() -> object:
        generator = torch.Generator().manual_seed(0)
        return dropout_damage.damage_and_error(
            lenet, inputs, targets, generator, probability=PROBABILITY, passes=PASSES
        )

    works = {"ours": ours, "theirs": lambda: one_by_one(lenet, inputs, targets)}
    seconds = common.by_turns(works, rounds)
    return common.compared(
        5,
        f"dropout damage, LeNet-300-100, {EXAMPLES:,} examples, {PASSES} passes",
        seconds["ours"],
        "a pass for each neuron without it",
        seconds["theirs"],
        least=1,
        faster=True,
    )


def merged(width: int, rounds: int) -> list[Row]:
    """Against the limit in seconds, and against the peer; both include the fit of the stand-ins."""
    built, (inputs, _) = network(width), examples()
    orders: dict[str, list[merging.Merge]] = {}

    def ours() -> None:
        orders["ours"] = merging.greedy(*merging.prepare(built, "0", inputs), width - 1)

    def theirs() -> None:
        orders["theirs"] = costs_anew(*merging.prepare(built, "0", inputs))

    seconds = common.by_turns({"ours": ours, "theirs": theirs}, rounds)
    if orders["ours"] != orders["theirs"]:
        sys.exit(f"{width} neurons: the greedy order is not that of costs computed anew")
    work = f"merging all but one of {width:,} neurons, {EXAMPLES:,} examples"
    peer = "all costs anew before each merge"
    row = common.compared(5, work, seconds["ours"], peer, seconds["theirs"], faster=True)
    return [Row(5, work, row.ours, most=LIMITS[width]), row]


def measure(options: argparse.Namespace) -> list[Row]:
    rounds = 1 if options.quick else ROUNDS
    widths = [300] if options.quick else list(LIMITS)
    return [damage(rounds), *(row for width in widths for row in merged(width, rounds))]


if __name__ == "__main__":
    common.main(measure, common.parser(__doc__))
