"""A small study through Snakemake, from raw data to verdicts, with a criterion of its own."""

import base64
import csv
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from conftest import SNIP, STUDY, minified, planned, published, snakemake
from minified import pruning, study, training
from minified.analysis.catalogue import FORMATS, TABLES, figure_names
from minified.jobs.context import Context
from minified.run.clock import Spent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(finished: Path) -> Path:
    """A copy of the finished run, which tests leave as they found it; beside it, so that the
    checkout, with its notebook, is in the same place as seen from there.
    """
    return shutil.copytree(finished, finished.with_name("workflow-copy"))


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


def test_a_shared_scratch_run_is_what_the_method_s_own_would_be(finished: Path) -> None:
    loaded = study.load(finished / "config" / "small.yaml")
    context = Context(loaded, study.Paths("small", finished / "results"))
    dense = context.baselines()
    scores = context.scores("neuron-merging", dense[0])
    seeds = context.seeds("scratch")
    own = [
        context.fresh(pruning.remove_neurons(network, pruning.kept_neurons(score, 0.75)), seed)
        for network, score, seed in zip(dense, scores, seeds, strict=True)
    ]
    training.fit(own, context.data.training, loaded.recipe("scratch"), None, seeds)
    kept = load_file(finished / "results/small/neuron-merging/0.75/scratch.safetensors")
    for replicate, network in enumerate(own):
        for name, tensor in network.state_dict().items():
            # Not to the bit: the run's processes have their arithmetic pinned, this one has not.
            torch.testing.assert_close(tensor, kept[f"{replicate}/{name}"], rtol=1e-3, atol=1e-4)


def test_everything_is_published_and_only_that(finished: Path) -> None:
    loaded = study.load(finished / "config" / "small.yaml")
    figures = {f"{name}.{kind}" for name in figure_names(loaded) for kind in FORMATS}
    found = published(finished)
    assert set(found) == figures | {f"tables/{name}" for name in TABLES} | {"provenance.json"}
    assert len(figure_names(loaded)) == 8
    assert all(len(content) > 100 for content in found.values())


def test_no_figure_carries_a_date_or_the_version_of_its_software(finished: Path) -> None:
    for path in (finished / "figures/small").iterdir():
        if path.is_file():
            content = path.read_bytes()
            for trace in (b"CreationDate", b"dc:date", b"Matplotlib v", b"matplotlib.org"):
                assert trace not in content, (path.name, trace)


def test_jobs_come_from_the_warm_interpreter_and_say_what_they_took(finished: Path) -> None:
    logs = sorted((finished / "results" / "small" / "logs").rglob("*.log"))
    spent = [Spent.read(log) for log in logs]
    assert len(spent) > 25
    assert all(one is not None and one.imported and one.memory > 10 for one in spent)


def test_timings_add_up_every_stage(finished: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    assert minified(folder, "timings", "config/small.yaml").returncode == 0
    with open(folder / "figures" / "small" / "machine" / "timings.csv", newline="") as file:
        jobs = {row["stage"]: int(row["jobs"]) for row in csv.DictReader(file)}
    logs = list((finished / "results" / "small" / "logs").rglob("*.log"))
    assert sum(jobs.values()) == len(logs)
    assert jobs["retrain, parameter level"] == 4
    assert {"prepare", "derivatives", "scratch", "score", "quantize", "figures"} <= set(jobs)


def test_timings_have_a_line_per_job_of_the_study(finished: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    logs = folder / "results" / "small" / "logs"
    # Of a job that an earlier grid had.
    shutil.copytree(logs / "retrain/parameter-obd_sd/0.9", logs / "retrain/parameter-obd_sd/0.8")
    cold = logs / "score" / "parameter-snip.log"
    last = Spent(1.5, 1.25, 300, imported=False, cold="it does not answer")
    cold.write_text(f"something\n{last}\n")
    assert minified(folder, "timings", "config/small.yaml").returncode == 0
    table = folder / "figures" / "small" / "machine" / "jobs.csv"
    with open(table, newline="") as file:
        jobs = list(csv.DictReader(file))
    wildcards = ("method", "sparsity", "bits", "regime", "level", "removal", "figure")
    assert tuple(jobs[0]) == (
        *("specification", "stage", *wildcards),
        *("wall_seconds", "cpu_seconds", "memory_mb", "imports"),
    )
    assert {job["specification"] for job in jobs} == {"base"}
    named = ["/".join(filter(None, (job["stage"], *map(job.get, wildcards)))) for job in jobs]
    found = {log.relative_to(logs).with_suffix("").as_posix() for log in logs.rglob("*.log")}
    swapped = {name.replace("scratch/scratch/0.75", "scratch/0.75/scratch") for name in found}
    assert len(named) == len(set(named)) == len(jobs)
    assert set(named) == {name for name in swapped if "/0.8/" not in name}
    by_name = dict(zip(named, jobs, strict=True))
    assert by_name["retrain/parameter-obd_sd/0.9/scratch"]["regime"] == "scratch"
    assert by_name["damage/merging"]["removal"] == "merging"
    spent = [by_name["score/parameter-snip"][column] for column in list(jobs[0])[-4:]]
    assert spent == ["1.5", "1.25", "300", "yes"]
    assert [name for name, job in by_name.items() if job["imports"]] == ["score/parameter-snip"]
    # Run again, as on another machine: the same lines in the same order.
    assert minified(folder, "timings", "config/small.yaml").returncode == 0
    with open(table, newline="") as file:
        assert [job["stage"] for job in csv.DictReader(file)] == [job["stage"] for job in jobs]


def test_a_second_run_does_nothing(finished: Path) -> None:
    assert planned(finished) == {}


def test_a_deleted_figure_alone_is_drawn_again_with_the_same_bytes(finished: Path) -> None:
    figure = finished / "results/small/figures/claims.svg"
    before = figure.read_bytes()
    figure.unlink()
    assert planned(finished) == {"all": 1, "figures_claims": 1, "publish": 1}
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
    for untouched in ("prepare", "train", "quantize", "damage"):
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
    assert "train" not in jobs


def test_another_order_of_the_grid_makes_the_tables_anew_and_trains_nothing(finished: Path) -> None:
    file = finished / "config" / "small.yaml"
    file.write_text(STUDY.replace("[fine_tune, scratch]", "[scratch, fine_tune]", 1))
    try:
        jobs = planned(finished)
    finally:
        file.write_text(STUDY)
    assert {"aggregate", "figures_parameter_pruning", "publish"} <= set(jobs)
    assert not {"train", "score", "retrain", "quantize"} & set(jobs)


def test_a_published_file_that_was_altered_or_lost_is_published_again(finished: Path) -> None:
    before = published(finished)
    (finished / "figures" / "small" / "claims.svg").write_text("altered")
    (finished / "figures" / "small" / "tables" / "results.csv").unlink()
    assert planned(finished) == {"all": 1, "publish": 1}
    run = snakemake(finished)
    assert run.returncode == 0, run.stderr[-3000:]
    assert published(finished) == before
    assert planned(finished) == {}


def test_an_output_whose_record_was_cut_off_is_made_again(finished: Path) -> None:
    rows_ = "results/small/quantization/2/none.csv"
    record = (
        finished / ".snakemake" / "metadata" / base64.urlsafe_b64encode(rows_.encode()).decode()
    )
    whole = (finished / rows_).read_bytes()
    record.write_text(record.read_text()[:20])
    assert planned(finished)["quantize"] == 1
    run = snakemake(finished)
    assert run.returncode == 0, run.stderr[-3000:]
    assert (finished / rows_).read_bytes() == whole
    assert planned(finished) == {}
