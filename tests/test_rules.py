"""The workflow's rules, planned and not run: which jobs a study has, and none if it is wrong."""

from pathlib import Path

from conftest import STUDY, begin, planned, snakemake
from minified import study
from minified.analysis.catalogue import figure_names


def test_every_job_of_a_new_study_is_planned_once(tmp_path: Path) -> None:
    begin(tmp_path)
    loaded = study.load(tmp_path / "config" / "small.yaml")
    once = (
        "all",
        "prepare",
        "train",
        "evaluate",
        "aggregate",
        "claims",
        "correlate",
        "selections",
        "tables",
        "notebook",
    )
    assert planned(tmp_path) == {
        **dict.fromkeys([*once, "provenance", "publish"], 1),
        **{f"figures_{name}": 1 for name in figure_names(loaded)},
        "derivatives": 1,  # obd_sd at parameter level
        "score": 3,
        "scratch": 1,  # the neuron level's, shared
        "retrain": 6,
        "quantize": 2,
        "damage": 3,  # both levels, and merging's own way
    }


def test_rounds_add_a_job_per_method_sparsity_and_regime_that_starts_trained(
    tmp_path: Path,
) -> None:
    text = STUDY.replace("scope: global", "scope: global\n    rounds: 3")
    begin(tmp_path, text)
    jobs = planned(tmp_path)
    assert jobs["iterate"] == 2  # obd_sd and snip, for fine_tune
    assert (jobs["retrain"], jobs["score"], jobs["scratch"]) == (6, 3, 1)


def test_a_bad_study_starts_no_job_and_writes_no_result(tmp_path: Path) -> None:
    begin(tmp_path, STUDY.replace("0.75", "1.75"))
    run = snakemake(tmp_path)
    assert run.returncode != 0
    assert "grid.neuron.sparsities[0]: 1.75" in run.stdout + run.stderr
    assert not (tmp_path / "results").exists()
