"""What pinning the instruction sets does to bits and speed, on the machine it runs on.

Run as `python benchmarks/instruction_sets.py` (three minutes, one core): prints a table and writes
it to benchmarks/instruction_sets.csv and .md. Torch and its libraries read these variables once,
so each variant runs in fresh processes with nothing else in their environment, by turns.
`python benchmarks/instruction_sets.py work` does the work once, under whatever is set, and prints
seconds and hashes as JSON: run it on two machines to compare their bits.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import torch
from common import machine, wrapped
from torch import Tensor, nn

from minified import criteria, networks, training
from minified.data import Split
from minified.foundations import files
from minified.study import Recipe

ROUNDS = 5
VARIABLES = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "OPENBLAS_CORETYPE", "MKL_CBWR")
REFERENCE = "fast"
# `fast` and `portable` are what minified.foundations.arithmetic pins.
VARIANTS = {
    "native": ("", "", "", ""),
    REFERENCE: ("avx2", "AVX2", "Haswell", "AVX2"),
    "fast but for OpenBLAS": ("avx2", "AVX2", "", "AVX2"),
    "fast but for MKL": ("avx2", "AVX2", "Haswell", ""),
    "portable": ("avx2", "AVX2", "Haswell", "COMPATIBLE"),
    "lowest": ("default", "SSE41", "Prescott", "COMPATIBLE"),
}
COLUMNS = ("variant", "work", "seconds", "ratio", "hash", "equal")
Measured = dict[str, tuple[float, str]]


def examples(count: int, *shape: int) -> Split:
    """Random images and classes."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.rand(count, *shape, generator=generator)
    return Split(inputs, torch.randint(0, 10, (count,), generator=generator))


def trained(chains: list[nn.Module], split: Split, batch: int, epochs: int) -> dict[str, Tensor]:
    """The weights of `chains` after initialisation and `training.fit`."""
    for seed, network in enumerate(chains):
        networks.initialise(network, seed)
    training.fit(chains, split, Recipe(learning_rate=0.01, epochs=epochs, batch_size=batch))
    states = {str(i): network.state_dict() for i, network in enumerate(chains)}
    return {f"{i}/{name}": state[name] for i, state in states.items() for name in state}


def works() -> dict[str, Callable[[], Mapping[str, Tensor]]]:
    """The pieces of work; each returns the tensors whose bits are compared."""
    digits, images = examples(1078, 1, 8, 8), examples(1280, 1, 28, 28)

    def mlps(split: Split, count: int) -> list[nn.Module]:
        shape = split.inputs.shape[1:]
        return [networks.build("mlp", shape, 10, widths=[300, 100]) for _ in range(count)]

    def convolutional() -> nn.Module:
        first = (nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
        second = (nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2))
        return nn.Sequential(*first, *second, nn.Flatten(), nn.Linear(784, 10))

    dense = networks.initialise(mlps(images, 1)[0], 0)
    return {
        "fit 5 MLPs 64-300-100-10": lambda: trained(mlps(digits, 5), digits, 64, 6),
        "fit 5 MLPs 784-300-100-10": lambda: trained(mlps(images, 5), images, 128, 2),
        "score an MLP 784-300-100-10 by parameter-obd": lambda: criteria.score(
            "parameter-obd", dense, images.inputs, images.targets, 0
        ),
        "fit a convolutional network": lambda: trained([convolutional()], images.first(640), 64, 2),
    }


def work() -> Measured:
    """Processor seconds and hash of each piece, after a warm-up that must give the same bits."""
    torch.set_num_threads(1)
    torch.set_deterministic_debug_mode("error")
    measured: Measured = {}
    for name, run in works().items():
        hashes: list[str] = []
        for _ in range(2):
            start = time.process_time()
            tensors = run()
            seconds = time.process_time() - start
            bits = [key.encode() + tensor.numpy().tobytes() for key, tensor in tensors.items()]
            hashes.append(hashlib.sha256(b"".join(bits)).hexdigest())
        measured[name] = (seconds, hashes[0] if hashes[0] == hashes[1] else "not repeatable")
    return measured


def in_fresh_process(variant: str) -> Measured:
    """`work` with one thread and the variant's variables, and nothing else, in the environment."""
    environment = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    environment |= {k: v for k, v in zip(VARIABLES, VARIANTS[variant], strict=True) if v}
    command = [sys.executable, __file__, "work"]
    return json.loads(subprocess.check_output(command, env=environment, text=True))


def compare() -> list[tuple[str, ...]]:
    """A row per variant and piece of work."""
    rounds = [{variant: in_fresh_process(variant) for variant in VARIANTS} for _ in range(ROUNDS)]
    rows: list[tuple[str, ...]] = []
    for variant in VARIANTS:
        for piece in rounds[0][variant]:
            runs = [(*one[variant][piece], *one[REFERENCE][piece]) for one in rounds]
            seconds = f"{median(run[0] for run in runs):.3f}"
            ratio = f"{median(run[0] / run[2] for run in runs):.2f}"
            hashes = {run[1] for run in runs}
            digest = hashes.pop()[:12] if len(hashes) == 1 else "not repeatable"
            equal = "yes" if all(run[1] == run[3] for run in runs) else "no"
            rows.append((variant, piece, seconds, ratio, digest, equal))
    return rows


def main() -> None:
    """Compare the variants; print and write the table."""
    rows = compare()
    names = [(name, *(value or "unset" for value in values)) for name, values in VARIANTS.items()]
    pins = [("variant", *VARIABLES), ("---",) * (1 + len(VARIABLES)), *names]
    shown = [COLUMNS, ("---",) * len(COLUMNS), *rows]
    text = (
        f"# Instruction sets: bits and speed\n\nMeasured on {machine()}. `seconds`: of processor"
        f" time, one thread, median of {ROUNDS} rounds, after a warm-up; `ratio`: to those of"
        f" `{REFERENCE}` in the same round; `equal`: whether the bits are that variant's. Made by"
        " `python benchmarks/instruction_sets.py`.\n"
    )
    for table in (pins, shown):
        text += "\n" + "".join(f"| {' | '.join(row)} |\n" for row in table)
    print(text)
    file = Path(__file__).with_suffix(".csv")
    named = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    files.write_rows(file, COLUMNS, named, checksum=False)
    files.write_text(file.with_suffix(".md"), wrapped(text), checksum=False)


if __name__ == "__main__":
    if sys.argv[1:] == ["work"]:
        print(json.dumps(work()))
    else:
        main()
