"""A study is right as a whole, or refused with one line that says where and what is allowed."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from conftest import REPOSITORY, SMALL
from minified import study
from minified.errors import StudyError

DIGITS = (REPOSITORY / "config" / "digits.yaml").read_text()


def load(folder: Path, text: str) -> study.Study:
    file = folder / "mine.yaml"
    file.write_text(text)
    return study.load(file)


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(StudyError) as caught:
        load(folder, text)
    line = str(caught.value)
    assert "\n" not in line
    assert "mine.yaml" in line
    return line


def test_the_default_study_has_130_jobs_of_5_replicates() -> None:
    digits = study.load(REPOSITORY / "config" / "digits.yaml")
    jobs = list(digits.jobs())
    assert len(jobs) == len(set(jobs)) == 130
    assert digits.replicates == 5
    assert digits.name == "digits"


def test_numbers_are_read_as_yaml_1_2_has_them(tmp_path: Path) -> None:
    # YAML 1.1 reads 1e-3 as a word and `no` as false.
    loaded = load(tmp_path, SMALL.replace("learning_rate: 0.01", "learning_rate: 1e-3"))
    assert loaded.recipes.baseline.learning_rate == 1e-3


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("replicates: 3", "replicates: 3\nreplicas: 3", ("replicas", "3", "allowed", "replicates")),
        ("scope: global", "scope: global\n    skope: x", ("grid.parameter.skope", "'x'", "scope")),
        ("[magnitude, obd_sd]", "[magnitud]", ("criteria[0]", "'magnitud'", "magnitude")),
        ("[magnitude, obd_sd]", "[merging]", ("criteria[0]", "'merging'", "allowed")),
        ("sparsities: [0.9]", "sparsities: [1.0]", ("sparsities[0]", "1.0", "less than 1")),
        ("sparsities: [0.9]", "sparsities: [-0.1]", ("sparsities[0]", "-0.1", "equal to 0")),
        ("sparsities: [0.9]", "sparsities: [.nan]", ("sparsities[0]", "nan", "finite")),
        ("sparsities: [0.9]", "sparsities: [0.9, 0.90]", ("sparsities[1]", "0.9", "twice")),
        ("sparsities: [0.9]", "sparsities: []", ("sparsities", "[]", "at least 1")),
        ("replicates: 3", "replicates: 3\nreplicates: 4", ("replicates", "4", "once")),
        ("replicates: 3", "replicates: 0", ("replicates", "0", "greater than or equal to 1")),
        ("replicates: 3", "replicates: three", ("replicates", "'three'", "integer")),
        ("replicates: 3", "replicates: true", ("replicates", "True", "integer")),
        ("replicates: 3", "replicates: 3.0", ("replicates", "3.0", "integer")),
        ("epochs: 4", "epochs: 99999999999999999999", ("epochs", "99999999999999999999")),
        ("learning_rate: 0.01", "learning_rate: .inf", ("learning_rate", "inf", "finite")),
        ("learning_rate: 0.01, ", "", ("recipes.baseline.learning_rate", "required")),
        ("[none, fine_tune]", "[rewind]", ("quantization.regimes[0]", "'rewind'", "'none'")),
        ("scope: layer", "scope: global", ("grid.neuron.scope", "'global'", "'layer'")),
        ("damage: {units: 20}", "grid: {}", ("grid",)),
        ("widths: [16, 12]", "widths: 16", ("network.widths", "16", "list")),
        ("network: {name: mlp, widths: [16, 12]}", "", ("network", "missing", "required")),
        ("damage: {units: 20}", "damage: 20", ("damage", "20")),
        ("damage:", "options: {dropout_damage: {passes: 1}}\ndamage:", ("passes", "at least 2")),
        ("damage:", "options: {dropout_damage: {pases: 9}}\ndamage:", ("pases", "passes")),
        ("damage:", "options: {obd: {x: 1}}\ndamage:", ("options.obd", "dropout_damage")),
        (
            "damage:",
            "criteria: {obd: {file: a.py, levels: [neuron]}}\ndamage:",
            ("criteria.obd", "built-in"),
        ),
        (
            "damage:",
            "criteria: {snip: {file: a.py, levels: [neuron]}}\ndamage:",
            ("criteria.snip.file", "'a.py'", "Python file"),
        ),
    ],
)
def test_a_wrong_value_is_refused_by_key_value_and_what_is_allowed(
    tmp_path: Path, old: str, new: str, told: tuple[str, ...]
) -> None:
    assert old in SMALL
    line = refusal(tmp_path, SMALL.replace(old, new, 1))
    for word in told:
        assert word in line


@pytest.mark.parametrize(
    "text",
    ["", "- a\n- b\n", "a: [1\nb: 2\n", "!!python/object/apply:os.system [true]", "\x00", "a: *b"],
)
def test_what_is_no_study_at_all_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    refusal(tmp_path, text)


@pytest.mark.parametrize("name", ["x; touch pwned", "../digits", "", "a b", "$(id)", "Ä"])
def test_a_name_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(StudyError, match="a-z"):
        study.load(name)


def test_a_study_that_does_not_exist_is_refused_with_those_that_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(REPOSITORY)
    with pytest.raises(StudyError, match="digits"):
        study.load("nowhere")


_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 10**20),
    st.floats(),
    st.text("abc ;$`'\"\n", max_size=6),
    st.lists(st.integers(-1, 2), max_size=3),
    st.dictionaries(st.sampled_from(["a", "name"]), st.integers(), max_size=2),
)


def _places(value: object, path: tuple = ()) -> list[tuple]:
    children: list = []
    if isinstance(value, dict):
        children = [(key, child) for key, child in value.items()]
    elif isinstance(value, list):
        children = list(enumerate(value))
    return [path] * bool(path) + [p for k, c in children for p in _places(c, (*path, k))]


_TREE = YAML(typ="safe", pure=True).load(DIGITS)


@settings(max_examples=100, deadline=None)
@given(place=st.sampled_from(_places(_TREE)), value=_SCALARS)
def test_any_single_change_is_either_valid_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, place: tuple, value: object
) -> None:
    tree = YAML(typ="safe", pure=True).load(DIGITS)
    parent = tree
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = value
    file = tmp_path_factory.mktemp("mutation") / "mine.yaml"
    with file.open("w") as stream:
        YAML(typ="safe", pure=True).dump(tree, stream)
    try:
        jobs, refused = list(study.load(file).jobs()), ""
    except StudyError as error:
        jobs, refused = [], str(error)
    assert bool(jobs) != bool(refused)
    assert "\n" not in refused
    assert refused == "" or refused.startswith(f"{file}: ")


def test_an_excerpt_holds_what_a_job_uses_and_nothing_else(tmp_path: Path) -> None:
    one = load(tmp_path, SMALL)
    other = load(tmp_path, SMALL.replace("sparsities: [0.75]", "sparsities: [0.5, 0.75]"))
    assert one.excerpt("seed", "recipes.scratch") == other.excerpt("seed", "recipes.scratch")
    assert one.excerpt("grid.neuron") != other.excerpt("grid.neuron")


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("snip.txt", "def snip(): ...", "Python file"),
        ("snip.py", "def snap(): ...", "must have a function snip()"),
        ("snip.py", "def snip(:", "not valid Python, line 1"),
        ("snip.py", "\0", "Python"),
        ("s" * 5000 + ".py", None, "criteria.snip.file"),
    ],
)
def test_a_plugin_that_cannot_be_called_is_refused_before_any_job(
    tmp_path: Path, name: str, text: str | None, told: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    line = refusal(tmp_path, SMALL + f"criteria: {{snip: {{file: {name}, levels: [parameter]}}}}\n")
    assert "criteria.snip.file" in line
    assert told in line


def test_a_negative_zero_is_the_sparsity_zero(tmp_path: Path) -> None:
    loaded = load(tmp_path, SMALL.replace("sparsities: [0.9]", "sparsities: [-0.0]"))
    assert next(iter(loaded.jobs())).place == "0.0"


@pytest.mark.parametrize("value", ["true", ".nan", "many", "[3]"])
def test_an_option_of_a_wrong_type_is_refused_by_its_own_key(tmp_path: Path, value: str) -> None:
    line = refusal(tmp_path, SMALL + f"options: {{dropout_damage: {{passes: {value}}}}}\n")
    assert "options.dropout_damage.passes: " in line
    assert "an integer at least 2" in line
