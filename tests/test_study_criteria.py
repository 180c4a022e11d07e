"""Criteria of the reader's own: their files, titles and options, checked before any job."""

import copy
import importlib
from pathlib import Path

import pytest

from conftest import FUNCTION, HEAD, SMALL
from studies import WHOLE, changed, outcome, refusal, written

pytestmark = pytest.mark.usefixtures("never_hangs")


@pytest.mark.parametrize(
    "file",
    [
        "{method}.py",
        "$(touch pwned).py",
        "a;b.py",
        "a'b.py",
        'a"b.py',
        "a\nb.py",
        "snip.py\n",
        "*.py",
        "~/snip.py",
        "snip.pyc",
        ".py",
        "",
        "a/" * 200 + "snip.py",
    ],
)
def test_a_criterion_s_path_holds_nothing_that_snakemake_or_a_shell_reads(
    folder: Path, file: str
) -> None:
    line = refusal(folder, changed(("criteria", "snip", "file"), file))
    assert line.startswith("criteria.snip.file: ")
    assert "A-Z a-z 0-9 _ . / - and spaces, then .py" in line


def test_a_criterion_s_path_may_be_relative_or_absolute(folder: Path) -> None:
    (folder / "of mine").mkdir()
    (folder / "of mine" / "snip-2.py").write_text(FUNCTION)
    for file in ("of mine/snip-2.py", f"../{folder.name}/snip.py", str(folder / "snip.py")):
        assert outcome(folder, changed(("criteria", "snip", "file"), file)) == ""


def test_even_a_long_list_of_what_is_allowed_stays_short(folder: Path) -> None:
    own = {f"{'long' * 9}{i}": WHOLE["criteria"]["snip"] | {"title": f"{i}"} for i in range(50)}
    tree = copy.deepcopy(WHOLE) | {"criteria": own}
    tree["grid"]["parameter"]["criteria"] = ["snap"]
    line = refusal(folder, written(tree))
    assert line.startswith("grid.parameter.criteria[0]: 'snap': unknown here; allowed: magnitude, ")


def test_two_criteria_of_one_title_are_refused(folder: Path) -> None:
    line = refusal(folder, changed(("criteria", "snip", "title"), "OBD"))
    assert line == "criteria.snip.title: 'OBD': must be a title that no other criterion has"


def test_an_option_that_is_too_large_is_refused_with_its_bound(folder: Path) -> None:
    line = refusal(folder, changed(("options", "dropout_damage", "passes"), 10**9))
    assert line.endswith("must be an integer at least 2 below 1e9")


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("snip.txt", "def snip(): ...", "Python file"),
        ("snip.py", "def snap(): ...", "must have a function snip()"),
        ("snip.py", "def snip(:", "not valid Python, line 1"),
        ("snip.py", "\0", "Python"),
        ("snip.py", "x = " + "-" * 99_999 + "1", "cannot be read as Python"),
        ("snip.py", "x = y" + ".z" * 99_999, "cannot be read as Python"),
        ("snip.py", "#" * 300_000, "at most 262,144 bytes"),
        ("s" * 5000 + ".py", None, "criteria.snip.file"),
    ],
)
def test_a_plugin_that_cannot_be_called_is_refused_before_any_job(
    tmp_path: Path, name: str, text: str | None, why: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    line = refusal(tmp_path, SMALL + f"criteria: {{snip: {{file: {name}, levels: [parameter]}}}}\n")
    assert "criteria.snip.file" in line
    assert why in line


@pytest.mark.parametrize("value", ["true", ".nan", "many", "[3]"])
def test_an_option_of_a_wrong_type_is_refused_by_its_own_key(tmp_path: Path, value: str) -> None:
    line = refusal(tmp_path, SMALL + f"options: {{dropout_damage: {{passes: {value}}}}}\n")
    assert "options.dropout_damage.passes: " in line
    assert "an integer at least 2" in line


# What a criterion imports of this package

OWN = "criteria: {snip: {file: snip.py, levels: [parameter]}}\n"
WITH_IMPORT = f"\n\n{HEAD}\n    import minified.evaluation\n"


@pytest.mark.parametrize(
    ("statement", "now"),
    [
        ("from minified import chains", "minified.chains is now minified.networks.chains"),
        ("from minified import data, chains", "minified.chains is now minified.networks.chains"),
        ("import minified.errors as e", "minified.errors is now minified.foundations.errors"),
        ("from minified.errors import ScoreError", "is now minified.foundations.errors"),
        ("from minified.products import matmul", "is now minified.foundations.products"),
        ("from minified import seeds, files", "minified.seeds is now minified.foundations.seeds"),
        ("from minified.architectures import plan", "is now minified.networks.architectures"),
        ("from minified.augmentation import crop_flip", "is now minified.training.augmentation"),
        ("from minified.rows import Row", "minified.rows is now minified.study.rows"),
        ("from minified import running", "minified.running is now minified.run.lock"),
        ("from minified import nothing", "there is no module minified.nothing"),
        ("from minified.jobs import common", "there is no module minified.jobs.common"),
        ("from minified.networks import nonsense", "there is no module minified.networks.nonsense"),
        ("import minified.networks.chain", "there is no module minified.networks.chain"),
        ("from minified.networks.chain import read", "there is no module minified.networks.chain"),
    ],
)
@pytest.mark.parametrize("indent", ["", "    "], ids=["at the top", "in a function"])
def test_a_criterion_that_imports_what_is_not_there_is_refused_with_where_it_is_now(
    tmp_path: Path, statement: str, now: str, indent: str
) -> None:
    (tmp_path / "snip.py").write_text(f"import torch\n{statement}\n\n\n{FUNCTION}")
    number = 2
    if indent:
        (tmp_path / "snip.py").write_text(f"{HEAD}\n    import torch\n\n    {statement}\n")
        number = 4
    line = refusal(tmp_path, SMALL + OWN)
    assert line.startswith(f"criteria.snip.file: 'snip.py': line {number}: ")
    assert line.endswith(now)


def test_every_module_that_has_moved_is_where_the_refusal_says(tmp_path: Path) -> None:
    moved = (
        *("architectures", "arithmetic", "augmentation", "chains", "errors", "files", "images"),
        *("paths", "plain", "products", "provenance", "rows", "running", "seeds", "sources"),
        "verify",
    )
    for name in moved:
        (tmp_path / "snip.py").write_text(f"import minified.{name}{WITH_IMPORT}")
        line = refusal(tmp_path, SMALL + OWN)
        importlib.import_module(line.rpartition(f"minified.{name} is now ")[2])


@pytest.mark.parametrize(
    "statement",
    [
        "import minified",
        "from minified import __version__, data, networks, pruning",
        "import minified.networks.chains as c",
        "from minified.networks import build, chains",
        "from minified.criteria.derivatives import derivatives",
        "from minified.criteria import score",
        "import errors, chains.files",
        "from seeds import derive",
    ],
)
def test_a_criterion_may_import_what_is_there_and_packages_of_its_own(
    tmp_path: Path, statement: str
) -> None:
    (tmp_path / "snip.py").write_text(f"{statement}{WITH_IMPORT}")
    assert outcome(tmp_path, SMALL + OWN) == ""
