"""A study's keys and values: each that is wrong is refused by its own key, with what is allowed."""

import copy
import itertools
import re
from pathlib import Path

import pytest

from conftest import SMALL
from minified.study import grid, text
from studies import (
    CHANGED_RECIPE,
    LISTS,
    MAPPINGS,
    NAMES_OF_ONES_OWN,
    PLACES,
    RECIPE,
    WHOLE,
    WRONG,
    WRONG_YAML,
    Place,
    Raw,
    at,
    changed,
    dotted,
    load,
    outcome,
    places,
    refusal,
    written,
)

pytestmark = pytest.mark.usefixtures("never_hangs")


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
        (
            "damage: {units: 20}",
            "damage: {replicates: 0}",
            ("damage.replicates", "0", "equal to 1"),
        ),
        ("damage: {units: 20}", "damage: {replicates: 9}", ("damage.replicates", "9", "at most")),
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


def test_the_study_that_these_tests_break_has_every_key_there_is(folder: Path) -> None:
    assert outcome(folder, written(WHOLE)) == ""
    kept = load(folder, written(WHOLE)).model_dump(
        exclude={"name", "file", "specification", "specified"}
    )
    spelled = {RECIPE.sub("RECIPE", dotted(place)) for place in PLACES}
    assert {RECIPE.sub("RECIPE", dotted(place)) for place in places(kept)} == spelled


def kinds(place: Place) -> set[str]:
    """What the value at a place may be: its own type, or nothing where it may be left out."""
    found = {type(at(WHOLE, place)).__name__}
    if place[-1] == "title":
        found |= {"text", "optional"}
    if dotted(place) in ("data.training_examples", "regimes.scratch_long.seeds"):
        found |= {"optional"}
    if dotted(place) == "data_root":
        found |= {"text", "any text"}
    if dotted(place) in ("grid.parameter", "grid.neuron", "grid.quantization"):
        found |= {"optional"}
    if dotted(place) in ("data", "claims", "damage", "specifications", *NAMES_OF_ONES_OWN):
        found |= {"all optional"}
    if CHANGED_RECIPE.match(dotted(place)):
        found |= {"all optional" if CHANGED_RECIPE.fullmatch(dotted(place)) else "optional"}
    if place[-1] == "round_epochs" or dotted(place) in ("damage.replicates", "replicates_per_job"):
        found |= {"optional"}
    return found


@pytest.mark.parametrize("place", PLACES, ids=dotted)
def test_a_wrong_value_is_refused_by_its_own_key(
    folder: Path, monkeypatch: pytest.MonkeyPatch, place: Place
) -> None:
    tree = copy.deepcopy(WHOLE)
    # Parsing takes far longer than the rest.
    monkeypatch.setattr(text, "parse", lambda content: tree)
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
    r"network(\.widths)?|recipes(\.\w+(\.(learning_rate|epochs))?)?|grid(\.\w+\.(?!scopes|recipes|rounds?_?)\w+)?"
    r"|criteria\.\w+\.(file|levels)|regimes\.\w+\.(start|recipe(\.(learning_rate|epochs))?)"
)
NEEDED_BY = {
    "recipes.fine_tune": ": grid.parameter.regimes has fine_tune",
    "recipes.rewind": ": grid.parameter.regimes has rewind",
    "recipes.scratch": ": grid.neuron.regimes has scratch",
    "recipes.quantization": ": grid.quantization.regimes has fine_tune",
}


@pytest.mark.parametrize(
    "place", [place for place in PLACES if isinstance(place[-1], str)], ids=dotted
)
def test_a_missing_key_is_refused_by_its_name_unless_it_has_a_default(
    folder: Path, place: Place
) -> None:
    tree = copy.deepcopy(WHOLE)
    del at(tree, place[:-1])[place[-1]]
    key = dotted(place)
    if place[-1] == "rounds":
        del at(tree, place[:-1])["round_epochs"]  # which needs it
    missing = f"{key}: missing: this key is required{NEEDED_BY.get(key, '')}"
    assert outcome(folder, written(tree)) == (missing if REQUIRED.fullmatch(key) else "")


@pytest.mark.parametrize("place", MAPPINGS, ids=dotted)
def test_an_unknown_key_is_refused_with_those_that_are_known(folder: Path, place: Place) -> None:
    line = refusal(folder, changed((*place, "zzz"), 1))
    assert line.startswith(f"{dotted((*place, 'zzz'))}: 1: ")
    if dotted(place) not in set(NAMES_OF_ONES_OWN) - {"options.dropout_damage"}:
        alike = ("recipes", "baseline") if RECIPE.search(dotted(place)) else place
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
def test_a_key_that_is_given_twice_is_refused_by_its_whole_path_and_line(
    folder: Path, place: Place
) -> None:
    tree = copy.deepcopy(WHOLE)
    at(tree, place[:-1])[Raw(f"\n {place[-1]}")] = 1
    assert (
        refusal(folder, written(tree))
        == f"{dotted(place)}: 1: a key may be given only once (line 2)"
    )


@pytest.mark.parametrize("place", LISTS, ids=dotted)
def test_a_value_that_is_given_twice_in_a_list_is_refused_but_for_widths(
    folder: Path, place: Place
) -> None:
    values = at(WHOLE, place)
    line = outcome(folder, changed(place, values + values[:1]))
    if place[-1] == "widths":
        assert line == ""
    else:
        assert line.startswith(f"{dotted(place)}[{len(values)}]: ")
        assert "given twice" in line


def test_a_negative_zero_is_the_sparsity_zero(tmp_path: Path) -> None:
    loaded = load(tmp_path, SMALL.replace("sparsities: [0.9]", "sparsities: [-0.0]"))
    assert next(iter(loaded.jobs())).place == "0.0"


def test_a_grid_of_more_jobs_than_any_machine_runs_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = len(list(load(folder, SMALL).jobs()))
    monkeypatch.setattr(grid, "MOST_JOBS", jobs)
    load(folder, SMALL)
    line = refusal(folder, SMALL.replace("[0.9]", "[0.9, 0.95]"))
    assert line == f"grid: {jobs + 4} jobs: must be at most {jobs} jobs"
