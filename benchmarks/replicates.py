"""Goal 8: steps per second of `training.fit` by the number of replicates trained together.

LeNet-300-100, batches of 128; two numbers of epochs cancel the set-up of a call. Run as
`python benchmarks/replicates.py --device cpu|cuda` (default: cuda if there is one): prints rows and
writes benchmarks/replicates-DEVICE.csv and .md.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import common
from common import Row

from minified.foundations import arithmetic, files

arithmetic.fix(1, "portable")

import torch  # noqa: E402
from torch import nn  # noqa: E402

from minified import networks, training  # noqa: E402
from minified.data import Split  # noqa: E402
from minified.study import Recipe  # noqa: E402

REPLICATES = (1, 5, 20, 100)
FEATURES = 784
EXAMPLES = 2_560
BATCH = 128
# Few and many epochs; the difference in time is what counts.
EPOCHS = {"cpu": (1, 3), "cuda": (5, 25)}
ROUNDS = 3
COLUMNS = ("replicates", "ms a step", "steps per second", "steps x replicates per second", "gain")


def examples(device: str) -> Split:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(EXAMPLES, FEATURES, generator=generator)
    targets = torch.randint(0, 10, (EXAMPLES,), generator=generator)
    return Split(inputs.to(device), targets.to(device))


def untrained(count: int, device: str) -> list[nn.Module]:
    built = [networks.build("mlp", (FEATURES,), 10, widths=[300, 100]) for _ in range(count)]
    return [networks.initialise(network, seed).to(device) for seed, network in enumerate(built)]


def synchronised() -> float:
    """The time, once the device has finished its work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def seconds_per_step(count: int, device: str, split: Split, rounds: int) -> float:
    few, many = EPOCHS[device]
    start = untrained(count, device)

    def fit(epochs: int) -> Callable[[], object]:
        recipe = Recipe(learning_rate=0.001, epochs=epochs, batch_size=BATCH)
        return lambda: training.fit(training.clones(start), split, recipe)

    seconds = common.by_turns({"few": fit(few), "many": fit(many)}, rounds, synchronised)
    steps = (many - few) * -(-EXAMPLES // BATCH)
    return median(b - a for a, b in zip(seconds["few"], seconds["many"], strict=True)) / steps


def name_of(device: str) -> str:
    if device == "cuda":
        return (
            f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, beside {common.machine()}"
        )
    return f"one thread of {common.machine()}"


def write(device: str, seconds: dict[int, float]) -> None:
    rows = []
    for count, one in seconds.items():
        gain = count * seconds[1] / one
        cells = (count, f"{1000 * one:.3f}", f"{1 / one:.1f}", f"{count / one:.0f}", f"{gain:.2f}")
        rows.append(dict(zip(COLUMNS, map(str, cells), strict=True)))
    file = common.FOLDER / f"replicates-{device}.csv"
    files.write_rows(file, COLUMNS, rows, checksum=False)
    text = (
        f"# Replicates trained together, on {device}\n\n`training.fit` of LeNet-300-100 (784"
        f" inputs, batches of {BATCH}), measured on {name_of(device)}. `gain`: steps x replicates"
        f" per second to those of one replicate. Median of {ROUNDS} rounds, by the clock. Made by"
        f" `python benchmarks/replicates.py --device {device}`.\n\n"
    )
    text += common.markdown(COLUMNS, rows)
    files.write_text(file.with_suffix(".md"), common.wrapped(text), checksum=False)


def measure(options: argparse.Namespace) -> list[Row]:
    device = options.device
    split = examples(device)
    counts = REPLICATES[:3] if options.quick else REPLICATES
    rounds = 1 if options.quick else ROUNDS
    seconds = {count: seconds_per_step(count, device, split, rounds) for count in counts}
    if not options.quick:
        write(device, seconds)
    return [
        Row(
            8,
            f"LeNet-300-100 on {device}, {count} replicates",
            count / one,
            "replicate steps per s",
            against="one replicate" if count > 1 else "",
            theirs=1 / seconds[1] if count > 1 else None,
        )
        for count, one in seconds.items()
    ]


if __name__ == "__main__":
    options = common.parser(__doc__)
    default = "cuda" if torch.cuda.is_available() else "cpu"
    options.add_argument("--device", choices=list(EPOCHS), default=default)
    common.main(measure, options)
