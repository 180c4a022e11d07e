"""`minified try`: one line for each property of a criterion, status 1 if it lacks one."""

import subprocess
from pathlib import Path

import pytest

from conftest import FUNCTION as ONE
from conftest import HEAD, SNIP, minified
from minified.criteria import CRITERIA
from minified.criteria.record import Criterion
from minified.run import properties, trial
from minified.run.properties import NETWORKS, Mark

TOP = """\
import os, random, sys
import numpy as np
import torch
from minified.networks import chains
"""
SHAPES = "shapes = chains.unit_shapes(network, level)"


def criterion(folder: Path, body: str, top: str = "") -> Criterion:
    file = folder / "snip.py"
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    file.write_text(f"{TOP}{top}{HEAD}\n    {SHAPES}\n{lines}")
    return Criterion("snip", file, ("parameter", "neuron"), "snip")


def tried(folder: Path, body: str, level: str = "neuron", top: str = "") -> properties.Properties:
    """The properties on the perceptron."""
    return properties.of(criterion(folder, body, top), level, "perceptron", None)


GOOD = "return {n: torch.ones(s) for n, s in shapes.items()}"


@pytest.mark.parametrize("name", CRITERIA)
@pytest.mark.parametrize("network", NETWORKS)
def test_every_criterion_of_this_package_has_every_property(name: str, network: str) -> None:
    for level in CRITERIA[name].levels:
        found = properties.of(CRITERIA[name], level, network, None)
        assert "FAILED" not in [mark for mark, _ in found.values()], found
        assert {"network", "finite", "deterministic", "seconds per 1,000"} <= set(found)
        draws = found["draws"] == ("note", "another seed gives other scores")
        assert draws == (name in ("random", "dropout_damage"))
        assert found["global generators"][0] == "ok"


@pytest.mark.parametrize(
    ("body", "lacks", "says"),
    [
        (f"network[1].weight.data += 1\n{GOOD}", "network", "changes weights or buffers of 1.wei"),
        (f"network.train()\n{GOOD}", "network", "changes training mode of the whole network"),
        (f"network(inputs).sum().backward()\n{GOOD}", "network", "changes gradients of 1.weight"),
        (f"network.requires_grad_(False)\n{GOOD}", "network", "changes requires_grad of 1.weight"),
        (f"network[1].register_forward_hook(print)\n{GOOD}", "network", "changes hooks of 1"),
        (f"network[1].weight.register_hook(print)\n{GOOD}", "network", "changes hooks of 1.weigh"),
        (f"network[2].inplace = True\n{GOOD}", "network", "changes layers of 2"),
        (f"inputs.mul_(2)\n{GOOD}", "examples", "changes them in place"),
        (f"targets.zero_()\n{GOOD}", "examples", "changes them in place"),
        ("return None", "tensors", "must return {layer: tensor of scores}, not NoneType"),
        ("return {'1': torch.ones(24)}", "tensors", "scored ['1'], but the units are ['1', '3']"),
        ("return {n: np.ones(s) for n, s in shapes.items()}", "tensors", "not numpy.ndarray"),
        ("return {n: torch.ones(3) for n in shapes}", "shapes", "1 has shape (3,), not (24,)"),
        (GOOD.replace("ones(s)", "ones(s) * 1j"), "real numbers", "complex scores"),
        (GOOD.replace("ones(s)", "full(s, torch.nan)"), "finite", "not finite numbers"),
        (
            GOOD.replace("torch.ones(s)", "torch.from_numpy(np.random.default_rng().random(s))"),
            "deterministic",
            "gives other scores when it is run again with the same seed",
        ),
        (
            GOOD.replace("ones(s)", "ones(s) * inputs[0].sum()"),
            "order of examples",
            "another order of the examples changes scores by",
        ),
        (
            GOOD.replace("ones(s)", "ones(s) * (inputs[:100] ** 2).mean()"),
            "order of examples",
            "another order of the examples changes scores by",
        ),
        ("1 / 0", "runs", "line 7: ZeroDivisionError: division by zero"),
        ("sys.exit(0)", "runs", "line 7: SystemExit: 0"),
        (f"assert len(inputs) < 999\n{GOOD}", "runs again", "line 7: AssertionError"),
    ],
)
def test_a_property_that_a_criterion_lacks_is_named_with_what_is_wrong(
    tmp_path: Path, body: str, lacks: str, says: str
) -> None:
    found = tried(tmp_path, body)
    failed = {name: detail for name, (mark, detail) in found.items() if mark == "FAILED"}
    assert list(failed) == [lacks]
    assert says in failed[lacks]


@pytest.mark.parametrize(
    ("draw", "generators"),
    [
        ("torch.rand(s)", "torch"),
        ("torch.from_numpy(np.random.rand(*s))", "NumPy"),
        ("torch.ones(s) * random.random()", "Python"),
        ("torch.rand(s) * float(np.random.rand())", "torch, NumPy"),
        ("torch.rand(s, generator=generator)", ""),
    ],
)
def test_draws_are_noted_with_the_generators_that_they_come_from(
    tmp_path: Path, draw: str, generators: str
) -> None:
    found = tried(tmp_path, GOOD.replace("torch.ones(s)", draw))
    expected: tuple[Mark, str] = ("ok", "as they were")
    if generators:
        expected = "note", f"draws from {generators}: a job seeds that, and restores it afterwards"
    assert found["global generators"] == expected
    assert found["draws"] == ("note", "another seed gives other scores")
    assert found["deterministic"][0] == "ok"


def test_a_reseeded_global_generator_is_noted_although_the_seed_makes_no_difference(
    tmp_path: Path,
) -> None:
    found = tried(tmp_path, f"torch.manual_seed(3)\n{GOOD.replace('ones', 'rand')}")
    assert found["global generators"][0] == "note"
    assert found["draws"] == ("note", "another seed gives the same scores")


def test_the_order_of_examples_is_not_tried_on_a_criterion_that_draws(tmp_path: Path) -> None:
    draw = "torch.rand(s, generator=generator) * inputs[0].sum()"
    found = tried(tmp_path, GOOD.replace("torch.ones(s)", draw))
    assert found["order of examples"] == ("note", "cannot be tried, since the criterion draws")


def lines(file: Path, *arguments: str | None) -> dict[str, tuple[str, str]]:
    return {line.what: (line.mark, line.detail) for line in trial.examine(file, *arguments)}


def test_levels_that_nobody_declares_are_found_out(tmp_path: Path) -> None:
    (tmp_path / "snip.py").write_text(SNIP)
    found = lines(tmp_path / "snip.py")
    assert found["parameter: finite"][0] == "ok"
    assert found["neuron"][0] == "note"
    assert "does not score at this level: " in found["neuron"][1]
    failed = lines(tmp_path / "snip.py", None, "neuron")
    assert failed["neuron: tensors"][0] == "FAILED"
    (tmp_path / "snip.py").write_text(f'RECORDS = {{"snip": {{"levels": ["parameter"]}}}}\n{SNIP}')
    assert not any(name.startswith("neuron") for name in lines(tmp_path / "snip.py"))
    assert lines(tmp_path / "snip.py", None, "neuron")["file"][0] == "FAILED"


@pytest.mark.parametrize(
    ("body", "what", "says"),
    [
        (
            GOOD.replace("torch.ones(s)", "torch.full(s, hash('a') % 9973)"),
            "neuron: deterministic",
            "gives other scores in another process",
        ),
        ("os._exit(0)", "runs", "the process that it runs in ends (status 0)"),
        ("os.kill(os.getpid(), 11)", "runs", "the process that it runs in is killed (signal 11)"),
    ],
)
def test_what_only_another_process_shows_is_a_line_as_well(
    tmp_path: Path, body: str, what: str, says: str
) -> None:
    found = lines(criterion(tmp_path, body).file, None, "neuron")
    assert found[what][0] == "FAILED"
    assert says in found[what][1]


@pytest.mark.parametrize(
    ("content", "arguments", "says"),
    [
        ("def snip(: ...", (), "is not valid Python, line 1"),
        (ONE + ONE.replace("snip", "snap"), ("snop",), "must have a function snop()"),
        ("x = 1\n", (), "must have a function with the criterion's name"),
        ("def a(): ...\ndef b(): ...\n", (), "has several functions, choose one: a, b"),
        (ONE.replace("snip", "obd"), (), "obd: must be a name of a-z, 0-9 and _"),
        (ONE.replace("snip", "Snip"), (), "Snip: must be a name of a-z, 0-9 and _"),
        (f"RECORDS = {{'snip': {{'options': {{'a': 1}}}}}}\n{ONE}", (), "must be a dict with"),
        (f"RECORDS = {{'snip': {{'title': ';'}}}}\n{ONE}", (), "must be 1 to 60 letters"),
        (f"from . import x\n{ONE}", (), "line 1: imports from '.'"),
    ],
)
def test_a_file_that_a_study_would_refuse_is_one_line(
    tmp_path: Path, content: str, arguments: tuple[str, ...], says: str
) -> None:
    file = tmp_path / "snip.py"
    file.write_text(content)
    (line,) = trial.examine(file, *arguments)
    assert (line.mark, line.what) == ("FAILED", "file")
    assert says in line.detail
    assert str(line).splitlines() == [str(line)]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (ONE + ONE.replace("snip", "other"), "snip"),
        (f"{ONE.replace('snip', 'other')}def _help(): ...\n", "other"),
        (f"RECORDS = {{'other': {{}}}}\n{ONE}{ONE.replace('snip', 'other')}", "other"),
    ],
)
def test_the_criterion_of_a_file_is_found_by_its_record_or_its_name(
    tmp_path: Path, content: str, name: str
) -> None:
    (tmp_path / "snip.py").write_text(content)
    assert f"{name}()" in next(iter(trial.examine(tmp_path / "snip.py"))).detail


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return minified(folder, "try", *arguments)


def test_the_verb_prints_one_line_per_property_and_ends_with_0_only_if_none_failed(
    tmp_path: Path,
) -> None:
    (tmp_path / "snip.py").write_text(f'RECORDS = {{"snip": {{"levels": ["parameter"]}}}}\n{SNIP}')
    good = run(tmp_path, "snip.py")
    assert (good.returncode, good.stderr) == (0, "")
    marks = [line.split()[0] for line in good.stdout.splitlines()]
    assert len(marks) == 12
    assert set(marks) == {"ok", "note"}
    criterion(tmp_path, f"print('loud')\nnetwork.train()\n{GOOD}")
    bad = run(tmp_path, "snip.py", "--level", "neuron")
    assert bad.returncode == 1
    assert "FAILED  neuron: network " in bad.stdout
    assert "loud" not in bad.stdout
    unknown = run(tmp_path, "snip.py", "--level", "layer")
    assert unknown.returncode == 1
    assert unknown.stderr == "minified: --level layer: must be parameter or neuron\n"


def test_options_are_tried_with_their_defaults(tmp_path: Path) -> None:
    (tmp_path / "snip.py").write_text(
        "import torch\nfrom minified.networks import chains\n"
        'RECORDS = {"snip": {"levels": ["neuron"], "options": {"power": {"default": 2}}}}\n'
        f"{HEAD.replace('generator', 'generator, power')}\n    {SHAPES}\n"
        "    return {n: torch.full(s, power) for n, s in shapes.items()}\n"
    )
    found = lines(tmp_path / "snip.py")
    assert found["file"][1].endswith("snip(), options: power = 2")
    assert "FAILED" not in [mark for mark, _ in found.values()]
    assert found["neuron: real numbers"] == ("ok", "int64")
