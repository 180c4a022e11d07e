"""Goal 9: OBD's derivatives of convolutions, against BackPACK's exact Gauss-Newton diagonal.

`criteria.derivatives` on LeNet-5 (28 x 28) and VGG-16 with batch normalisation (32 x 32): all four
readings in one pass, where BackPACK gives one. One thread, portable arithmetic, by turns; BackPACK
takes as many examples at once as make it fastest here. The peak of memory is that of a fresh
process, interpreter and libraries included, for 1,000 examples of VGG-16.
Run as `python benchmarks/convolutions.py`; `... convolutions.py memory` measures the peak alone.
"""

import argparse
import copy
import subprocess
import sys
import warnings

import common
from common import Row

from minified.foundations import arithmetic

arithmetic.fix(1, "portable")

import torch  # noqa: E402
from backpack import backpack, extend  # noqa: E402
from backpack.extensions import DiagGGNExact  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from minified import networks  # noqa: E402
from minified.criteria.derivatives import derivatives  # noqa: E402

# Name, shape, examples, BackPACK's examples at once (it was fastest with these), rounds.
TASKS = (
    ("lenet5", "LeNet-5", (1, 28, 28), 1000, 50, 7),
    ("vgg", "VGG-16", (3, 32, 32), 16, 4, 3),
)
EXAMPLES = 1000
Curvatures = dict[str, Tensor]

warnings.filterwarnings("ignore", message="Full backward hook is firing")


def network(name: str, shape: tuple[int, ...]) -> nn.Module:
    return networks.initialise(networks.build(name, shape, 10), 0).eval()


def examples(shape: tuple[int, ...], count: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(count, *shape, generator=generator)
    return inputs, torch.randint(0, 10, (count,), generator=generator)


def by_backpack(whole: nn.Module, inputs: Tensor, targets: Tensor, at_once: int) -> Curvatures:
    """The mean of h over all examples, from that of each batch."""
    twin, criterion = extend(copy.deepcopy(whole)), extend(nn.CrossEntropyLoss())
    mean: Curvatures = {}
    for some, theirs in zip(inputs.split(at_once), targets.split(at_once), strict=True):
        with backpack(DiagGGNExact()):
            criterion(twin(some), theirs).backward()
        for key, parameter in twin.named_parameters():
            if parameter.dim() > 1:
                part = parameter.diag_ggn_exact * (len(some) / len(inputs))
                mean[key] = mean[key] + part if key in mean else part
            del parameter.diag_ggn_exact
            parameter.grad = None
    return mean


def check(curvatures: Curvatures, truth: Curvatures) -> None:
    for name, expected in truth.items():
        error = float(((curvatures[name] - expected).abs().max() / expected.abs().max()).detach())
        if error > 1e-4:
            sys.exit(f"{name}: {error:.1e} from BackPACK's")


def compare(
    name: str, title: str, shape: tuple[int, ...], count: int, at_once: int, rounds: int
) -> list[Row]:
    whole, (inputs, targets) = network(name, shape), examples(shape, count)

    def ours(level: str = "parameter") -> Curvatures:
        by_layer = derivatives(whole, inputs, targets, level)
        return {key: values.curvature for key, values in by_layer.items()}

    def theirs() -> Curvatures:
        return by_backpack(whole, inputs, targets, at_once)

    check(ours(), theirs())
    works = {"ours": ours, "neurons": lambda: ours("neuron"), "theirs": theirs}
    seconds = common.by_turns(works, rounds)
    work = f"OBD, all readings of every {{}}, {title}, {count:,} examples"
    peer = "BackPACK's DiagGGNExact (one reading)"
    mine, gates = seconds["ours"], seconds["neurons"]
    return [
        common.compared(
            9, work.format("weight"), mine, peer, seconds["theirs"], least=1, faster=True
        ),
        common.compared(9, work.format("neuron"), gates, "every weight", mine, faster=True),
    ]


def measure(options: argparse.Namespace) -> list[Row]:
    rows = []
    for name, title, shape, count, at_once, rounds in TASKS:
        count, rounds = (8, 1) if options.quick else (count, rounds)
        rows += compare(name, title, shape, count, at_once, rounds)
    count = 8 if options.quick else EXAMPLES
    command = [sys.executable, __file__, "memory", str(count)]
    peak = float(subprocess.check_output(command, text=True)) / 2**20
    work = f"OBD, all readings of every weight, VGG-16, {count:,} examples: peak of the process"
    return [*rows, Row(9, work, peak, "MiB", most=2048)]


if __name__ == "__main__":
    if sys.argv[1:2] == ["memory"]:
        derivatives(
            network("vgg", (3, 32, 32)), *examples((3, 32, 32), int(sys.argv[2])), "parameter"
        )
        print(common.status("VmHWM"))
    else:
        common.main(measure, common.parser(__doc__))
