"""A study is right as a whole, or refused with one line that says where and what is allowed."""

import copy
import itertools
import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import REPOSITORY, SMALL
from minified import data, networks, plain, study
from minified.errors import StudyError

DIGITS = (REPOSITORY / "config" / "digits.yaml").read_text()
PLUGIN = "criteria: {snip: {file: snip.py, levels: [parameter]}}\n"


@pytest.fixture(autouse=True)
def _never_hangs() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError("reading a study took more than two minutes")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for many studies in turn, with the file of a criterion of one's own."""
    made = tmp_path_factory.mktemp("studies")
    (made / "snip.py").write_text("def snip(): ...\n")
    return made


def load(folder: Path, text: str | bytes) -> study.Study:
    file = folder / "mine.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
    return study.load(file)


def told(error: StudyError) -> str:
    """The refusal, if it is one line that any terminal shows as it is."""
    line = str(error)
    assert line.splitlines() == [line]
    assert line.isprintable()
    assert len(line) < 1500
    return line


def refusal(folder: Path, text: str | bytes) -> str:
    """What follows the file's name in the one line with which a study is refused."""
    with pytest.raises(StudyError) as caught:
        load(folder, text)
    line = told(caught.value)
    assert line.startswith(f"{folder / 'mine.yaml'}: ")
    return line.removeprefix(f"{folder / 'mine.yaml'}: ")


def outcome(folder: Path, text: str | bytes) -> str:
    """The refusal, or nothing for a study whose jobs can be named in a path and in a shell."""
    try:
        loaded = load(folder, text)
    except StudyError as error:
        line = told(error)
        assert line.startswith(f"{folder / 'mine.yaml'}: ")
        return line.removeprefix(f"{folder / 'mine.yaml'}: ")
    jobs = list(loaded.jobs())
    assert jobs
    for job in jobs:
        assert re.fullmatch(r"[a-z0-9_.-]+", f"{job.method}{job.place}{job.regime}")
    return ""


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
    ("old", "new", "words"),
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
        ("name: mlp", "name: vggg", ("network.name", "'vggg'", "mlp, lenet5, vgg")),
        ("name: mlp", "name: [1]", ("network.name", "[1]", "mlp, lenet5, vgg")),
        ("name: mlp", "channels: [3]", ("network.channels", "allowed: name, widths")),
        ("name: mlp, widths", "name: vgg, channels", ("network.channels[0]", "16", "list")),
        ("mlp, widths: [16, 12]", "lenet5, channels: [2, 2, 2]", ("network.channels", "8 x 8")),
        ("mlp, widths: [16, 12]", "vgg, channels: [[2], [0]]", ("network.channels[1][0]", "0")),
        ("replicates: 3", "replicates: 3\ndata_root: ''", ("data_root", "''", "1 character")),
        ("replicates: 3", "replicates: 3\ndevice: gpu", ("device", "'gpu'", "'cuda'")),
        ("network: {name: mlp, widths: [16, 12]}", "network: {name: mlp, widths: []}", ("1 item",)),
        ("epochs: 4", "epochs: 4, augmentation: flip", ("augmentation", "'flip'", "'crop_flip'")),
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
    tmp_path: Path, old: str, new: str, words: tuple[str, ...]
) -> None:
    assert old in SMALL
    line = refusal(tmp_path, SMALL.replace(old, new, 1))
    for word in words:
        assert word in line


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


# A study with every key there is, as a tree; what is written into it stands in it as `Raw` YAML.

KEYS_WITH_DEFAULTS = """\
data:
  name: digits
  validation: 0.2
  test: 0.2
  saliency_examples: 100
  training_examples: 1000
data_root: /data
device: cpu
keep_networks: true
criteria: {snip: {file: snip.py, levels: [parameter], title: Single-shot (SNIP)}}
options: {dropout_damage: {probability: 0.2, passes: 9}}
claims:
  substantial_parameter_sparsity: 0.9
  substantial_neuron_sparsity: 0.75
  size_boundary_points: 2.0
  confidence: 0.95
damage: {units: 20}
"""
RECIPE_KEYS_WITH_DEFAULTS = {
    "momentum": 0.9,
    "weight_decay": 0.0,
    "warmup_epochs": 0,
    "augmentation": "none",
    "batch_norm": "train",
}


def _whole_study() -> dict[str, Any]:
    tree = plain.parse(DIGITS) | plain.parse(KEYS_WITH_DEFAULTS)
    # Five recipes are alike: one of them has every key, the others what they must have.
    for name, recipe in tree["recipes"].items():
        if name == "baseline":
            recipe.update(RECIPE_KEYS_WITH_DEFAULTS)
        else:
            tree["recipes"][name] = {key: recipe[key] for key in ("learning_rate", "epochs")}
    for part in tree["grid"].values():
        part.update({key: value[-1:] for key, value in part.items() if isinstance(value, list)})
    return tree


WHOLE = _whole_study()

Place = tuple[str | int, ...]


class Raw(str):
    """YAML that is written as it is; as a key it differs from the key that it spells."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Raw) and str.__eq__(self, other)


def written(value: Any) -> str:
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{written(k)}: {written(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    if isinstance(value, float):
        return {"inf": ".inf", "nan": ".nan"}.get(repr(value), repr(value))
    return json.dumps(value, ensure_ascii=False)


def places(value: Any, here: Place = ()) -> Iterator[Place]:
    """Every place of a tree below its root, from top to bottom."""
    if here:
        yield here
    if isinstance(value, dict | list):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(child, (*here, key))


def at(tree: Any, place: Place) -> Any:
    for key in place:
        tree = tree[key]
    return tree


def changed(place: Place, value: Any) -> str:
    """The whole study's text, with `value` at `place`."""
    tree = copy.deepcopy(WHOLE)
    at(tree, place[:-1])[place[-1]] = value
    return written(tree)


def dotted(place: Place) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place)[1:]


PLACES = list(places(WHOLE))
MAPPINGS = [()] + [place for place in PLACES if isinstance(at(WHOLE, place), dict)]
LISTS = [place for place in PLACES if isinstance(at(WHOLE, place), list)]
NAMES_OF_ONES_OWN = ("criteria", "options", "options.dropout_damage")


def test_the_study_that_these_tests_break_has_every_key_there_is(folder: Path) -> None:
    assert outcome(folder, written(WHOLE)) == ""
    kept = load(folder, written(WHOLE)).model_dump(exclude={"name", "file"})
    spelled = [re.sub(r"recipes\.\w+", "recipes.RECIPE", dotted(place)) for place in PLACES]
    assert {re.sub(r"recipes\.\w+", "recipes.RECIPE", dotted(p)) for p in places(kept)} == {
        *spelled
    }


# Each is wrong wherever a study has a value, but for the kinds of value named beside it.
WRONG: list[tuple[Any, set[str]]] = [
    (None, {"optional"}),
    ("nonsense", {"text"}),
    ("", set()),
    ("x; touch pwned", {"any text"}),
    ("\x1b[2J\n\r\x85\u2028\0", set()),
    (True, {"bool"}),
    (0.123456789, {"float"}),
    (-1, set()),
    (-0.5, set()),
    (10**400, set()),
    (1e300, set()),
    (float("inf"), set()),
    (float("nan"), set()),
    ([], set()),
    ([[]], set()),
    ([None, None], set()),
    ({}, {"all optional"}),
    ({"zzz": 1}, set()),
]
# What YAML has and a study has not; and what is too long to be worth a look.
WRONG_YAML = ["2020-01-01", "!zzz 1", r'"\ud800"', "0x" + "f" * 1_500]


def kinds(place: Place) -> set[str]:
    """What the value at a place may be: its own type, or nothing where it may be left out."""
    found = {type(at(WHOLE, place)).__name__}
    if dotted(place) == "criteria.snip.title":
        found |= {"text", "optional"}
    if dotted(place) == "data.training_examples":
        found |= {"optional"}
    if dotted(place) == "data_root":
        found |= {"text", "any text"}
    if dotted(place) in ("grid.parameter", "grid.neuron", "grid.quantization"):
        found |= {"optional"}
    if dotted(place) in ("data", "claims", "damage", *NAMES_OF_ONES_OWN):
        found |= {"all optional"}
    return found


@pytest.mark.parametrize("place", PLACES, ids=dotted)
def test_a_wrong_value_is_refused_by_its_own_key(
    folder: Path, monkeypatch: pytest.MonkeyPatch, place: Place
) -> None:
    tree = copy.deepcopy(WHOLE)
    # Parsing takes far longer than the rest.
    monkeypatch.setattr(plain, "parse", lambda text: tree)
    for value, right_for in WRONG:
        at(tree, place[:-1])[place[-1]] = value
        line = outcome(folder, "")
        if kinds(place) & right_for:
            assert line == "", value
        else:
            # The place itself, or what is missing or unknown below it.
            assert re.match(re.escape(dotted(place)) + r"(: |\.|\[)", line), (value, line)


@pytest.mark.parametrize(
    ("place", "raw"), list(zip(PLACES, itertools.cycle(WRONG_YAML), strict=False))
)
def test_what_only_yaml_has_is_refused_by_its_own_key(folder: Path, place: Place, raw: str) -> None:
    assert refusal(folder, changed(place, Raw(raw))).startswith(f"{dotted(place)}: ")


REQUIRED = re.compile(
    r"network(\.widths)?|recipes(\.\w+(\.(learning_rate|epochs))?)?|grid(\.\w+\.\w+)?"
    r"|criteria\.\w+\.(file|levels)"
)


@pytest.mark.parametrize(
    "place", [place for place in PLACES if isinstance(place[-1], str)], ids=dotted
)
def test_a_missing_key_is_refused_by_its_name_unless_it_has_a_default(
    folder: Path, place: Place
) -> None:
    tree = copy.deepcopy(WHOLE)
    del at(tree, place[:-1])[place[-1]]
    missing = f"{dotted(place)}: missing: this key is required"
    assert outcome(folder, written(tree)) == (missing if REQUIRED.fullmatch(dotted(place)) else "")


@pytest.mark.parametrize("place", MAPPINGS, ids=dotted)
def test_an_unknown_key_is_refused_with_those_that_are_known(folder: Path, place: Place) -> None:
    line = refusal(folder, changed((*place, "zzz"), 1))
    assert line.startswith(f"{dotted((*place, 'zzz'))}: 1: ")
    if place[:1] not in (("criteria",), ("options",)) or len(place) == 2:
        alike = ("recipes", "baseline") if dotted(place).startswith("recipes.") else place
        assert "unknown key; allowed: " in line
        assert set(line.partition("allowed: ")[2].split(", ")) == set(at(WHOLE, alike))


@pytest.mark.parametrize(
    "key", ["5", "-0.5", "null", "~", "true", ".nan", "2020-01-01", "[a, b]", "{a: b}", "!!int 7"]
)
@pytest.mark.parametrize("place", MAPPINGS[:3], ids=dotted)
def test_a_key_that_is_no_word_is_refused(folder: Path, place: Place, key: str) -> None:
    tree = copy.deepcopy(WHOLE)
    at(tree, place)[Raw(f"? {key} ")] = 1
    assert "a key must be a word (line 1)" in refusal(folder, written(tree))


@pytest.mark.parametrize(
    "place", [place for place in PLACES if isinstance(place[-1], str)], ids=dotted
)
def test_a_key_that_stands_twice_is_refused_by_its_whole_path_and_line(
    folder: Path, place: Place
) -> None:
    tree = copy.deepcopy(WHOLE)
    at(tree, place[:-1])[Raw(f"\n {place[-1]}")] = 1
    assert refusal(folder, written(tree)) == f"{dotted(place)}: 1: a key may stand once (line 2)"


@pytest.mark.parametrize("place", LISTS, ids=dotted)
def test_a_value_that_stands_twice_in_a_list_is_refused_but_for_widths(
    folder: Path, place: Place
) -> None:
    values = at(WHOLE, place)
    line = outcome(folder, changed(place, values + values[:1]))
    if place[-1] == "widths":
        assert line == ""
    else:
        assert line.startswith(f"{dotted(place)}[{len(values)}]: ")
        assert "given twice" in line


def test_keys_that_are_merged_count_unless_the_recipe_has_its_own(tmp_path: Path) -> None:
    merged = "{<<: [*short, {epochs: 7, momentum: 0.5}], batch_size: 8}"
    recipe = load(tmp_path, SMALL.replace("fine_tune: *short", f"fine_tune: {merged}")).recipes
    assert (recipe.fine_tune.learning_rate, recipe.fine_tune.epochs) == (0.01, 4)
    assert (recipe.fine_tune.momentum, recipe.fine_tune.batch_size) == (0.5, 8)


@pytest.mark.parametrize(
    ("recipe", "start"),
    [
        ("{<<: *short, <<: *short}", "recipes.fine_tune.<<: {'batch_size': 32,"),
        ("{<<: *short, epochs: 5, epochs: 6}", "recipes.fine_tune.epochs: 6: a key may stand once"),
        ("{<<: {epochs: 5, epochs: 6}}", "recipes.fine_tune.<<.epochs: 6: a key may stand once"),
        ("{<<: 5}", "recipes.fine_tune.<<: 5: must be keys and values to merge"),
        ("{<<: [*short, 5]}", "recipes.fine_tune.<<: [{"),
        ("{<<: {zzz: 5}}", "recipes.fine_tune.zzz: 5: unknown key"),
    ],
)
def test_what_cannot_be_merged_is_refused(tmp_path: Path, recipe: str, start: str) -> None:
    line = refusal(tmp_path, SMALL.replace("fine_tune: *short", f"fine_tune: {recipe}"))
    assert line.startswith(start)


def _laughs(levels: int, pattern: str) -> str:
    """Aliases of aliases: a few hundred bytes that stand for 9 ** levels values."""
    lines = ["l0: &l0 {x: 1}"]
    for level in range(1, levels + 1):
        aliases = ",".join([f"*l{level - 1}"] * 9)
        lines.append(f"l{level}: &l{level} {pattern.format(aliases)}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (_laughs(7, "[{}]"), "at most 50,000 values"),
        (_laughs(7, "{{<<: [{}]}}"), "at most 50,000 values"),
        (_laughs(7, "[{}]") + "replicates: *l7\n", "at most 50,000 values"),
        (_laughs(3, "[{}]"), "l0: {'x': 1}: unknown key"),
        ("a: &a [*a]\n", "a[0][0][0]: line 1: must be nested at most 16 deep"),
        ("a: &a {a: *a}\n", "a.a.a.a: line 1: must be nested at most 16 deep"),
        ("&a\n? *a\n: 1\n", "a key must be a word"),
        ("".join(f"x{i}: &x{i} [*x{i - 1}]\n" for i in range(1, 999)), "undefined alias 'x0'"),
        ("x0: &x0 1\n" + "".join(f"x{i}: &x{i} [*x{i - 1}]\n" for i in range(1, 999)), "16 deep"),
        ("[" * 100_000, "at most 16 deep"),
        ("{a: " * 50_000, "at most 16 deep"),
        ("- " * 100_000, "at most 16 deep"),
        ("? " * 100_000, "at most 16 deep"),
        ("#" * 300_000, "at most 262,144 bytes"),
        ("a" * 200_000, "at most 1,000 characters"),
        ("a" * 900 + ": 1\n", "unknown key"),
        ("x: [" + ",".join("9" * 2_000) + "]", "unknown key"),
        ("a: 1\n---\nb: 1\n", "line 2, expected a single document"),
        ("a: 1\n\tb: 1\n", "line 2"),
        ("a: 1\0\n", r"line 1: the character '\x00' is not allowed"),
        ("a: 1\n# \x1b[2J\n", r"line 2: the character '\x1b' is not allowed"),
        ("a: 1\n# \ud800\n", "UTF-8 text, but line 2 is not"),
        (SMALL.encode("utf-16"), "UTF-8 text"),
        (SMALL.encode("utf-16-le"), r"the character '\x00' is not allowed"),
        (SMALL.encode() + b"# \xe9\n", "UTF-8 text, but line 24 is not"),
        ("%YAML 1.1\n---\n" + SMALL, "%YAML: must be 1.2"),
        ("%YAML 1.3\n---\n" + SMALL, "not valid YAML"),
        ("%YAML 7\n---\n" + SMALL, "not valid YAML"),
        ('a: "\\U00110000"\n', "not valid YAML"),
        ("!!python/object/apply:os.system [true]", "!!python/object/apply:os.system"),
        (r'"\e\n\u2028": 1', r"'\x1b\n\u2028': 1: unknown key"),
        (r'"a.b: c": 1', "'a.b: c': 1: unknown key"),
        ("", "must hold keys and values"),
        ("- a\n- b\n", "['a', 'b']: a study must hold keys and values"),
        ("a: *b", "undefined alias 'b'"),
        ("a: *" + "b" * 100_000, "undefined alias 'bbb"),
        ("a: !!int ''", "a: '': must be a valid int"),
        ("a: !!float b", "a: 'b': must be a valid float"),
        ("a: !!bool b", "a: 'b': must be a valid bool"),
        ("a: !!set {b, c}", "a: !!set (line 1): must be a number"),
        ('criteria: {"\\ud800": {}}', r"criteria: '\ud800': must be a valid str"),
        ("a: [1\nb: 2\n", "not valid YAML: line 2"),
    ],
    ids=lambda text: repr(text[:20]),
)
def test_a_hostile_or_broken_text_is_refused_at_once(
    tmp_path: Path, text: str | bytes, words: str
) -> None:
    assert words in refusal(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + SMALL,
        SMALL.replace("\n", "\r\n"),
        "---\n" + SMALL + "...\n",
        "%YAML 1.2\n---\n" + SMALL,
        SMALL.replace("scratch: *short", "scratch: &short {learning_rate: 1, epochs: 1}"),
    ],
    ids=["byte order mark", "carriage returns", "document marks", "version", "anchor used again"],
)
@pytest.mark.filterwarnings("error")
def test_what_yaml_allows_and_editors_write_is_read(folder: Path, text: str) -> None:
    assert outcome(folder, text) == ""


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Path.mkdir, "must be a file, not a folder, device or pipe"),
        (os.mkfifo, "must be a file, not a folder, device or pipe"),
        (_device, "must be a file, not a folder, device or pipe"),
        (_dangling, "no such study"),
        (_loop, "cannot be read"),
    ],
)
def test_what_is_no_file_is_refused_and_not_waited_for(
    tmp_path: Path, make: Callable[[Path], None], words: str
) -> None:
    file = tmp_path / "mine.yaml"
    make(file)
    with pytest.raises(StudyError, match=words) as caught:
        study.load(file)
    assert told(caught.value).startswith(f"{file}: ")


def test_a_file_that_may_not_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(path: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "mine.yaml").touch()
    monkeypatch.setattr(Path, "open", forbidden)
    with pytest.raises(StudyError, match=r"mine.yaml: cannot be read \(Permission denied\)"):
        study.load(tmp_path / "mine.yaml")


@pytest.mark.parametrize(
    "path",
    [
        "a\nb/c.yaml",
        "a\x1b[2J/c.yaml",
        "a\u2028\x85/c.yaml",
        "a\0/c.yaml",
        "a\udc80/c.yaml",
        "a/" * 9,
    ],
)
def test_a_path_of_any_characters_is_told_on_one_line(path: str) -> None:
    with pytest.raises(StudyError) as caught:
        study.load(path)
    assert told(caught.value)


@pytest.mark.parametrize(
    "stem", ["x; touch pwned", "$(id)", "a\nb", "a b", "x{y}", "-x", "Ä", "A", "a" * 65, "a'b"]
)
def test_a_file_whose_name_is_no_study_s_name_is_refused(tmp_path: Path, stem: str) -> None:
    with pytest.raises(StudyError, match="a study's name must be of a-z") as caught:
        study.load(tmp_path / f"{stem}.yaml")
    assert told(caught.value)


@pytest.mark.parametrize("given", [7, 1.5, True, {"a": "b\n"}])
def test_a_study_that_snakemake_reads_as_no_text_is_refused(given: Any) -> None:
    with pytest.raises(StudyError) as caught:
        study.load(given)
    assert told(caught.value)


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
    (folder / "of mine" / "snip-2.py").write_text("def snip(): ...\n")
    for file in ("of mine/snip-2.py", f"../{folder.name}/snip.py", str(folder / "snip.py")):
        assert outcome(folder, changed(("criteria", "snip", "file"), file)) == ""


def test_even_a_long_list_of_what_is_allowed_stays_short(folder: Path) -> None:
    own = {f"{'long' * 9}{i}": WHOLE["criteria"]["snip"] | {"title": f"{i}"} for i in range(50)}
    tree = copy.deepcopy(WHOLE) | {"criteria": own}
    tree["grid"]["parameter"]["criteria"] = ["snap"]
    line = refusal(folder, written(tree))
    assert line.startswith("grid.parameter.criteria[0]: 'snap': unknown here; allowed: random, ")


def test_two_criteria_of_one_title_are_refused(folder: Path) -> None:
    line = refusal(folder, changed(("criteria", "snip", "title"), "OBD"))
    assert line == "criteria.snip.title: 'OBD': must be a title that no other criterion has"


def _parameters(widths: list[int]) -> int:
    network = networks.build("mlp", (1, 8, 8), 10, widths=widths)
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_shapes_by_which_memory_is_bounded_are_those_of_the_data() -> None:
    assert set(study.DATA_SHAPES) == set(data.DATASETS)
    digits = data.load("digits")
    assert study.DATA_SHAPES["digits"] == (digits.input_shape, digits.classes)


def test_networks_that_fill_the_bound_are_allowed_and_one_replicate_more_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = _parameters([16, 12])
    monkeypatch.setattr(study, "MOST_PARAMETERS", 3 * one)
    load(tmp_path, SMALL)
    line = refusal(tmp_path, SMALL.replace("replicates: 3", "replicates: 4"))
    assert line.startswith("replicates: 4: must be at most 3, ")
    monkeypatch.setattr(study, "MOST_PARAMETERS", one - 1)
    line = refusal(tmp_path, SMALL)
    assert (
        line == f"network.widths: [16, 12]: must give at most {one - 1:,} parameters, not {one:,}"
    )


@pytest.mark.parametrize(
    ("old", "new", "start"),
    [
        ("[16, 12]", "[65536, 65536]", "network.widths: [65536, 65536]: "),
        ("[16, 12]", f"[{'65536, ' * 64}]", "network.widths: [65536, 65536, 65536, 65536, ...]: "),
        ("[16, 12]\nreplicates: 3", "[65536]\nreplicates: 10000", "replicates: 10000: "),
    ],
)
def test_networks_beyond_any_memory_are_refused(
    tmp_path: Path, old: str, new: str, start: str
) -> None:
    text = SMALL.replace("network: {name: mlp, widths: [16, 12]}", "network:\n  widths: [16, 12]")
    line = refusal(tmp_path, text.replace(old, new))
    assert line.startswith(start)
    assert "1,000,000,000 parameters" in line


def test_a_grid_of_more_jobs_than_any_machine_runs_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = len(list(load(folder, SMALL).jobs()))
    monkeypatch.setattr(study, "MOST_JOBS", jobs)
    load(folder, SMALL)
    line = refusal(folder, SMALL.replace("[0.9]", "[0.9, 0.95]"))
    assert line == f"grid: {jobs + 4} jobs: must be at most {jobs} jobs"


def test_an_option_that_is_too_large_is_refused_with_its_bound(folder: Path) -> None:
    line = refusal(folder, changed(("options", "dropout_damage", "passes"), 10**9))
    assert line.endswith("must be an integer at least 2 below 1e9")


# Properties of any configuration, however it is broken.

_BOUNDED = settings(max_examples=250, deadline=10_000, derandomize=True)
_VALUES = st.one_of(
    st.sampled_from([value for value, _ in WRONG]),
    st.sampled_from([*WRONG_YAML, "*a", "&a 1", "[1, 1]", "{a: 1, a: 1}", "{<<: {}}"]).map(Raw),
    st.sampled_from(PLACES).map(lambda place: copy.deepcopy(at(WHOLE, place))),
    st.integers(-3, 10**20),
    st.floats(0, 1),
    st.text(max_size=6),
)
_KEYS = st.one_of(
    st.sampled_from([key for place in PLACES for key in place if isinstance(key, str)]),
    st.sampled_from([Raw("5"), Raw("null"), Raw(".nan"), Raw("<<"), Raw("? [a]\n"), Raw("''")]),
    st.text(max_size=6),
)


def _put(parent: Any, key: Any, value: Any) -> None:
    if isinstance(parent, list):
        parent.insert(key if isinstance(key, int) else 0, value)
    else:
        parent[key] = value


@st.composite
def broken_trees(draw: st.DrawFn) -> str:
    """The whole study after one to four changes of its structure."""
    tree = copy.deepcopy(WHOLE)
    for _ in range(draw(st.integers(1, 4))):
        there = list(places(tree))
        place = draw(st.sampled_from(there))
        parent, last = at(tree, place[:-1]), place[-1]
        match draw(st.sampled_from(["replace", "delete", "add", "rename", "repeat", "swap"])):
            case "replace":
                parent[last] = copy.deepcopy(draw(_VALUES))
            case "delete":
                del parent[last]
            case "add":
                _put(parent, draw(_KEYS), copy.deepcopy(draw(_VALUES)))
            case "rename":
                _put(parent, draw(_KEYS), parent.pop(last))
            case "repeat":
                twice = Raw(json.dumps(last)) if isinstance(last, str) else last
                _put(parent, twice, copy.deepcopy(parent[last]))
            case "swap":
                other = draw(st.sampled_from(there))
                one, two = (copy.deepcopy(at(tree, each)) for each in (place, other))
                at(tree, other[:-1])[other[-1]] = one
                # Unless one holds the other.
                if other[: len(place)] != place and place[: len(other)] != other:
                    parent[last] = two
        tree.setdefault("seed", 0)
    return written(tree)


@_BOUNDED
@given(text=broken_trees())
def test_a_study_of_any_structure_is_valid_or_refused_in_one_line(folder: Path, text: str) -> None:
    outcome(folder, text)


_SNIPPETS = st.one_of(
    st.sampled_from(
        [*"\"'{}[]:,#&*!|>%@`?-~=<\t\n\r\0\x1b\x7f\x85\u2028\ufeff\ud800", "<<: ", "---"]
    ),
    st.sampled_from(
        ["&a ", "*a ", "*short", "!!int ", "!!set ", "? ", "- ", ": ", "\n%YAML 1.1\n"]
    ),
    st.characters(),
)


@st.composite
def broken_texts(draw: st.DrawFn) -> str:
    """A study's file after one to four edits of its lines and characters."""
    text = draw(st.sampled_from([SMALL + PLUGIN, DIGITS]))
    for _ in range(draw(st.integers(1, 4))):
        lines = text.splitlines(keepends=True) or [""]
        line, other = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
        start = draw(st.integers(0, len(text)))
        change = draw(st.sampled_from(["delete", "repeat", "swap", "insert", "overwrite", "cut"]))
        if change == "insert":
            text = text[:start] + draw(_SNIPPETS) + text[start:]
        elif change == "overwrite":
            snippet = draw(_SNIPPETS)
            text = text[:start] + snippet + text[start + len(snippet) :]
        elif change == "cut":
            text = text[:start]
        else:
            if change == "delete":
                del lines[line]
            elif change == "repeat":
                lines.insert(other, lines[line])
            else:
                lines[line], lines[other] = lines[other], lines[line]
            text = "".join(lines)
    return text


@_BOUNDED
@given(text=broken_texts())
def test_a_file_with_any_characters_is_valid_or_refused_in_one_line(
    folder: Path, text: str
) -> None:
    outcome(folder, text)


@_BOUNDED
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_a_file_of_any_bytes_is_refused_in_one_line(folder: Path, content: bytes) -> None:
    assert outcome(folder, content)


def test_an_excerpt_holds_what_a_job_uses_and_nothing_else(tmp_path: Path) -> None:
    one = load(tmp_path, SMALL)
    other = load(tmp_path, SMALL.replace("sparsities: [0.75]", "sparsities: [0.5, 0.75]"))
    assert one.excerpt("seed", "recipes.scratch") == other.excerpt("seed", "recipes.scratch")
    assert one.excerpt("grid.neuron") != other.excerpt("grid.neuron")


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


def test_a_negative_zero_is_the_sparsity_zero(tmp_path: Path) -> None:
    loaded = load(tmp_path, SMALL.replace("sparsities: [0.9]", "sparsities: [-0.0]"))
    assert next(iter(loaded.jobs())).place == "0.0"


@pytest.mark.parametrize("value", ["true", ".nan", "many", "[3]"])
def test_an_option_of_a_wrong_type_is_refused_by_its_own_key(tmp_path: Path, value: str) -> None:
    line = refusal(tmp_path, SMALL + f"options: {{dropout_damage: {{passes: {value}}}}}\n")
    assert "options.dropout_damage.passes: " in line
    assert "an integer at least 2" in line
