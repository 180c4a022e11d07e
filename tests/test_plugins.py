"""A reader's own criterion: what the check of a study accepts works in every job, and the rest is
refused in one line; its options are declared in its file."""

from pathlib import Path

import pytest

from conftest import HEAD, SMALL, SNIP
from minified.foundations import literals
from minified.foundations.errors import RecordError
from minified.run import sources
from minified.study import Study
from studies import load, outcome, refusal

pytestmark = pytest.mark.usefixtures("never_hangs")

OWN = "criteria: {snip: {file: snip.py, levels: [parameter]}}\n"
BODY = f"{HEAD}\n    return 'ran'\n"


def written(folder: Path, content: str | bytes) -> Path:
    file = folder / "snip.py"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def problem(folder: Path, content: str | bytes) -> str:
    """What the check says about a criterion's file of this content."""
    written(folder, content)
    line = refusal(folder, SMALL + OWN)
    assert line.startswith("criteria.snip.file: 'snip.py': ")
    return line.removeprefix("criteria.snip.file: 'snip.py': ")


# The text of the file

ACCEPTED = {
    "a byte order mark": b"\xef\xbb\xbf" + BODY.encode(),
    "Windows line ends": BODY.replace("\n", "\r\n").encode(),
    "old Macintosh line ends": BODY.replace("\n", "\r").encode(),
    "a form feed": b"x = 1\n\x0c\n" + BODY.encode(),
    "no last line end": BODY.rstrip().encode(),
    "Latin-1, said": b"# -*- coding: latin-1 -*-\nx = '\xe9'\n" + BODY.encode(),
    "UTF-8, said after a mark": b"\xef\xbb\xbf# coding: utf-8\n" + BODY.encode(),
    "UTF-7, said": b"# coding: utf-7\nx = '+AOk-'\n" + BODY.encode(),
    "no UTF-8 in a comment": b"# \xff\n" + BODY.encode(),
    "an escape that Python warns of": b"x = '\\d'\n" + BODY.encode(),
    "a long chain of attributes": f"import minified.networks\nif 0: y{'.z' * 900}\n{BODY}".encode(),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_file_that_the_check_accepts_is_read_and_run_by_the_workflow(
    tmp_path: Path, name: str
) -> None:
    file = written(tmp_path, ACCEPTED[name])
    study = load(tmp_path, SMALL + OWN)
    assert sources.relative(file) in sources.of_file(file)
    assert study.registry["snip"].function()(*range(5)) == "ran"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"x = 1\n\0\n" + BODY.encode(), "is not valid Python, line 2: it has a null byte"),
        (b"# \0\n" + BODY.encode(), "is not valid Python, line 1: it has a null byte"),
        (BODY.encode("utf-16"), "null byte"),
        (b"x = '\xff'\n" + BODY.encode(), "is not valid Python, line 1: (unicode error)"),
        (b"# coding: nonsense\n" + BODY.encode(), "unknown encoding: nonsense"),
        (b"# coding: rot13\n" + BODY.encode(), "'rot13' is not a text encoding"),
        (b"\xef\xbb\xbf# coding: latin-1\n" + BODY.encode(), "with BOM"),
        (f"{BODY}return 1\n", "is not valid Python, line 3: 'return' outside function"),
        (f"{BODY}def f(a, a): ...\n", "line 3: duplicate argument 'a'"),
        (f"{BODY}break\n", "line 3: 'break' outside loop"),
        (f"from . import helper\n{BODY}", "line 1: imports from '.', but a criterion's file"),
        (f"from .helper import f\n{BODY}", "line 1: imports from '.helper'"),
        (f"{HEAD}\n    from .. import f\n", "line 2: imports from '..'"),
        (f"{BODY}MEMBERS = '*'\n", "line 3: MEMBERS must have another name here"),
        ("async " + BODY, "must have a function snip()"),
        ("snip = print\n", "must have a function snip()"),
        ("class A:\n    def snip(self): ...\n", "must have a function snip()"),
    ],
)
def test_a_file_that_no_job_could_run_is_refused_by_the_check(
    tmp_path: Path, content: str | bytes, says: str
) -> None:
    assert says in problem(tmp_path, content)


def test_running_a_criterion_leaves_nothing_beside_the_study(tmp_path: Path) -> None:
    written(tmp_path, BODY)
    criterion = load(tmp_path, SMALL + OWN).registry["snip"]
    criterion.function()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["mine.yaml", "snip.py"]


def test_an_edit_within_a_second_is_what_runs_next(tmp_path: Path) -> None:
    written(tmp_path, BODY)
    criterion = load(tmp_path, SMALL + OWN).registry["snip"]
    assert criterion.function()(*range(5)) == "ran"
    written(tmp_path, BODY.replace("ran", "run"))
    assert criterion.function()(*range(5)) == "run"


def test_a_criterion_s_file_knows_its_own_place(tmp_path: Path) -> None:
    file = written(tmp_path, BODY.replace("'ran'", "__file__"))
    assert load(tmp_path, SMALL + OWN).registry["snip"].function()(*range(5)) == str(file)


def test_a_criterion_s_file_may_define_dataclasses(tmp_path: Path) -> None:
    top = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    kind = "@dataclass\nclass A:\n    x: int = 3\n"
    written(tmp_path, top + kind + BODY.replace("'ran'", "A().x"))
    criterion = load(tmp_path, SMALL + OWN).registry["snip"]
    assert criterion.function()(*range(5)) == 3


# What the function takes


def head(parameters: str) -> str:
    return f"def snip({parameters}): ...\n"


FIVE = "level, network, inputs, targets, generator"
POWER = 'RECORDS = {"snip": {"options": {"power": {"default": 1.0, "above": 0}}}}\n'


@pytest.mark.parametrize(
    "function",
    [
        head(f"{FIVE}, power"),
        head(f"{FIVE}, *, power"),
        head(f"{FIVE}, *, power=2.0, other=3"),
        head(f"{FIVE}, **options"),
        head("*given, power"),
        head("*given, **options"),
        head("a, b, c, d, e, /, power"),
        f"import torch\n@torch.no_grad()\n{head(f'{FIVE}, power')}",
        f"import mine\n@mine.changed\n{head('whatever')}",
        f"{head('nothing')}{head(f'{FIVE}, power')}",
    ],
)
def test_a_function_that_takes_the_declared_options_is_accepted(
    tmp_path: Path, function: str
) -> None:
    written(tmp_path, POWER + function)
    assert outcome(tmp_path, SMALL + OWN + "options: {snip: {power: 2.0}}\n") == ""


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (head(FIVE), "line 2: snip() has no parameter 'power', an option in its RECORDS"),
        (head("a, b, c, d, power"), "snip() has no parameter 'power'"),
        (head("a, b, c, d, power, **options"), "snip() has no parameter 'power'"),
        (head("a, b, c, d, e, power, /"), "snip() has no parameter 'power'"),
        (head(f"{FIVE}, power, other"), "a parameter 'other' without a default that is no option"),
        (head(f"{FIVE}, *, power, other"), "a parameter 'other' without a default"),
        (head("a, b, c, d, e, other, /, power"), "a parameter 'other' without a default"),
        (head("level, network, inputs, targets, *, power"), f"snip() must take {FIVE}, in this"),
        (head(""), f"snip() must take {FIVE}, in this"),
        (head("*, power"), f"snip() must take {FIVE}, in this"),
    ],
)
def test_a_function_that_could_not_be_called_is_refused_by_the_check(
    tmp_path: Path, function: str, says: str
) -> None:
    assert says in problem(tmp_path, POWER + function)


# What the file declares


def declares(record: object) -> str:
    return f"raise SystemExit\nRECORDS = {record!r}\n{head(f'{FIVE}, **options')}"


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ({}, "must be a dict with a 'default'"),
        (3, "must be a dict with a 'default'"),
        ({"at_least": 3}, "must be a dict with a 'default'"),
        ({"default": True}, "default: True: must be a number"),
        ({"default": "high"}, "default: 'high': must be a number"),
        ({"default": None}, "default: None: must be a number"),
        ({"default": 1j}, "default: 1j: must be a number"),
        ({"default": [1]}, "default: [1]: must be a number"),
        ({"default": 10**10}, "default: 10000000000: must be a number, at most 1e9"),
        ({"default": 1e9}, "default: 1000000000.0: must be a number below 1e9"),
        ({"default": 1, "above": 1}, "default: 1: must be an integer above 1 below 1e9"),
        ({"default": 0.5, "below": 0.5}, "default: 0.5: must be a number below 0.5"),
        ({"default": 5, "at_least": 6, "below": 3}, "default: 5: must be"),
        ({"default": 1, "at_least": "0"}, "at_least: '0': must be a number"),
        ({"default": 1, "above": False}, "above: False: must be a number"),
        ({"default": 1, "most": 3}, "unknown key 'most'; allowed: default, at_least, above, below"),
    ],
)
def test_an_option_that_means_nothing_is_refused_by_criterion_option_and_key(
    tmp_path: Path, option: object, says: str
) -> None:
    line = problem(tmp_path, declares({"snip": {"options": {"power": option}}}))
    assert line.startswith("RECORDS['snip']: options: 'power': ")
    assert says in line


@pytest.mark.parametrize("value", ["float('nan')", "1e999", "-1e999", "0x" + "f" * 5000])
def test_a_default_that_is_no_number_of_a_study_is_refused(tmp_path: Path, value: str) -> None:
    record = f'RECORDS = {{"snip": {{"options": {{"power": {{"default": {value}}}}}}}}}\n'
    line = problem(tmp_path, record + head(f"{FIVE}, power"))
    assert "must be a literal" in line or "default: " in line
    assert len(line) < 300


@pytest.mark.parametrize(
    "name",
    [
        *(*FIVE.split(", "), "derivatives", "masks", "method", "seed", "registry"),
        *("Power", "_power", "power-2", "2power", "", "lambda", "größe", "p" * 50, 3, None),
    ],
)
def test_an_option_needs_a_name_of_its_own(tmp_path: Path, name: object) -> None:
    line = problem(tmp_path, declares({"snip": {"options": {name: {"default": 1}}}}))
    assert line.startswith("RECORDS['snip']: options: ")
    assert "must be a name of a-z" in line or "which are not options" in line


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ([], "RECORDS must be a dict of records"),
        ({"snip": []}, "RECORDS['snip']: must be a dict"),
        ({"snap": {}}, "RECORDS['snap']: the file has no function snap()"),
        ({3: {}}, "RECORDS[3]: the file has no function 3()"),
        ({"snip": {"titel": "x"}}, "unknown key 'titel'; allowed: levels, title, short, options"),
        ({"snip": {"look": ["#112233", "o"]}}, "look: only criteria of this package have it"),
        ({"snip": {"reading": "x"}}, "reading: only criteria of this package have it"),
        ({"snip": {"control": True}}, "control: only criteria of this package have it"),
        ({"snip": {"extension": False}}, "extension: only criteria of this package have it"),
        ({"snip": {"derivatives": True}}, "derivatives: only criteria of this package have it"),
        ({"snip": {"data_free": True}}, "data_free: only criteria of this package have it"),
        ({"snip": {"removal": {}}}, "removal: only criteria of this package have it"),
        ({"snip": {"title": 3}}, "RECORDS['snip']: title: must be a string"),
        ({"snip": {"title": "{x}"}}, "RECORDS['snip']: title: must be 1 to 60 letters"),
        ({"snip": {"short": "a\nb"}}, "RECORDS['snip']: short: must be 1 to 60 letters"),
        ({"snip": {"levels": ["layer"]}}, "levels: 'layer' is not one of parameter, neuron"),
        ({"snip": {"levels": []}}, "levels: must be a list of strings"),
        ({"snip": {"scopes": ["layer", "layer"]}}, "scopes: 'layer' is given twice"),
        ({"snip": {"options": [1]}}, "options: must be a dict"),
    ],
)
def test_a_record_that_a_reader_s_file_cannot_have_is_refused_by_its_key(
    tmp_path: Path, record: object, says: str
) -> None:
    assert says in problem(tmp_path, declares(record))


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ("RECORDS = dict(snip={})", "line 1: RECORDS must be a literal"),
        ("RECORDS = {'snip': {'options': OPTIONS}}", "line 1: RECORDS must be a literal"),
        ("RECORDS = {[]: 1}", "line 1: RECORDS must be a literal"),
        ("RECORDS = {}\nRECORDS = {}", "line 2: RECORDS is given twice"),
        ("RECORDS = {'snip': {}, 'snip': {}}", "line 1: RECORDS: 'snip' is given twice"),
    ],
)
def test_records_that_could_be_read_in_two_ways_are_refused_by_their_line(
    tmp_path: Path, records: str, says: str
) -> None:
    assert problem(tmp_path, f"{records}\n{head(FIVE)}").startswith(says)


# What the study says

DECLARED = {
    "levels": ["parameter"],
    "title": "SNIP",
    "short": "S",
    "scopes": ["layer"],
    "options": {"power": {"default": 1.0, "above": 0}, "rounds": {"default": 2, "at_least": 1}},
}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("{power: 0}", "options.snip.power: 0: must be a number above 0 below 1e9"),
        ("{power: high}", "options.snip.power: 'high': must be a number above 0"),
        ("{rounds: 2.5}", "options.snip.rounds: 2.5: must be an integer at least 1"),
        ("{rounds: true}", "options.snip.rounds: True: must be an integer"),
        ("{pover: 1}", "options.snip.pover: 1: unknown key; allowed: power, rounds"),
    ],
)
def test_a_study_s_options_are_checked_against_those_of_the_file(
    tmp_path: Path, options: str, says: str
) -> None:
    written(tmp_path, declares({"snip": DECLARED}))
    assert refusal(tmp_path, SMALL + OWN + f"options: {{snip: {options}}}\n").startswith(says)


def test_a_criterion_without_declared_options_has_none(tmp_path: Path) -> None:
    written(tmp_path, BODY)
    line = refusal(tmp_path, SMALL + OWN + "options: {snip: {power: 2}}\n")
    assert line.startswith("options.snip: {'power': 2}: no such criterion with options; allowed: ")


def test_options_of_a_study_are_settings_of_the_job_that_uses_them(tmp_path: Path) -> None:
    written(tmp_path, declares({"snip": DECLARED}))

    def study(options: str) -> Study:
        return load(tmp_path, SMALL + OWN + options)

    default, other = study(""), study("options: {snip: {power: 2}}\n")
    assert default.criterion_options("snip") == {}
    assert other.criterion_options("snip") == {"power": 2}
    assert default.excerpt("options.snip") != other.excerpt("options.snip")
    assert other.excerpt("options.snip") == {"options.snip": {"power": 2}}


def test_what_the_file_declares_holds_where_the_study_says_nothing(tmp_path: Path) -> None:
    written(tmp_path, declares({"snip": DECLARED}))
    criterion = load(tmp_path, SMALL + OWN).registry["snip"]
    assert (criterion.title, criterion.short_title) == ("SNIP", "S")
    assert criterion.scopes == ("layer",)
    titled = OWN.replace("[parameter]", "[parameter], title: Mine")
    criterion = load(tmp_path, SMALL + titled).registry["snip"]
    assert (criterion.title, criterion.short_title) == ("Mine", "Mine")


@pytest.mark.parametrize(
    ("own", "grid", "says"),
    [
        (
            OWN.replace("parameter", "neuron"),
            "",
            "criteria.snip.levels[0]: 'neuron': its file says",
        ),
        (OWN, "global", "grid.parameter.scope: 'global': must be 'layer', since snip supports"),
    ],
)
def test_a_study_that_contradicts_the_file_is_refused_by_its_key(
    tmp_path: Path, own: str, grid: str, says: str
) -> None:
    written(tmp_path, declares({"snip": DECLARED}))
    text = SMALL.replace("[magnitude, obd_sd]", "[snip]") if grid else SMALL
    assert refusal(tmp_path, text + own).startswith(says)


def test_a_title_from_a_file_must_be_new_as_well(tmp_path: Path) -> None:
    written(tmp_path, declares({"snip": {"title": "OBD"}}))
    line = refusal(tmp_path, SMALL + OWN)
    assert line == "criteria.snip.title: 'OBD': must be a title that no other criterion has"


def test_a_file_with_several_criteria_declares_each_of_them(tmp_path: Path) -> None:
    written(tmp_path, POWER + head(f"{FIVE}, power") + SNIP.replace("def snip", "def snap"))
    two = OWN.replace("}}\n", "}, snap: {file: snip.py, levels: [parameter]}}\n")
    registry = load(tmp_path, SMALL + two).registry
    assert (list(registry["snip"].options), list(registry["snap"].options)) == (["power"], [])


# Literals


@pytest.mark.parametrize("value", ["{[]: 1}", "{{}: 1}", "-'a'", "{1: 2, 1: 3}"])
def test_a_literal_that_python_could_not_build_is_refused_by_its_line(
    tmp_path: Path, value: str
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(f"RECORD = {value}\n")
    with pytest.raises(RecordError, match=r"mine\.py: line 1: RECORD"):
        literals.read(file, "RECORD")


def test_a_reader_s_own_criterion_is_an_extension(tmp_path: Path) -> None:
    written(tmp_path, BODY)
    registry = load(tmp_path, SMALL + OWN).registry
    assert registry["snip"].extension
    assert not registry["magnitude"].extension
