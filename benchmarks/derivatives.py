"""Goal 4: OBD and all its readings in one pass, against BackPACK's exact Gauss-Newton diagonal.

`criteria.derivatives` on LeNet-300-100 and 1,000 examples of 784 numbers; one thread, portable
arithmetic, by turns; memory in fresh processes, beyond what they had before the call.
Run as `python benchmarks/derivatives.py`; `... derivatives.py memory ours` measures one peak.
"""

import argparse
import copy
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import common
from common import Row

from minified.foundations import arithmetic

arithmetic.fix(1, "portable")

import torch  # noqa: E402
from backpack import backpack, extend  # noqa: E402
from backpack.extensions import BatchDiagGGNExact, DiagGGNExact  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from minified import networks  # noqa: E402
from minified.criteria.derivatives import derivatives  # noqa: E402
from minified.foundations import products  # noqa: E402

EXAMPLES = 1000
FEATURES = 784
# torch.func keeps every class's derivative of every example: few at a time, few in all.
FUNC_EXAMPLES = 100
FUNC_CHUNK = 25
ROUNDS = 7
MEGABYTE = 1e6
Curvatures = dict[str, Tensor]
Work = Callable[[Tensor, Tensor], Curvatures]

warnings.filterwarnings("ignore", message="Full backward hook is firing")


def network() -> nn.Module:
    lenet = networks.build("mlp", (FEATURES,), 10, widths=[300, 100])
    return networks.initialise(lenet, 0).eval()


def examples(count: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(count, FEATURES, generator=generator)
    return inputs, torch.randint(0, 10, (count,), generator=generator)


def ours(level: str) -> Work:
    lenet = network()

    def work(inputs: Tensor, targets: Tensor) -> Curvatures:
        by_layer = derivatives(lenet, inputs, targets, level)
        return {name: values.curvature for name, values in by_layer.items()}

    return work


def by_backpack(extension: type, attribute: str, dtype: torch.dtype = torch.float32) -> Work:
    lenet = extend(copy.deepcopy(network()).to(dtype))
    criterion = extend(nn.CrossEntropyLoss())

    def work(inputs: Tensor, targets: Tensor) -> Curvatures:
        lenet.zero_grad()
        with backpack(extension()):
            criterion(lenet(inputs.to(dtype)), targets).backward()
        weights = {n: p for n, p in lenet.named_parameters() if n.endswith("weight")}
        curvatures = {name: getattr(weight, attribute) for name, weight in weights.items()}
        for parameter in lenet.parameters():
            delattr(parameter, attribute)  # else it would take memory during the next call
        return curvatures

    return work


@torch.no_grad()
def bare_products(inputs: Tensor, targets: Tensor) -> Curvatures:
    """What ours multiplies: forward, all gradients backward, four sums per layer in float64."""
    weights = list(networks.prunable(network()).values())
    read = inputs
    for i, weight in enumerate(weights):
        gradients = torch.ones(11 * len(inputs), len(weight))
        if i > 0:
            products.matmul(gradients, weight)
        spread = gradients[: len(inputs)].double()
        for _ in range(4):
            products.matmul(spread.mT, read.double())
        read = products.matmul(read, weight.mT)
    return {}


def by_torch_func(inputs: Tensor, targets: Tensor) -> Curvatures:
    """Each example's Jacobian of the logits, times the root of the loss's second derivative."""
    lenet = network()
    weights = {n: p.detach() for n, p in lenet.named_parameters() if n.endswith("weight")}

    def logits(chosen: dict[str, Tensor], example: Tensor) -> Tensor:
        return torch.func.functional_call(lenet, chosen, (example,))

    jacobian = torch.func.vmap(torch.func.jacrev(logits), in_dims=(None, 0))
    sums = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for chunk in inputs.split(FUNC_CHUNK):
        p = lenet(chunk).detach().softmax(1)
        root = torch.diag_embed(p.sqrt()) - p.unsqueeze(2) * p.sqrt().unsqueeze(1)
        for name, each in jacobian(weights, chunk).items():
            sums[name] += (root.mT @ each.flatten(2)).square().sum((0, 1)).view_as(sums[name])
    return {name: total / len(inputs) for name, total in sums.items()}


WORKS: dict[str, Callable[[], Work]] = {
    "ours": lambda: ours("parameter"),
    "ours, neurons": lambda: ours("neuron"),
    "BackPACK": lambda: by_backpack(DiagGGNExact, "diag_ggn_exact"),
    "BackPACK, float64": lambda: by_backpack(DiagGGNExact, "diag_ggn_exact", torch.float64),
    "BackPACK, each example": lambda: by_backpack(BatchDiagGGNExact, "diag_ggn_exact_batch"),
    "products": lambda: bare_products,
    "torch.func": lambda: by_torch_func,
}


def check(curvatures: Curvatures, truth: Curvatures) -> None:
    for name, expected in truth.items():
        error = float(((curvatures[name] - expected).abs().max() / expected.abs().max()).detach())
        if error > 1e-4:
            sys.exit(f"{name}: {error:.1e} from the peer's curvature")


def memory(name: str) -> float:
    """Bytes by which this process's peak grows in one call, after a tiny one."""
    work = WORKS[name]()
    work(*examples(8))
    inputs, targets = examples(EXAMPLES)
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = common.status("VmHWM")
    work(inputs, targets)
    return common.status("VmHWM") - before


def peak(name: str) -> float:
    """`memory` in a fresh process, in MB."""
    command = [sys.executable, __file__, "memory", name]
    return float(subprocess.check_output(command, text=True)) / MEGABYTE


def measure(options: argparse.Namespace) -> list[Row]:
    data, few = examples(EXAMPLES), examples(FUNC_EXAMPLES)
    works = {name: make() for name, make in WORKS.items()}
    check(works["ours"](*few), works["BackPACK"](*few))
    check(works["ours"](*few), works["torch.func"](*few))
    taken = {name: few if name == "torch.func" else data for name in works}
    calls = {name: lambda name=name: works[name](*taken[name]) for name in works}
    seconds = common.by_turns(calls, 2 if options.quick else ROUNDS)
    scaled = [one * EXAMPLES / FUNC_EXAMPLES for one in seconds["torch.func"]]

    work = f"OBD, all readings of every weight, LeNet-300-100, {EXAMPLES:,} examples"
    peaks = {name: peak(name) for name in ("ours", "BackPACK", "BackPACK, each example")}
    mine, peer = seconds["ours"], "BackPACK's DiagGGNExact (one reading)"
    each = "BackPACK's BatchDiagGGNExact (each example's)"
    func = f"torch.func's Jacobians, scaled from {FUNC_EXAMPLES} examples"
    return [
        common.compared(4, work, mine, peer, seconds["BackPACK"], least=3, faster=True),
        Row(4, f"{work}: peak", peaks["ours"], "MB", peer, peaks["BackPACK"], most=1),
        common.compared(
            4, work, mine, f"{peer} in float64", seconds["BackPACK, float64"], faster=True
        ),
        common.compared(4, work, mine, "its matrix products", seconds["products"]),
        common.compared(4, work, mine, each, seconds["BackPACK, each example"], faster=True),
        Row(4, f"{work}: peak", peaks["ours"], "MB", each, peaks["BackPACK, each example"]),
        common.compared(4, work, mine, func, scaled, faster=True),
        common.compared(
            4,
            work.replace("weight", "neuron"),
            seconds["ours, neurons"],
            "every weight",
            mine,
            faster=True,
        ),
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["memory"]:
        print(memory(sys.argv[2]))
    else:
        common.main(measure, common.parser(__doc__))
