"""`obd_squared` and `kfac` against BackPACK's SumGradSquared and KFLR, in one run.

LeNet-300-100 and 1,000 examples of 784 numbers; one thread, portable arithmetic, by turns; memory
in fresh processes, beyond what they had before the call. Biases are 0, since KFLR's factor of the
inputs has no 1 for them: so both give the same numbers, which is checked first.
Run as `python benchmarks/criteria.py` (half a minute): prints the rows and writes criteria.csv and
.md; `... criteria.py memory kfac` measures one peak.
"""

import argparse
import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import common
import derivatives as goal  # it fixes the arithmetic before torch is imported
from common import Row

import torch  # isort: skip
from backpack import backpack, extend
from backpack.extensions import KFLR, DiagGGNExact, SumGradSquared
from torch import Tensor, nn

from minified.criteria import score
from minified.criteria.derivatives import derivatives
from minified.foundations import files

COLUMNS = ("work", "ours", "against", "theirs", "unit", "ratio")
Work = Callable[[Tensor, Tensor], dict[str, Tensor]]


def network() -> nn.Module:
    lenet = goal.network()
    with torch.no_grad():
        for name, parameter in lenet.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
    return lenet


def squared() -> Work:
    """All that `derivatives` computes in its one pass, of which obd_squared uses one quantity."""
    lenet = network()
    return lambda inputs, targets: {
        name: values.squared
        for name, values in derivatives(lenet, inputs, targets, "parameter").items()
    }


def kfac() -> Work:
    lenet = network()
    return lambda inputs, targets: score("neuron-kfac", lenet, inputs, targets, seed=0)


def by_backpack(*extensions: type) -> Work:
    """What the first of the extensions saves with each weight."""
    lenet, criterion = extend(copy.deepcopy(network())), extend(nn.CrossEntropyLoss())
    used = [extension() for extension in extensions]

    def work(inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        lenet.zero_grad()
        with backpack(*used):
            criterion(lenet(inputs), targets).backward()
        saved = {
            name: getattr(parameter, used[0].savefield)
            for name, parameter in lenet.named_parameters()
            if name.endswith("weight")
        }
        for parameter in lenet.parameters():
            for extension in used:
                delattr(parameter, extension.savefield)  # else it would take memory next time
        return saved

    return work


WORKS: dict[str, Callable[[], Work]] = {
    "squared": squared,
    "kfac": kfac,
    "SumGradSquared": lambda: by_backpack(SumGradSquared),
    "SumGradSquared, DiagGGNExact": lambda: by_backpack(SumGradSquared, DiagGGNExact),
    "KFLR": lambda: by_backpack(KFLR),
}


def check(works: dict[str, Work]) -> None:
    """End if the two do not give the same numbers."""
    data = goal.examples(100)
    # BackPACK's gradients are those of l_n / N, and their squares are summed.
    peer = works["SumGradSquared"](*data)
    goal.check(works["squared"](*data), {name: 100 * one for name, one in peer.items()})
    weights = dict(network().named_parameters())
    expected = {}
    for name, (g, a) in works["KFLR"](*data).items():
        w = weights[name].detach()
        damage = g.diagonal() / 2 * torch.einsum("ji,ik,jk->j", w, a, w)
        expected[name.removesuffix(".weight")] = damage
    found = works["kfac"](*data)
    goal.check(found, {name: expected[name] for name in found})


def peak(name: str) -> float:
    """MB by which a fresh process's peak grows in one call, after a tiny one."""
    command = [sys.executable, __file__, "memory", name]
    return float(subprocess.check_output(command, text=True)) / goal.MEGABYTE


def memory(name: str) -> float:
    work = WORKS[name]()
    work(*goal.examples(8))
    data = goal.examples(goal.EXAMPLES)
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = common.status("VmHWM")
    work(*data)
    return common.status("VmHWM") - before


def measure(options: argparse.Namespace) -> list[Row]:
    data = goal.examples(goal.EXAMPLES)
    works = {name: make() for name, make in WORKS.items()}
    check(works)
    calls = {name: lambda name=name: works[name](*data) for name in works}
    seconds = common.by_turns(calls, 2 if options.quick else goal.ROUNDS)
    of = f"LeNet-300-100, {goal.EXAMPLES:,} examples"
    peaks = {name: peak(name) for name in WORKS}
    every, one = f"obd_squared, with all other readings: {of}", f"kfac: {of}"
    rows = []
    for mine, work, peer in (
        ("squared", every, "SumGradSquared"),
        ("squared", every, "SumGradSquared, DiagGGNExact"),
        ("kfac", one, "KFLR"),
    ):
        against = f"BackPACK's {peer.replace(', ', ' and ')}"
        rows += [
            common.compared(4, work, seconds[mine], against, seconds[peer]),
            Row(4, f"{work}: peak", peaks[mine], "MB", against, peaks[peer]),
        ]
    others = "obd_squared, with all other readings"
    rows.append(common.compared(4, one, seconds["kfac"], others, seconds["squared"]))
    if not options.quick:
        write([row.cells() for row in rows])
    return rows


def write(rows: list[dict[str, str]]) -> None:
    file = Path(__file__).with_suffix(".csv")
    named = [{key: row[key] for key in COLUMNS} | {"machine": common.machine()} for row in rows]
    files.write_rows(file, (*COLUMNS, "machine"), named, checksum=False)
    text = (
        f"# New criteria beside BackPACK's\n\nMeasured on {common.machine()}. Made by `python"
        " benchmarks/criteria.py`.\n\n`ours` and `theirs` are medians of rounds by turns, in"
        " processor seconds of one thread, `ratio` the median of the rounds' own ratios of ours to"
        " theirs; peaks are of fresh processes. One pass of ours computes what all five criteria of"
        " the OBD family need, with one gradient back per class and one of the loss in float64"
        " sums; SumGradSquared takes the loss's gradient alone, in float32. kfac stores no factor;"
        " KFLR returns those of the inputs and of the logits' layer, too.\n\n"
        f"{common.markdown(COLUMNS, named)}"
    )
    files.write_text(file.with_suffix(".md"), common.wrapped(text), checksum=False)


if __name__ == "__main__":
    if sys.argv[1:2] == ["memory"]:
        print(memory(sys.argv[2]))
    else:
        common.main(measure, common.parser(__doc__))
