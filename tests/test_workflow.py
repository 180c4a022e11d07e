"""A small study through Snakemake, from raw data to verdicts, with a criterion of its own."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from conftest import REPOSITORY, SMALL
from minified import study
from minified.analysis import FORMATS, TABLES, figure_names

SNIP = '''\
"""SNIP (Lee et al. 2019, arXiv 1810.02340): the size of weight x gradient."""

import torch
import torch.nn.functional as F

from minified import chains


def snip(level, network, inputs, targets, generator):
    """abs(w dE/dw) of every weight."""
    weights = chains.prunable(network)
    loss = F.cross_entropy(network(inputs), targets)
    gradients = torch.autograd.grad(loss, list(weights.values()))
    return {n: (w * g).abs() for (n, w), g in zip(weights.items(), gradients)}
'''
STUDY = SMALL.replace("criteria: [magnitude, obd_sd]", "criteria: [obd_sd, snip]") + (
    "criteria:\n  snip: {file: snip.py, levels: [parameter]}\n"
)


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [
            *command,
            *("--directory", str(folder), "--cores", "2"),
            *arguments,
            *("--config", "study=config/small.yaml"),
        ],
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": path},
        cwd=REPOSITORY,
    )


def planned(folder: Path) -> dict[str, int]:
    """The rules that a run would execute, with the number of jobs."""
    listing = snakemake(folder, "--dry-run", "--quiet", "host").stdout
    lines = [line.split() for line in listing.splitlines()]
    begin = next((i for i, line in enumerate(lines) if line == ["job", "count"]), None)
    if begin is None:
        assert "Nothing to be done" in listing
        return {}
    found = {}
    for line in lines[begin + 2 :]:
        if line[0] == "total":
            break
        found[line[0]] = int(line[1])
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("workflow")
    (folder / "config").mkdir()
    (folder / "config" / "small.yaml").write_text(STUDY)
    (folder / "config" / "snip.py").write_text(SNIP)
    run = snakemake(folder)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-6000:]
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "results/small/tables/results.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_every_method_sparsity_regime_and_replicate_has_exactly_one_row(finished: Path) -> None:
    loaded = study.load(finished / "config" / "small.yaml")
    expected = [("baseline", "", "train", r) for r in range(3)]
    expected += [(j.method, j.place, j.regime, r) for j in loaded.jobs() for r in range(3)]
    found = [
        (row["method"], row["sparsity"] or row["bits"], row["regime"], int(row["replicate"]))
        for row in rows(finished)
    ]
    assert found == expected
    assert any(method == "parameter-snip" for method, *_ in found)


def test_rows_state_the_sparsity_that_the_kept_networks_have(finished: Path) -> None:
    for row in rows(finished):
        if row["level"] != "parameter":
            continue
        where = f"results/small/{row['method']}/{row['sparsity']}/{row['regime']}.safetensors"
        tensors = load_file(finished / where)
        weights = [
            tensor
            for name, tensor in tensors.items()
            if name.startswith(f"{row['replicate']}/") and name.endswith("weight")
        ]
        total = sum(weight.numel() for weight in weights)
        zero = sum(int((weight == 0).sum()) for weight in weights)
        assert zero / total == float(row["sparsity_achieved"])
        assert zero == round(float(row["sparsity"]) * total)


def test_methods_with_the_same_widths_share_their_scratch_run(finished: Path) -> None:
    scratch = [row for row in rows(finished) if row["regime"] == "scratch"]
    assert len({row["seed"] for row in scratch if row["replicate"] == "0"}) == 1


def test_everything_is_published_and_only_that(finished: Path) -> None:
    loaded = study.load(finished / "config" / "small.yaml")
    published = {
        path.relative_to(finished / "figures/small").as_posix()
        for path in (finished / "figures/small").rglob("*")
        if path.is_file()
    }
    figures = {f"{name}.{kind}" for name in figure_names(loaded) for kind in FORMATS}
    assert published == figures | {f"tables/{name}" for name in TABLES}
    assert len(figure_names(loaded)) == 8
    assert all((finished / "figures/small" / path).stat().st_size > 100 for path in published)


def test_no_figure_carries_a_date_or_the_version_of_its_software(finished: Path) -> None:
    for path in (finished / "figures/small").iterdir():
        if path.is_file():
            content = path.read_bytes()
            for trace in (b"CreationDate", b"dc:date", b"Matplotlib v", b"matplotlib.org"):
                assert trace not in content, (path.name, trace)


def test_a_second_run_does_nothing(finished: Path) -> None:
    assert planned(finished) == {}


def test_a_deleted_figure_alone_is_drawn_again_with_the_same_bytes(finished: Path) -> None:
    figure = finished / "results/small/figures/claims.svg"
    before = figure.read_bytes()
    figure.unlink()
    assert planned(finished) == {"all": 1, "plot_claims": 1, "publish": 1}
    run = snakemake(finished)
    assert run.returncode == 0, run.stderr[-3000:]
    assert figure.read_bytes() == before


def test_an_edited_criterion_reruns_its_own_jobs_and_what_follows(finished: Path) -> None:
    source = finished / "config" / "snip.py"
    source.write_text(SNIP.replace("(w * g).abs()", "(w * g) ** 2"))
    try:
        jobs = planned(finished)
    finally:
        source.write_text(SNIP)
    assert jobs["score"] == 1
    assert jobs["retrain"] == 2
    assert jobs["aggregate"] == 1
    for untouched in ("prepare_data", "train_baseline", "quantize", "measure_damage"):
        assert untouched not in jobs


def test_an_added_sparsity_reruns_nothing_that_was_there(finished: Path) -> None:
    file = finished / "config" / "small.yaml"
    file.write_text(STUDY.replace("sparsities: [0.75]", "sparsities: [0.75, 0.5]"))
    try:
        jobs = planned(finished)
    finally:
        file.write_text(STUDY)
    assert jobs["retrain"] == 2
    assert "score" not in jobs
    assert "train_baseline" not in jobs


def test_a_bad_study_starts_no_job_and_writes_no_result(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "small.yaml").write_text(STUDY.replace("0.75", "1.75"))
    (tmp_path / "config" / "snip.py").write_text(SNIP)
    run = snakemake(tmp_path)
    assert run.returncode != 0
    assert "grid.neuron.sparsities[0]: 1.75" in run.stdout + run.stderr
    assert not (tmp_path / "results").exists()


def test_another_order_of_the_grid_makes_the_tables_anew_and_trains_nothing(finished: Path) -> None:
    file = finished / "config" / "small.yaml"
    file.write_text(STUDY.replace("[fine_tune, scratch]", "[scratch, fine_tune]", 1))
    try:
        jobs = planned(finished)
    finally:
        file.write_text(STUDY)
    assert {"aggregate", "plot_parameter_pruning", "publish"} <= set(jobs)
    assert not {"train_baseline", "score", "retrain", "quantize"} & set(jobs)
