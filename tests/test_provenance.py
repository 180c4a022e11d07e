"""What a study's figures were made from, and nothing that another run would say differently."""

import json
import platform
import re
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from conftest import COMMITTED, REPOSITORY, SMALL, SNIP
from minified import data, study
from minified.data.digits import SHA256
from minified.foundations import arithmetic, files
from minified.run import provenance
from minified.study import Paths


@pytest.fixture
def prepared(small_study: Path) -> tuple[study.Study, Paths]:
    small_study.write_text(SMALL + "criteria:\n  snip: {file: snip.py, levels: [parameter]}\n")
    (small_study.parent / "snip.py").write_text(SNIP)
    paths = Paths("small", small_study.parent / "results")
    data.save(data.load("digits"), paths.data, "digits")
    return study.load(small_study), paths


def record(prepared: tuple[study.Study, Paths]) -> dict:
    provenance.provenance(*prepared)
    return json.loads(prepared[1].provenance.read_text())


def test_it_holds_the_whole_configuration_defaults_included(
    prepared: tuple[study.Study, Paths],
) -> None:
    found = record(prepared)
    # Where the raw data are is a fact about a machine.
    assert set(found["configuration"]) == set(study.Settings.model_fields) - {"data_root"}
    again = study.Settings.model_validate(found["configuration"])
    assert again.model_dump() == prepared[0].model_dump(exclude={"name", "file"})


def test_an_edit_of_the_study_shows_and_one_of_a_source_file_does_not(
    prepared: tuple[study.Study, Paths],
) -> None:
    before = record(prepared)
    file = prepared[0].file
    (file.parent / "snip.py").write_text(SNIP + "# more\n")
    assert record(prepared) == before
    file.write_text(file.read_text().replace("learning_rate: 0.01", "learning_rate: 0.02"))
    after = record((study.load(file), prepared[1]))
    assert before["configuration_sha256"] != after["configuration_sha256"]


def test_it_names_the_data_by_checksum_and_every_package_that_the_library_needs(
    prepared: tuple[study.Study, Paths],
) -> None:
    found = record(prepared)
    assert found["data"]["prepared_sha256"] == files.sha256(prepared[1].data)
    assert found["data"]["raw_sha256"] == {"digits": SHA256}
    for package in ("torch", "numpy", "pandas", "matplotlib", "safetensors", "markupsafe"):
        assert found["packages"][package] == metadata.version(package)
    assert not {"pytest", "hypothesis", "ruff"} & set(found["packages"])
    assert found["device"] == arithmetic.device()
    assert found["device"]["architecture"] == platform.machine()


def test_nothing_in_it_depends_on_one_run_or_one_place(
    prepared: tuple[study.Study, Paths],
) -> None:
    record(prepared)
    text = prepared[1].provenance.read_text()
    record(prepared)
    assert prepared[1].provenance.read_text() == text
    assert str(REPOSITORY) not in text
    assert str(prepared[0].file.parent) not in text
    assert not re.search(r"\d\d:\d\d|20\d\d-\d\d-\d\d", text)


@pytest.mark.parametrize("name", COMMITTED)
def test_the_committed_studies_were_made_from_today_s_configuration_and_pins(name: str) -> None:
    kept = json.loads((REPOSITORY / "figures" / name / "provenance.json").read_text())
    loaded = study.load(REPOSITORY / "config" / f"{name}.yaml")
    assert kept["configuration"] == loaded.model_dump(
        mode="json", exclude={"name", "file", "data_root"}
    )
    lines = (REPOSITORY / "requirements.lock").read_text().splitlines()
    pinned = [Requirement(line) for line in lines if line and not line.startswith("#")]
    pins = {canonicalize_name(pin.name): str(pin.specifier) for pin in pinned}
    for package, version in kept["packages"].items():
        if package != "magnificent-minified-models":
            assert pins[package] == f"=={version}", package
