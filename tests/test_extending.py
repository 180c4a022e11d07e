"""The worked examples of docs/architecture.md, added to a copy of the repository and run."""

import csv
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import REPOSITORY

PAGE = REPOSITORY / "docs" / "architecture.md"
BLOCK = re.compile(
    r"^`(?P<file>[^`]+)`, (?:new|after `(?P<anchor>[^`]+)`):\n\n```\w+\n(?P<text>.*?)^```$",
    flags=re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Example:
    """One block of code: a new file, or lines after one that is there."""

    section: str
    file: str
    anchor: str | None
    text: str


def examples() -> list[Example]:
    found = []
    for section in PAGE.read_text().split("\n### ")[1:]:
        name = section.partition("\n")[0]
        found += [
            Example(name, block["file"], block["anchor"], block["text"])
            for block in BLOCK.finditer(section)
        ]
    return found


EXAMPLES = examples()


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository with all the examples added."""
    copy = tmp_path_factory.mktemp("extended") / "repository"
    for name in ("src", "workflow", "notebooks", "config", "docs"):
        shutil.copytree(
            REPOSITORY / name, copy / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("Snakefile", "environment.yml"):
        shutil.copy(REPOSITORY / name, copy)
    for example in EXAMPLES:
        file = copy / example.file
        if example.anchor is None:
            assert not file.exists(), f"{example.file} is not new"
            file.write_text(example.text)
        else:
            lines = file.read_text().splitlines(keepends=True)
            (place,) = (i for i, line in enumerate(lines) if line == f"{example.anchor}\n")
            added = [line.removeprefix("+") for line in example.text.splitlines(keepends=True)]
            lines[place + 1 : place + 1] = added
            file.write_text("".join(lines))
    return copy


def run(copy: Path, *command: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        cwd=copy,
        env=os.environ | {"PATH": path, "PYTHONPATH": str(copy / "src")},
    )


def test_an_example_touches_no_more_files_than_the_table_of_the_page_says() -> None:
    touched: dict[str, list[str]] = {}
    for example in EXAMPLES:
        touched.setdefault(example.section, []).append(example.file)
    assert touched == {
        # Two criteria, one file each.
        "A criterion": ["src/minified/criteria/snip.py", "src/minified/criteria/variance.py"],
        "A regime": ["src/minified/study/regimes.py"],
        "A claim": ["src/minified/analysis/claims/e3.py", "docs/paper.md"],
        "A figure": [
            "src/minified/analysis/figures/training_cost.py",
            "workflow/report/training_cost.rst",
        ],
        "A data set": ["src/minified/data/breast_cancer.py", "src/minified/data/catalogue.py"],
        "A kind of layer": ["src/minified/networks/kinds.py"],
        "A study that uses them all": ["config/extended.yaml"],
    }


def test_the_check_of_a_study_knows_what_was_added(extended: Path) -> None:
    checked = run(extended, "-c", "from minified.cli import main; main()", "check", "extended")
    first, cost = checked.stdout.splitlines()
    assert first == "config/extended.yaml: 18 jobs x 3 replicates", checked.stderr
    assert cost.startswith("expected: ")


@pytest.mark.slow
def test_a_study_of_all_examples_goes_from_its_data_to_verdicts_and_figures(
    extended: Path,
) -> None:
    done = run(
        extended,
        *("-m", "snakemake", "--cores", "2", "--workflow-profile", "workflow/profiles/default"),
        *("--config", "study=extended"),
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    published = extended / "figures" / "extended"
    rows = table(published, "results.csv")
    ran = {(row["method"], row["regime"]) for row in rows}
    methods = {"parameter-magnitude", "parameter-obd_sd", "parameter-snip"}
    regimes = {"fine_tune", "scratch", "scratch_b", "scratch_long"}
    assert {(m, r) for m in methods for r in regimes} <= ran
    assert ("neuron-variance", "fine_tune") in ran
    assert {row["data"] for row in rows} == {"breast_cancer"}

    claims = {row["claim"]: row for row in table(published, "claims.csv")}
    assert claims["E3"]["difference"] == "scratch_b - scratch"
    assert claims["E3"]["verdict"] in ("supported", "contradicted", "inconclusive")
    assert "retraining from scratch for longer" in claims["E3"]["meaning"].lower()
    for kind in ("svg", "pdf", "png"):
        assert (published / f"training_cost.{kind}").stat().st_size > 1000

    damage = {row["method"] for row in table(published, "damage.csv")}
    assert "neuron-variance" in damage
    assert (extended / "results" / "extended" / "damage" / "variance.csv").is_file()


@pytest.mark.slow
def test_folding_a_constant_neuron_into_the_bias_leaves_the_logits_unchanged(
    extended: Path,
) -> None:
    code = """
import torch
from torch import nn
from minified import pruning
from minified.criteria.record import CRITERIA
network = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
with torch.no_grad():
    network[0].weight[2:] = 0
    network[0].bias[2:] = 1
inputs = torch.randn(20, 4)
smaller = pruning.remove_as(CRITERIA["variance"], network, inputs, 4 / 6, "layer")
print(smaller[0].out_features, torch.allclose(smaller(inputs), network(inputs), atol=1e-5))
"""
    assert run(extended, "-c", code).stdout == "2 True\n"


@pytest.mark.slow
def test_a_kind_of_layer_with_an_entry_is_read_scored_pruned_and_trained(extended: Path) -> None:
    code = """
import torch
from torch import nn
from minified import pruning
from minified.criteria import score
from minified.data import Split
from minified.study import Recipe
from minified.training import fit
torch.manual_seed(0)
network = nn.Sequential(nn.Linear(4, 6), nn.Softshrink(), nn.Linear(6, 3))
split = Split(torch.randn(40, 4), torch.randint(3, (40,)))
scores = score("neuron-obd", network, split.inputs, split.targets, seed=0)
smaller = pruning.remove_neurons(network, pruning.kept_neurons(scores, 0.5))
losses = fit([smaller], split, Recipe(learning_rate=0.1, epochs=20))
print(sorted(scores), smaller[0].out_features, bool(losses[-1] < losses[0]))
"""
    done = run(extended, "-c", code)
    assert done.stdout == "['0'] 3 True\n", done.stderr


def table(published: Path, name: str) -> list[dict[str, str]]:
    with open(published / "tables" / name, newline="") as file:
        return list(csv.DictReader(file))
