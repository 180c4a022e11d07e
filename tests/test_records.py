"""Records: literals that are read without running their file, refused by file and key."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conftest import REPOSITORY
from minified.analysis import catalogue
from minified.analysis.catalogue import FIGURES
from minified.criteria import CRITERIA
from minified.criteria import record as criteria
from minified.foundations import literals
from minified.foundations.errors import RecordError

SOUND = {"levels": ["parameter", "neuron"], "title": "Mine", "look": ["#112233", "h"]}


def refusal(error: RecordError, file: Path) -> str:
    """What follows the file's name in the one line of a refusal."""
    line = str(error)
    assert line.splitlines() == [line]
    assert line.startswith(f"{file}: ")
    return line.removeprefix(f"{file}: ")


# Literals


def test_a_literal_is_read_and_the_rest_of_its_file_is_not_run(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text('raise SystemExit\nRECORD: dict = {"a": [1, "b"], -2: None}\nimport nothing\n')
    assert literals.read(file, "RECORD") == {"a": [1, "b"], -2: None}
    assert literals.read(file, "OTHER") is None


def test_a_name_that_is_set_below_the_top_level_is_no_record(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text('def f():\n    RECORD = {"a": 1}\n    return RECORD\n')
    assert literals.read(file, "RECORD") is None


@pytest.mark.parametrize("value", ["dict(a=1)", "{'a': b}", "[x for x in 'ab']", "f'{1}'", "1 + 2"])
def test_what_is_no_literal_is_refused_by_file_line_and_name(tmp_path: Path, value: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(f"import os\n\nRECORD = {value}\n")
    with pytest.raises(RecordError) as caught:
        literals.read(file, "RECORD")
    assert refusal(caught.value, file).startswith("line 3: RECORD must be a literal: ")


def test_a_file_that_is_no_python_is_refused_by_its_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("import os\nRECORD = {\n")
    with pytest.raises(RecordError) as caught:
        literals.read(file, "RECORD")
    assert refusal(caught.value, file).startswith("line 2: is not valid Python (")


# Criteria


def test_a_sound_record_is_a_criterion(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    made = criteria.from_record("mine", file, SOUND)
    assert (made.name, made.file, made.title, made.short_title) == ("mine", file, "Mine", "Mine")
    assert made.levels == ("parameter", "neuron")
    assert made.look == ("#112233", "h")
    assert made.scopes == criteria.SCOPES
    assert (made.options, made.reading, made.removal) == ({}, None, None)
    assert not made.derivatives
    assert not made.control


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"title": None}, "title is missing"),
        ({"title": ""}, "title is missing"),
        ({"levels": None}, "levels is missing"),
        ({"levels": []}, "levels is missing"),
        ({"look": None}, "look is missing"),
        ({"look": "red"}, "look: must be a list of strings"),
        ({"look": ["red"]}, "look: must be a colour and a marker"),
        ({"look": ["red", 3]}, "look: must be a list of strings"),
        ({"levels": 3}, "levels: must be a list of strings"),
        ({"scopes": []}, "scopes: must be a list of strings"),
        ({"title": 3}, "title: must be a string"),
        ({"options": [1]}, "options: must be a dict"),
        ({"removal": "fold"}, "removal: must be a dict"),
        ({"titel": "Mine"}, "unknown key 'titel'; allowed: levels, title, look, short, options,"),
        ({"name": "other"}, "unknown key 'name'"),
        ({"file": "other.py"}, "unknown key 'file'"),
        ({"levels": ["parameter", "layer"]}, "levels: 'layer' is not one of parameter, neuron"),
        ({"scopes": ["network"]}, "scopes: 'network' is not one of global, layer"),
        ({"options": {"passes": {"default": 3, "most": 9}}}, "'most'"),
        ({"options": {"passes": {"at_least": 3}}}, "'default'"),
        (
            {"removal": {"fold": "f", "fold_one": "g"}},
            "removal: allowed only if levels is ['neuron']",
        ),
        ({"levels": ["neuron"], "removal": {"fold": "f"}}, "'fold_one'"),
        ({"levels": ["neuron"], "removal": {"fold": 3}}, "removal: must name functions"),
        ({"levels": ["neuron", "neuron"]}, "levels: 'neuron' is given twice"),
        ({"derivatives": "yes"}, "derivatives: must be True or False"),
        ({"control": 1}, "control: must be True or False"),
        ({"extension": "yes"}, "extension: must be True or False"),
        ({"dropout": 1}, "dropout: must be True or False"),
        ({"data_free": 1}, "data_free: must be True or False"),
        ({"data_free": True, "derivatives": True}, "data_free: not allowed beside derivatives or"),
        ({"extension": True, "reading": "x"}, "extension: not allowed beside reading or control"),
        ({"extension": True, "control": True}, "extension: not allowed beside reading or control"),
        ({"options": {"seed": {"default": 3}}}, "options: 'seed': must not be level, network"),
        ({"options": {"passes": {"default": "3"}}}, "options: 'passes': default: '3': must be a"),
        (
            {"options": {"passes": {"default": 3, "below": 3}}},
            "default: 3: must be an integer below",
        ),
    ],
)
def test_a_criterion_s_record_is_refused_by_file_criterion_and_key(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    file = tmp_path / "mine.py"
    record = {key: value for key, value in (SOUND | changes).items() if value is not None}
    with pytest.raises(RecordError) as caught:
        criteria.from_record("mine", file, record)
    line = refusal(caught.value, file)
    assert line.startswith("RECORDS['mine']: ")
    assert message in line


@pytest.mark.parametrize("record", [None, "Mine", ["parameter"]])
def test_a_criterion_s_record_that_holds_no_keys_is_refused(tmp_path: Path, record: Any) -> None:
    with pytest.raises(RecordError, match=r"mine\.py: RECORDS\['mine'\]: must be a dict"):
        criteria.from_record("mine", tmp_path / "mine.py", record)


def test_every_criterion_of_the_folder_is_known_by_the_record_in_its_file() -> None:
    folder = Path(criteria.__file__).parent
    records = {
        name: file for file in folder.glob("*.py") for name in literals.read(file, "RECORDS") or ()
    }
    assert {name: criterion.file for name, criterion in CRITERIA.items()} == records


def test_the_extensions_are_those_that_the_abstract_does_not_name() -> None:
    """Claims are about all others, so a criterion more or less in this list changes verdicts."""
    extensions = {name for name, criterion in CRITERIA.items() if criterion.extension}
    assert extensions == {"kfac", "activity", "activity_hyper"}
    assert criteria.READINGS == ("obd_sd", "obd_signed", "obd_absolute", "obd_squared")


def test_a_criterion_outside_the_package_is_an_extension_however_it_is_made(tmp_path: Path) -> None:
    made = criteria.from_record("mine", tmp_path / "mine.py", SOUND)
    assert made.extension
    assert replace(made, extension=False).extension


WITHOUT_TITLE = 'RECORDS = {"mine": {"levels": ["neuron"], "look": ["#112233", "P"]}}'
TWICE = (
    'RECORDS = {"obd": {"levels": ["neuron"], "title": "2", "look": ["#112233", "P"]}}\n'
    "def obd(): ..."
)


@pytest.mark.parametrize(
    ("place", "record", "words"),
    [
        ("criteria/mine.py", WITHOUT_TITLE, "RECORDS['mine']: title is missing"),
        ("criteria/mine.py", TWICE, "has a record of this name"),
        (
            "analysis/figures/mine.py",
            'RECORD = {"needs": ["neuron"]}',
            "RECORD: must be a dict, with",
        ),
    ],
)
def test_a_bad_record_stops_a_study_before_its_first_job(
    tmp_path: Path, place: str, record: str, words: str
) -> None:
    source, package = REPOSITORY / "src" / "minified", tmp_path / "minified"
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / place).write_text(f"{record}\n")
    # What the check of a study and the workflow import.
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import minified.analysis.catalogue"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode != 0
    last = run.stderr.splitlines()[-1]
    assert str(package / place) in last
    assert words in last


# Figures


def test_a_sound_record_is_a_figure() -> None:
    made = catalogue.from_record(Path("mine.py"), {"tables": ["claims.csv"], "needs": ["pruning"]})
    assert made == catalogue.Figure(tables=("claims.csv",), needs=("pruning",))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({}, "must be a dict, with at least one table in tables"),
        ({"tables": []}, "must be a dict, with at least one table in tables"),
        ({"needs": ["pruning"]}, "must be a dict, with at least one table in tables"),
        (["claims.csv"], "must be a dict, with at least one table in tables"),
        ({"tables": ["claims.csv"], "table": []}, "unknown key 'table'; allowed: tables, needs,"),
        ({"tables": "claims.csv"}, "tables must be a list of strings"),
        ({"tables": ["claims.csv"], "regimes": [1]}, "regimes must be a list of strings"),
    ],
)
def test_a_figure_s_record_is_refused_by_file_and_key(
    tmp_path: Path, record: Any, message: str
) -> None:
    file = tmp_path / "mine.py"
    with pytest.raises(RecordError) as caught:
        catalogue.from_record(file, record)
    assert refusal(caught.value, file).startswith(f"RECORD: {message}")


def test_every_figure_of_the_folder_is_known_by_the_record_in_its_file() -> None:
    folder = Path(catalogue.__file__).parent / "figures"
    drawn = {file.stem for file in folder.glob("*.py") if literals.read(file, "RECORD")}
    assert set(FIGURES) == drawn
