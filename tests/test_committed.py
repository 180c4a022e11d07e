"""What is committed under figures/ is what today's code and today's pins make.

The whole of it is `minified verify STUDY`; here a sample of the rows of digits, and of MNIST's
where MINIFIED_DATA has its images, and of the studies all that follows from their rows.
"""

import json
import os
import shutil
from pathlib import Path

import pytest

from conftest import COMMITTED, REPOSITORY, minified
from minified import study
from minified.analysis.catalogue import FORMATS, WRITTEN_TABLES, figure_names, published_tables

pytestmark = pytest.mark.slow

FIGURES_OF = REPOSITORY / "figures"


def begun(name: str, factory: pytest.TempPathFactory) -> Path:
    """A folder in which a study's first jobs have run, on the type of machine that made it."""
    folder = factory.mktemp(name)
    for verb in ("prepare", "train", "evaluate", "provenance"):
        run(folder, name, verb)
    made = provenance(folder / "results" / name)
    if made["device"] != provenance(FIGURES_OF / name)["device"]:
        pytest.skip(f"the committed study was made on another type of machine than {made}")
    return folder


def provenance(folder: Path) -> dict:
    return json.loads((folder / "provenance.json").read_text())


def run(folder: Path, name: str, verb: str, *options: str) -> None:
    minified(folder, verb, str(REPOSITORY / "config" / f"{name}.yaml"), *options, check=True)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return begun("digits", tmp_path_factory)


def test_the_provenance_of_digits_is_this_environment(digits: Path) -> None:
    made = (digits / "results" / "digits" / "provenance.json").read_bytes()
    assert made == (FIGURES_OF / "digits" / "provenance.json").read_bytes()


@pytest.mark.parametrize(
    ("method", "place", "regime"),
    [
        ("parameter-obd_signed", "0.98", "fine_tune"),
        ("parameter-random", "0.9", "rewind"),
        ("neuron-merging", "0.9", "fine_tune"),
        ("neuron-dropout_damage", "0.5", "scratch"),
        ("quantization", "2", "fine_tune"),
    ],
)
def test_a_job_of_digits_makes_its_committed_rows_again(
    digits: Path, method: str, place: str, regime: str
) -> None:
    if method == "quantization":
        run(digits, "digits", "quantize", "--bits", place, "--regime", regime)
    else:
        if "obd" in method:
            run(digits, "digits", "derivatives", "--level", method.partition("-")[0])
        if (method.partition("-")[0], regime) == ("neuron", "scratch"):
            run(digits, "digits", "scratch", "--sparsity", place)
        run(digits, "digits", "score", "--method", method)
        cell = ["--method", method, "--sparsity", place, "--regime", regime]
        run(digits, "digits", "retrain", *cell)
    check_rows(digits, "digits", f"{method}/{place}/{regime}.csv")


def check_rows(folder: Path, name: str, rows: str) -> None:
    committed = (FIGURES_OF / name / "tables" / "results.csv").read_text().splitlines()
    header, *made = (folder / "results" / name / rows).read_text().splitlines()
    assert header == committed[0]
    assert len(made) == study.load(REPOSITORY / "config" / f"{name}.yaml").replicates
    assert set(made) <= set(committed)


@pytest.mark.campaign
def test_baselines_and_a_pruned_cell_of_mnist_are_the_committed_ones(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    if not (Path(os.environ.get("MINIFIED_DATA") or "none") / "MNIST").is_dir():
        pytest.skip("MINIFIED_DATA has no MNIST")
    folder = begun("mnist", tmp_path_factory)
    made = (folder / "results" / "mnist" / "provenance.json").read_bytes()
    assert made == (FIGURES_OF / "mnist" / "provenance.json").read_bytes()
    check_rows(folder, "mnist", "baseline.csv")
    run(folder, "mnist", "derivatives", "--level", "neuron")
    run(folder, "mnist", "score", "--method", "neuron-obd_signed")
    cell = ["--method", "neuron-obd_signed", "--sparsity", "0.9", "--regime", "fine_tune"]
    run(folder, "mnist", "retrain", *cell)
    check_rows(folder, "mnist", "neuron-obd_signed/0.9/fine_tune.csv")


SAMPLE = {"mnist", "digits_specifications"}
"""The studies whose tables and figures `make test` makes again: of either kind one."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in SAMPLE else pytest.mark.campaign)
        for name in COMMITTED
    ],
)
def test_tables_and_figures_follow_from_the_committed_rows(
    digits: Path, tmp_path: Path, name: str
) -> None:
    del digits  # which skips on another type of machine
    committed, loaded = FIGURES_OF / name, study.load(REPOSITORY / "config" / f"{name}.yaml")
    made = tmp_path / "results" / name
    (made / "tables").mkdir(parents=True)
    written = {*WRITTEN_TABLES, "claims.csv", "claims_detail.csv", "accuracy.csv", "sizes.csv"}
    for table in set(published_tables(loaded)) - written:
        shutil.copy(committed / "tables" / table, made / "tables")
    run(tmp_path, name, "claims")
    run(tmp_path, name, "tables")
    for table in published_tables(loaded):
        expected = (committed / "tables" / table).read_bytes()
        assert (made / "tables" / table).read_bytes() == expected, table
    run(tmp_path, name, "figures")
    for figure in figure_names(loaded):
        for kind in FORMATS:
            file = f"{figure}.{kind}"
            assert (made / "figures" / file).read_bytes() == (committed / file).read_bytes(), file
