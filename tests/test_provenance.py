"""What a study's figures were made from, and nothing that another run would say differently."""

import json
import platform
import re
import shutil
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from conftest import COMMITTED, REPOSITORY, minified
from minified import study
from minified.data.digits import SHA256
from minified.foundations import files
from minified.run import records
from minified.run.packages import installed

PROVENANCE = "results/small/provenance.json"


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A finished run, to be spoilt."""
    return shutil.copytree(finished, tmp_path / "copy")


def asked(folder: Path) -> str:
    """What `minified provenance` says if it refuses; nothing if it has written the file."""
    return minified(folder, "provenance", "config/small.yaml").stderr


@pytest.mark.slow
def test_it_holds_the_whole_configuration_defaults_included(finished: Path) -> None:
    found = json.loads((finished / PROVENANCE).read_text())
    loaded = study.load(finished / "config" / "small.yaml")
    # Where the raw data are is a fact about a machine, and so is how many jobs share the work.
    left_out = {"data_root", "replicates_per_job"}
    assert set(found["configuration"]) == set(study.Settings.model_fields) - left_out
    again = study.Settings.model_validate(found["configuration"])
    assert again.model_dump() == loaded.model_dump(
        exclude={"name", "file", "specification", "specified"}
    )


@pytest.mark.slow
def test_it_names_the_data_by_checksum_and_every_package_that_the_library_needs(
    finished: Path,
) -> None:
    found = json.loads((finished / PROVENANCE).read_text())
    prepared = finished / "results" / "small" / "data.safetensors"
    assert found["data"]["prepared_sha256"] == files.sha256(prepared)
    assert found["data"]["raw_sha256"] == {"digits": SHA256}
    assert found["packages"] == installed()
    for package in ("torch", "numpy", "pandas", "matplotlib", "safetensors", "markupsafe"):
        assert found["packages"][package] == metadata.version(package)
    assert not {"pytest", "hypothesis", "ruff"} & set(found["packages"])
    assert found["device"]["architecture"] == platform.machine()
    assert set(found["device"]) == {"kind", "system", "architecture", "instruction_set"}


@pytest.mark.slow
def test_nothing_in_it_depends_on_one_run_or_one_place(folder: Path, finished: Path) -> None:
    assert asked(folder) == ""
    text = (folder / PROVENANCE).read_text()
    assert text == (finished / PROVENANCE).read_text()
    for place in (REPOSITORY, folder, finished):
        assert str(place) not in text
    assert not re.search(r"\d\d:\d\d|20\d\d-\d\d-\d\d", text)
    # Hashes of sources stay with the artefacts: an edit that changes no byte of a result makes no
    # committed study stale.
    assert not re.search(r"\.py\b", text.replace("snip.py", ""))


@pytest.mark.slow
def test_it_says_what_the_artefacts_say_and_not_what_the_study_says_now(folder: Path) -> None:
    file = folder / "config" / "small.yaml"
    before = (folder / PROVENANCE).read_bytes()
    for old, new, said in (
        ("learning_rate: 0.01", "learning_rate: 0.02", "learning_rate was 0.01, is 0.02"),
        ("scope: global", "scope: layer", 'grid.parameter.scope was "global", is "layer"'),
        ("units: 20", "units: 30", "damage.units was 20, is 30"),
        ("bits: [2]", "bits: [2, 3]", "grid.quantization.bits was [2], is [2, 3]"),
    ):
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))
        line = asked(folder)
        assert said in line or "depends on settings or sources that changed" in line, line
        assert "; make it again: minified " in line
        file.write_text(text)
    assert (folder / PROVENANCE).read_bytes() == before
    assert asked(folder) == ""


@pytest.mark.slow
def test_artefacts_of_two_types_of_machine_are_not_published_as_of_one(folder: Path) -> None:
    file = folder / "results" / "small" / "records" / "quantize" / "2" / "none.json"
    record = json.loads(file.read_text())
    record["machine"]["instruction_set"] = "AVX512"
    record.pop("sha256")
    file.write_text(records.seal(record))
    line = asked(folder)
    assert "train and quantize/2/none were done on different types of machine" in line
    assert 'is "AVX512"' in line
    assert line.rstrip().endswith("minified quantize config/small.yaml --bits 2 --regime none")


@pytest.mark.parametrize("name", COMMITTED)
def test_the_committed_studies_were_made_from_today_s_configuration_and_pins(name: str) -> None:
    kept = json.loads((REPOSITORY / "figures" / name / "provenance.json").read_text())
    loaded = study.load(REPOSITORY / "config" / f"{name}.yaml")
    assert kept["configuration"] == loaded.model_dump(
        mode="json",
        exclude={"name", "file", "specification", "specified", "data_root", "replicates_per_job"},
    )
    lines = (REPOSITORY / "requirements.lock").read_text().splitlines()
    pinned = [Requirement(line) for line in lines if line and not line.startswith("#")]
    pins = {canonicalize_name(pin.name): str(pin.specifier) for pin in pinned}
    for package, version in kept["packages"].items():
        if package != "magnificent-minified-models":
            assert pins[package] == f"=={version}", package
