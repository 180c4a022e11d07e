"""What each study of config/ is expected to take on a cluster, and an ImageNet-sized one.

Run as `python benchmarks/sizing.py`: writes benchmarks/sizing.csv and .md. Nothing is measured
here: the numbers follow from src/minified/run/costs.py, whose constants were fitted to the measured
jobs of the committed studies. The last row is an extrapolation by floating-point operations.
"""

from pathlib import Path

import common

from minified.foundations import files
from minified.run import costs, submissions
from minified.run.submissions import duration
from minified.study import studies
from minified.study.paths import Paths

STUDIES = (
    *("digits", "mnist", "fashion_mnist", "digits_specifications", "fashion_specifications"),
    *("mnist_lenet5", "cifar10_small"),
)
COLUMNS = ("study", "jobs", "submissions", "core_hours", "largest_job_gb", "disk_gb")

# ResNet-50 on ImageNet: He et al. 2016, arXiv 1512.03385, table 1 (multiply-adds); 25,557,032
# parameters in torchvision; 1,281,167 training images.
FLOPS, PARAMETERS, IMAGES = 2 * 3.8e9, 25_557_032, 1_281_167
EPOCHS, REPLICATES, SPECIFICATIONS, NODES = 90, 3, 60, 100
# The grid of config/digits_specifications.yaml, of which a specification shares about 4 jobs in 5.
JOBS_OF_ONE, NEW = 148, 0.22
GPU = 6e13
"""Operations per second in training ResNet-50 on one H100, in bfloat16: about 2,600 images/s."""


def row(name: str) -> dict[str, str]:
    """One study of config/."""
    study = studies.load(Path(__file__).parent.parent / "config" / f"{name}.yaml")
    sized = submissions.sizing(study, Paths(name))
    return {
        "study": name,
        "jobs": str(sized.jobs),
        "submissions": str(sized.submissions),
        "core_hours": f"{sized.seconds / 3600:.2g}",
        "largest_job_gb": f"{sized.memory / 1000:.2g}",
        "disk_gb": f"{sized.disk / 1e9:.2g}",
    }


def imagenet() -> list[str]:
    """The extrapolation, sentence by sentence."""
    training = 3 * FLOPS * IMAGES * EPOCHS
    trainings = JOBS_OF_ONE * REPLICATES * (1 + NEW * (SPECIFICATIONS - 1))
    gpu_hours = training * trainings / GPU / 3600
    core_hours = training * trainings / costs.CONVOLVED / 3600
    networks = 4 * PARAMETERS * trainings / 1e12
    images = 4 * IMAGES * 3 * 224**2 / 1e12
    scores = 4 * PARAMETERS * REPLICATES * 19 / 1e9
    return [
        f"One training is {EPOCHS} epochs of {IMAGES:,} images at {FLOPS / 1e9:.1f} GFLOP, forward"
        f" and twice that backward: {training:.2g} FLOP,"
        f" {duration(training / GPU)} of one H100 at {GPU / 1e12:.0f} TFLOP/s.",
        f"{SPECIFICATIONS} specifications of {JOBS_OF_ONE} jobs, {REPLICATES} replicates each, of"
        f" which {NEW:.0%} are new from the second on: {trainings:,.0f} trainings,"
        f" {gpu_hours:,.0f} GPU hours, or {duration(3600 * gpu_hours / NODES / 8)} on {NODES} nodes"
        f" of 8 GPUs. On cores alone: {core_hours:.2g} core hours, which nobody would wait for.",
        f"The queue sees {trainings / REPLICATES:,.0f} jobs, each longer than ten minutes and so a"
        f" submission of its own, {8 * NODES} at once with `jobs: {8 * NODES}` in the profile.",
        f"Networks, if they are kept: {networks:,.1f} TB. The scores of one specification:"
        f" {scores:,.1f} GB. The images: 0.15 TB.",
        f"What would break first: the prepared data are one file of float32, {images:.2g} TB here,"
        " that every job reads whole into memory. Then, on GPUs, jobs of one replicate after the"
        " other, for which `replicates_per_job: 1` is made. Networks with residual connections are"
        " not known yet. The queue would hold: Slurm's usual limit is 10,000 jobs.",
    ]


def main() -> None:
    """Write both files."""
    rows = [row(name) for name in STUDIES]
    file = Path(__file__).with_suffix(".csv")
    files.write_rows(file, COLUMNS, rows, checksum=False)
    table = [[name.replace("_", " ") for name in COLUMNS], ["---"] * len(COLUMNS)]
    table += [list(one.values()) for one in rows]
    paragraphs = [
        "# What studies take on a cluster",
        "Made by `python benchmarks/sizing.py` from src/minified/run/costs.py, whose constants were"
        " fitted to the measured jobs of the committed studies. mnist_lenet5 and cifar10_small have"
        " never been run whole, and the speed of convolutions is not fitted to a study.",
        "\n".join(f"| {' | '.join(line)} |" for line in table),
        "## An ImageNet-sized study: ResNet-50, 60 specifications, 100 nodes",
        "Extrapolated by floating-point operations; nothing of it has been run.",
        *(f"- {sentence}" for sentence in imagenet()),
    ]
    text = common.wrapped("\n\n".join(paragraphs)) + "\n"
    files.write_text(Path(__file__).with_suffix(".md"), text, checksum=False)


if __name__ == "__main__":
    main()
