"""The command line: by hand as the rules do it, and one line when something is wrong."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from conftest import REPOSITORY, SMALL, minified
from minified.cli.verbs import app


def one_line(run: subprocess.CompletedProcess[str]) -> str:
    assert run.returncode != 0
    assert run.stdout == ""
    lines = run.stderr.strip().splitlines()
    assert len(lines) == 1, run.stderr
    assert lines[0].startswith("minified: ")
    return lines[0]


def test_help_lists_the_stages_in_order(tmp_path: Path) -> None:
    text = minified(tmp_path, "--help").stdout
    stages = ["check", "prepare", "train", "score", "retrain", "quantize", "damage", "aggregate"]
    places = [text.index(f"{stage} ") for stage in [*stages, "claims", "figures", "tables"]]
    assert len(places) == 11
    for stage in stages:
        assert CliRunner().invoke(app, [stage, "--help"]).exit_code == 0


def test_check_says_how_much_a_study_is(small_study: Path) -> None:
    run = minified(small_study.parent, "check", "small.yaml")
    assert run.returncode == 0
    assert "8 jobs x 3 replicates" in run.stdout


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("sparsities: [0.9]", "sparsities: [1.9]", "small.yaml: grid.parameter.sparsities[0]: 1.9"),
        ("replicates: 3", "replicates: 0", "small.yaml: replicates: 0"),
        ("replicates: 3", "replicates: 3\nreplicates: 3", "small.yaml: replicates: 3"),
    ],
)
def test_a_bad_study_is_one_line_and_no_result(
    small_study: Path, old: str, new: str, message: str
) -> None:
    small_study.write_text(SMALL.replace(old, new))
    for verb in ("check", "prepare"):
        assert message in one_line(minified(small_study.parent, verb, "small.yaml"))
    assert not (small_study.parent / "results").exists()


@pytest.mark.slow
def test_a_study_for_a_device_that_is_not_there_is_one_line(small_study: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    small_study.write_text(SMALL + "device: cuda\n")
    folder = small_study.parent
    assert minified(folder, "prepare", "small.yaml").returncode == 0
    for verb in ("train", "provenance"):
        line = one_line(minified(folder, verb, "small.yaml"))
        assert "device: cuda: torch sees no CUDA device" in line
        assert "set device: cpu" in line


def make(folder: Path, study: str) -> subprocess.CompletedProcess[str]:
    """`make reproduce` in `folder`, in the environment that the tests run in."""
    environment = Path(sys.executable).parent.parent
    (folder / "ready").touch()
    return subprocess.run(
        [
            *("make", "--silent", "--file", str(REPOSITORY / "Makefile"), "reproduce"),
            *(f"STUDY={study}", "READY=ready", f"VENV={environment}"),
        ],
        capture_output=True,
        text=True,
        cwd=folder,
    )


def test_make_refuses_a_bad_study_before_any_job(small_study: Path) -> None:
    small_study.write_text(SMALL.replace("replicates: 3", "replicates: 0"))
    run = make(small_study.parent, str(small_study))
    assert run.returncode != 0
    lines = [line for line in run.stderr.splitlines() if not line.startswith("make")]
    assert lines == [
        f"minified: {small_study}: replicates: 0: must be greater than or equal to 1",
    ]
    assert not (small_study.parent / "results").exists()


@pytest.mark.parametrize(
    "study", ["x; touch pwned", 'x"; touch pwned; "', "$$(touch pwned)", "`touch pwned`", "'"]
)
def test_a_study_s_name_is_no_command_for_make(tmp_path: Path, study: str) -> None:
    run = make(tmp_path, study)
    assert run.returncode != 0
    lines = [line for line in run.stderr.splitlines() if not line.startswith("make")]
    assert len(lines) == 1
    assert "a name of a-z, 0-9, _ and -" in lines[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ready"]


def test_a_verb_without_its_inputs_names_what_is_missing(small_study: Path) -> None:
    message = one_line(minified(small_study.parent, "train", "small.yaml"))
    assert "data.safetensors" in message


@pytest.mark.slow
def test_a_truncated_artefact_is_named_and_not_taken_for_a_result(small_study: Path) -> None:
    assert minified(small_study.parent, "prepare", "small.yaml").returncode == 0
    data = small_study.parent / "results/small/data.safetensors"
    data.write_bytes(data.read_bytes()[:-100])
    message = one_line(minified(small_study.parent, "train", "small.yaml"))
    assert "data.safetensors" in message
    assert not (small_study.parent / "results/small/baseline.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            "retrain --method neuron-obd --sparsity 0.5 --regime scrtch",
            "--regime scrtch: study small has fine_tune, scratch, rewind",
        ),
        ("scratch --sparsity 0.5 --regime none", "--regime none: study small has fine_tune,"),
        ("quantize --bits 2 --regime scratch", "--regime scratch: study small has none, fine_tune"),
        ("derivatives --level layer", "--level layer: study small has parameter, neuron"),
        ("damage --removal obd", "--removal obd: study small has parameter, neuron, merging"),
        ("scratch --sparsity 1.0", "--sparsity 1.0: must be in [0, 1)"),
        ("figures --figure claim", "--figure claim: study small has before_retraining, claims, "),
    ],
)
def test_an_option_that_a_study_does_not_have_is_refused_with_those_that_it_has(
    small_study: Path, arguments: str, line: str
) -> None:
    verb, *options = arguments.split()
    said = one_line(minified(small_study.parent, verb, "small.yaml", *options))
    assert said.startswith(f"minified: {line}")
    assert not (small_study.parent / "results").exists()


@pytest.mark.slow
def test_divergence_stops_the_job_and_says_which_run_it_was(small_study: Path) -> None:
    folder = small_study.parent
    small_study.write_text(
        SMALL.replace("scratch: *short", "scratch: {optimiser: sgd, learning_rate: 1e6, epochs: 3}")
    )
    for verb in (["prepare"], ["train"], ["score", "--method", "parameter-magnitude"]):
        run = minified(folder, verb[0], "small.yaml", *verb[1:])
        assert run.returncode == 0, run.stderr
    cell = ["--method", "parameter-magnitude", "--sparsity", "0.9", "--regime", "scratch"]
    message = one_line(minified(folder, "retrain", "small.yaml", *cell))
    for word in (
        "study small",
        "method parameter-magnitude",
        "sparsity 0.9",
        "regime scratch",
        "replicate 0",
        "epoch 1",
    ):
        assert word in message
    assert not (folder / "results/small/parameter-magnitude/0.9/scratch.csv").exists()


def test_a_level_that_the_study_s_grid_lacks_is_measured_or_refused_by_its_key(
    small_study: Path,
) -> None:
    """A study of quantization alone, whose recipes of pruning are left out."""
    folder = small_study.parent
    grid = "grid:\n  quantization: {bits: [2], regimes: [none]}\ndamage: {units: 5}\n"
    recipe = "recipes: {baseline: {learning_rate: 0.01, epochs: 1}}\n"
    small_study.write_text("network: {name: mlp, widths: [6]}\nreplicates: 2\n" + recipe + grid)
    for verb in (["prepare"], ["train"], ["damage", "--removal", "parameter"]):
        run = minified(folder, verb[0], "small.yaml", *verb[1:])
        assert run.returncode == 0, run.stderr
    assert len((folder / "results/small/damage/parameter.csv").read_text().splitlines()) == 11
    cell = ["--method", "parameter-obd", "--sparsity", "0.5", "--regime", "fine_tune"]
    line = one_line(minified(folder, "retrain", "small.yaml", *cell))
    assert "grid.parameter: this study has no such level" in line
