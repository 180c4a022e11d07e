"""What is committed under figures/digits is what today's code and today's pins make.

The whole of it is `minified verify digits`; here a sample of its rows, and all that follows from
its rows.
"""

import json
import shutil
from pathlib import Path

import pytest

from conftest import REPOSITORY, minified
from minified.analysis import FIGURES, FORMATS, TABLES

pytestmark = pytest.mark.slow

COMMITTED = REPOSITORY / "figures" / "digits"
STUDY = str(REPOSITORY / "config" / "digits.yaml")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the study's first jobs have run, on the type of machine that made it."""
    folder = tmp_path_factory.mktemp("committed")
    for verb in ("prepare", "train", "provenance"):
        run(folder, verb)
    made = json.loads((folder / "results" / "digits" / "provenance.json").read_text())
    if made["device"] != json.loads((COMMITTED / "provenance.json").read_text())["device"]:
        pytest.skip(f"the committed study was made on another type of machine than {made}")
    return folder


def run(folder: Path, verb: str, *options: str) -> None:
    minified(folder, verb, STUDY, *options, check=True)


def test_its_provenance_is_this_environment(folder: Path) -> None:
    made = (folder / "results" / "digits" / "provenance.json").read_bytes()
    assert made == (COMMITTED / "provenance.json").read_bytes()


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
def test_a_job_makes_its_committed_rows_again(
    folder: Path, method: str, place: str, regime: str
) -> None:
    if method == "quantization":
        run(folder, "quantize", "--bits", place, "--regime", regime)
    else:
        if "obd" in method:
            run(folder, "derivatives", "--level", method.partition("-")[0])
        if (method.partition("-")[0], regime) == ("neuron", "scratch"):
            run(folder, "scratch", "--sparsity", place)
        run(folder, "score", "--method", method)
        cell = ["--method", method, "--sparsity", place, "--regime", regime]
        run(folder, "retrain", *cell)
    committed = (COMMITTED / "tables" / "results.csv").read_text().splitlines()
    rows = folder / "results" / "digits" / method / place / f"{regime}.csv"
    header, *made = rows.read_text().splitlines()
    assert header == committed[0]
    assert len(made) == 5
    assert set(made) <= set(committed)


def test_its_tables_and_figures_follow_from_its_rows(folder: Path) -> None:
    tables = folder / "results" / "digits" / "tables"
    tables.mkdir()
    for name in ("results.csv", "damage.csv"):
        shutil.copy(COMMITTED / "tables" / name, tables)
    run(folder, "claims")
    run(folder, "tables")
    for name in TABLES:
        assert (tables / name).read_bytes() == (COMMITTED / "tables" / name).read_bytes(), name
    for figure, entry in FIGURES.items():
        if "damage_units.csv" in entry.tables:
            continue  # that table is too large to be committed
        run(folder, "figures", "--figure", figure)
        for kind in FORMATS:
            made = folder / "results" / "digits" / "figures" / f"{figure}.{kind}"
            committed = COMMITTED / f"{figure}.{kind}"
            assert made.read_bytes() == committed.read_bytes(), committed.name
