"""The stage `damage`: of which replicates the damage by single removals is measured."""

import csv
from pathlib import Path

import pytest

from conftest import SMALL, begin, minified
from minified.study import Paths

pytestmark = pytest.mark.usefixtures("never_hangs")


def measured(folder: Path, text: str) -> list[dict[str, str]]:
    """What `minified damage` writes of a study."""
    begin(folder, text)
    for verb in ("prepare", "train"):
        assert minified(folder, verb, "config/small.yaml").returncode == 0
    run = minified(folder, "damage", "config/small.yaml", "--removal", "neuron")
    assert run.returncode == 0, run.stderr
    with (folder / Paths("small").damage("neuron")).open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_first_replicates_are_measured_as_they_are_beside_all_others(tmp_path: Path) -> None:
    whole, few = tmp_path / "whole", tmp_path / "few"
    whole.mkdir()
    few.mkdir()
    every = measured(whole, SMALL)
    assert {row["replicate"] for row in every} == {"0", "1", "2"}
    fewer = SMALL.replace("damage: {units: 20}", "damage: {units: 20, replicates: 2}")
    assert fewer != SMALL
    assert measured(few, fewer) == [row for row in every if row["replicate"] != "2"]
