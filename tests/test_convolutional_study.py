"""Studies of convolutional networks through Snakemake: every criterion at both levels, batch
normalisation, augmentation, quantization; on scikit-learn's digits, which need no download.
"""

import csv
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from conftest import begin, snakemake
from minified import study
from minified.criteria import CRITERIA, LEVELS
from minified.jobs.context import Context
from minified.networks import chains

pytestmark = pytest.mark.slow

STUDY = """\
NETWORK
replicates: 2
recipes:
  baseline: &short
    {learning_rate: 0.01, epochs: 2, batch_size: 64, augmentation: crop_flip, batch_norm: NORM}
  fine_tune: *short
  scratch: *short
  rewind: *short
  quantization: *short
data: {saliency_examples: 100, training_examples: 500}
grid:
  parameter:
    criteria: PARAMETER
    sparsities: [0.99]
    regimes: [fine_tune, scratch, rewind]
    scope: global
  neuron:
    criteria: NEURON
    sparsities: [0.5]
    regimes: [fine_tune, scratch]
    scope: layer
  quantization:
    bits: [3]
    regimes: [none, fine_tune]
damage: {units: 5}
"""
METHODS = {
    level: [name for name, criterion in CRITERIA.items() if level in criterion.levels]
    for level in LEVELS
}
FEW = {"parameter": ["magnitude", "obd_sd"], "neuron": ["obd", "merging"]}
VGG = ("{name: vgg, channels: [[4, 6], [8]], widths: [10]}", "re_estimate")
LENET5 = ("{name: lenet5, channels: [5], widths: [12]}", "train")
KINDS = {
    "vgg": (*VGG, METHODS),
    "lenet5": (*LENET5, FEW),
    "lenet5, every criterion": (*LENET5, METHODS),
}


@pytest.fixture(
    scope="module",
    params=["vgg", "lenet5", pytest.param("lenet5, every criterion", marks=pytest.mark.campaign)],
)
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    network, batch_norm, methods = KINDS[request.param]
    text = STUDY.replace("NETWORK", f"network: {network}").replace("NORM", batch_norm)
    for level, names in methods.items():
        text = text.replace(level.upper(), f"[{', '.join(names)}]")
    folder = begin(tmp_path_factory.mktemp(request.param.partition(",")[0]), text)
    run = snakemake(folder)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-6000:]
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "results/small/tables/results.csv", newline="") as file:
        return list(csv.DictReader(file))


def networks(folder: Path, row: dict[str, str]) -> dict[str, torch.Tensor]:
    place = row["sparsity"] or row["bits"]
    where = f"results/small/{row['method']}/{place}/{row['regime']}.safetensors"
    begins = f"{row['replicate']}/"
    kept = load_file(folder / where).items()
    return {name.removeprefix(begins): t for name, t in kept if name.startswith(begins)}


def test_every_job_has_its_rows_and_every_figure_is_drawn(finished: Path) -> None:
    jobs = list(study.load(finished / "config" / "small.yaml").jobs())
    text = (finished / "config" / "small.yaml").read_text()
    methods = METHODS if "kfac" in text else FEW
    assert len(jobs) == len(methods["parameter"]) * 3 + len(methods["neuron"]) * 2 + 2
    assert len(rows(finished)) == 2 * (len(jobs) + 1)
    assert (finished / "figures" / "small" / "claims.png").stat().st_size > 0


def test_removed_weights_of_convolutions_are_zero_after_training(finished: Path) -> None:
    for row in (row for row in rows(finished) if row["level"] == "parameter"):
        weights = [t for t in networks(finished, row).values() if t.dim() > 1]
        total = sum(weight.numel() for weight in weights)
        zero = sum(int((weight == 0).sum()) for weight in weights)
        assert zero == round(0.99 * total)
        assert zero / total == float(row["sparsity_achieved"])


def test_removed_channels_are_gone_with_all_that_belongs_to_them(finished: Path) -> None:
    loaded = study.load(finished / "config" / "small.yaml")
    context = Context(loaded, study.Paths("small", finished / "results"))
    assert len(context.data.training) == 500
    widths = {layer.name: layer.neurons for layer in chains.read(context.build()).hidden}
    for row in (row for row in rows(finished) if row["level"] == "neuron"):
        kept = dict(word.split(":") for word in row["neurons_kept"].split())
        assert {name: int(n) for name, n in kept.items()} == {
            name: n - round(0.5 * n) for name, n in widths.items()
        }
        state = networks(finished, row)
        assert int(row["parameters_kept"]) == sum(
            t.numel() for name, t in state.items() if name.endswith(("weight", "bias"))
        )
        # Three passes' worth over 500 examples, two epochs.
        assert int(row["training_flops"]) == 3 * int(row["flops_dense"]) * 500 * 2


def test_normalisation_is_retrained_and_its_statistics_are_kept(finished: Path) -> None:
    normalised = "vgg" in (finished / "config" / "small.yaml").read_text()
    baselines = load_file(finished / "results/small/baseline.safetensors")
    fine_tuned = [row for row in rows(finished) if row["regime"] == "fine_tune"]
    # Those that lost no weight: behind one that lost all, normalisation has nothing to learn.
    for row in (row for row in fine_tuned if row["method"] == "quantization"):
        state = networks(finished, row)
        norms = [name.rpartition(".")[0] for name in state if name.endswith("running_mean")]
        assert len(norms) == (3 if normalised else 0)
        for norm in norms:
            for part in ("weight", "bias", "running_mean", "running_var"):
                before = baselines[f"{row['replicate']}/final/{norm}.{part}"]
                assert not torch.equal(state[f"{norm}.{part}"], before), (norm, part)
