"""A study with every key there is, as a tree that tests break, and what becomes of a broken one."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import REPOSITORY
from minified import study
from minified.foundations.errors import StudyError
from minified.run import submissions
from minified.run.job import Task
from minified.study import text
from minified.study.paths import Paths

DIGITS = (REPOSITORY / "config" / "digits.yaml").read_text()
PLUGIN = "criteria: {snip: {file: snip.py, levels: [parameter]}}\n"


def load(folder: Path, content: str | bytes) -> study.Study:
    """The study that a file of this content in `folder` is."""
    file = folder / "mine.yaml"
    whole = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    file.write_bytes(whole)
    return study.load(file)


def single_line(error: StudyError) -> str:
    """The refusal, if it is one line that any terminal shows as it is."""
    line = str(error)
    assert line.splitlines() == [line]
    assert line.isprintable()
    assert len(line) < 1500
    return line


def refusal(folder: Path, content: str | bytes) -> str:
    """What follows the file's name in the one line with which a study is refused."""
    with pytest.raises(StudyError) as caught:
        load(folder, content)
    line = single_line(caught.value)
    assert line.startswith(f"{folder / 'mine.yaml'}: ")
    return line.removeprefix(f"{folder / 'mine.yaml'}: ")


def outcome(folder: Path, content: str | bytes) -> str:
    """The refusal, or nothing for a study whose jobs can be named in a path and in a shell."""
    try:
        loaded = load(folder, content)
    except StudyError as error:
        line = single_line(error)
        assert line.startswith(f"{folder / 'mine.yaml'}: ")
        return line.removeprefix(f"{folder / 'mine.yaml'}: ")
    jobs = list(loaded.jobs())
    assert jobs
    for job in jobs:
        assert re.fullmatch(r"[a-z0-9_.-]+", f"{job.method}{job.place}{job.regime}")
    return ""


# A study with every key there is, as a tree; its values are plain, or YAML written as `Raw`.

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
replicates_per_job: 1
criteria: {snip: {file: snip.py, levels: [parameter], title: Single-shot (SNIP)}}
regimes:
  scratch_long:
    start: fresh
    recipe: {learning_rate: 0.01, epochs: 40}
    seeds: scratch
    title: Trained for longer
options: {dropout_damage: {probability: 0.2, passes: 9}}
claims:
  substantial_parameter_sparsity: 0.9
  substantial_neuron_sparsity: 0.75
  size_boundary_points: 2.0
  no_interest_points: 0.5
  confidence: 0.95
damage: {units: 20, replicates: 1}
specifications: {axes: {}, variants: {}}
"""
RECIPE_KEYS_WITH_DEFAULTS = {
    "momentum": 0.9,
    "weight_decay": 0.0,
    "warmup_epochs": 0,
    "augmentation": "none",
    "batch_norm": "train",
}


def _whole_study() -> dict[str, Any]:
    tree = text.parse(DIGITS) | text.parse(KEYS_WITH_DEFAULTS)
    # Five recipes are alike: one of them has every key, the others what they must have.
    for name, recipe in tree["recipes"].items():
        if name == "baseline":
            recipe.update(RECIPE_KEYS_WITH_DEFAULTS)
        else:
            tree["recipes"][name] = {key: recipe[key] for key in ("learning_rate", "epochs")}
    for part in tree["grid"].values():
        part.update({key: value[-1:] for key, value in part.items() if isinstance(value, list)})
    # So that every recipe is needed.
    tree["grid"]["parameter"]["regimes"] = ["fine_tune", "rewind"]
    tree["grid"]["neuron"]["regimes"] = ["fine_tune", "scratch"]
    for level in ("parameter", "neuron"):
        grid = tree["grid"][level]
        grid |= {"scopes": {grid["criteria"][0]: grid["scope"]}, "rounds": 2, "round_epochs": 3}
        recipe = tree["recipes"]["baseline"]
        grid["recipes"] = {"fine_tune": {**recipe, "epochs": recipe["epochs"] + 1}}
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
RECIPE = re.compile(r"recipes\.\w+|regimes\.\w+\.recipe")
CHANGED_RECIPE = re.compile(r"grid\.\w+\.recipes\.\w+")
MAPPINGS = [()] + [place for place in PLACES if isinstance(at(WHOLE, place), dict)]
LISTS = [place for place in PLACES if isinstance(at(WHOLE, place), list)]
NAMES_OF_ONES_OWN = (
    *("criteria", "regimes", "options", "options.dropout_damage"),
    *("specifications.axes", "specifications.variants"),
    *(f"grid.{level}.{key}" for level in ("parameter", "neuron") for key in ("scopes", "recipes")),
)


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
# What YAML has and a study has not, and a number that is too long to be worth a look.
WRONG_YAML = ["2020-01-01", "!zzz 1", r'"\ud800"', "0x" + "f" * 1_500]


def travelling(loaded: study.Study) -> tuple[list[Task], dict[str, str]]:
    """All jobs of a study, and the submission of each that travels: none waits for a later one."""
    paths = Paths(loaded.name)
    jobs = submissions.every(loaded, paths)
    of = submissions.submissions(loaded, paths)
    assert {job.name for job in jobs if not submissions.stays(loaded, job.stage)} == set(of)
    maker = {file: job for job in jobs for file in job.outputs}
    order = {name: number for number, name in enumerate(dict.fromkeys(of.values()))}
    for job in jobs:
        for file in job.read:
            if job.name in of and file in maker and maker[file].name in of:
                assert order[of[maker[file].name]] <= order[of[job.name]]
    return jobs, of
