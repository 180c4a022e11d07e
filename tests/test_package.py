"""What must agree: pins, registries, catalogues, documents and code."""

import ast
import csv
import json
import re
import subprocess
import sys
import tomllib
from typing import get_args

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from conftest import COMMITTED, REPOSITORY
from minified import architectures, data, rows, sources, study
from minified.analysis import FIGURES, figure_groups, figure_names, figures, style
from minified.criteria import CRITERIA

RULES = sorted((REPOSITORY / "workflow" / "rules").glob("*.smk"))
PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())


def locked() -> dict[str, Requirement]:
    lines = (REPOSITORY / "requirements.lock").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(pin.name): pin for pin in pins}


def test_every_package_is_pinned_by_version_and_nothing_else() -> None:
    for pin in locked().values():
        assert re.fullmatch(r"==[^*,]+", str(pin.specifier)), pin
        assert pin.url is None


def test_the_lock_satisfies_what_the_project_asks_for() -> None:
    project = PYPROJECT["project"]
    extras = project["optional-dependencies"].values()
    asked = [*project["dependencies"], *(one for extra in extras for one in extra)]
    pins = locked()
    for requirement in map(Requirement, asked):
        pin = pins[canonicalize_name(requirement.name)]
        version = str(pin.specifier).removeprefix("==")
        assert requirement.specifier.contains(version), requirement


def test_the_conda_environment_pins_the_same_packages() -> None:
    from ruamel.yaml import YAML

    environment = YAML(typ="safe").load((REPOSITORY / "environment.yml").read_text())
    python = next(d for d in environment["dependencies"] if str(d).startswith("python="))
    pip = next(d["pip"] for d in environment["dependencies"] if isinstance(d, dict))
    assert {str(Requirement(line)) for line in pip} == {str(pin) for pin in locked().values()}
    assert PYPROJECT["project"]["requires-python"] == f">={python.removeprefix('python=')}"


def test_the_names_a_study_may_give_are_those_the_library_knows() -> None:
    assert set(get_args(study.DataOptions.model_fields["name"].annotation)) == set(data.DATASETS)
    kinds: list[type[study.Strict]] = [study.Mlp, study.Lenet5, study.Vgg]
    assert [get_args(kind.model_fields["name"].annotation) for kind in kinds] == [
        (name,) for name in architectures.ARCHITECTURES
    ]


def test_every_criterion_is_a_function_of_its_name_in_its_file() -> None:
    for name, criterion in CRITERIA.items():
        assert criterion.file.is_file()
        assert criterion.function().__name__ == name
        assert criterion.function().__doc__


def test_every_figure_of_the_catalogue_is_drawn_and_has_a_caption() -> None:
    assert set(FIGURES) == set(figures._DRAWINGS)
    for name in FIGURES:
        assert (REPOSITORY / "workflow" / "report" / f"{name}.rst").is_file()


def test_every_figure_of_a_study_is_drawn_by_one_job() -> None:
    digits = study.load(REPOSITORY / "config" / "digits.yaml")
    groups = figure_groups(digits)
    assert sorted(name for names in groups.values() for name in names) == sorted(
        figure_names(digits)
    )
    for names in groups.values():
        assert len({frozenset(FIGURES[name].tables) & {"results.csv"} for name in names}) == 1


def test_every_criterion_has_a_colour_and_a_marker_of_its_own() -> None:
    assert set(style._LOOKS) == set(CRITERIA)
    assert len({colour for colour, _ in style._LOOKS.values()}) == len(CRITERIA)
    assert len({marker for _, marker in style._LOOKS.values()}) == len(CRITERIA)


def test_the_documented_columns_are_those_of_the_code() -> None:
    assert rows.columns_table() in (REPOSITORY / "docs" / "results.md").read_text()


def test_the_schema_in_the_repository_is_that_of_the_code() -> None:
    kept = json.loads((REPOSITORY / "workflow/schemas/study.schema.json").read_text())
    assert kept == study.Settings.model_json_schema()


def test_no_job_depends_on_the_file_of_a_criterion_that_it_does_not_use() -> None:
    """An edited criterion reruns its own jobs: no other job has its file among its inputs."""
    for verb in ("prepare", "train", "score", "scratch", "retrain", "quantize", "damage"):
        files = sources.closure(f"minified.jobs.{verb}")
        assert any(file.endswith(f"jobs/{verb}.py") for file in files)
        for criterion in CRITERIA.values():
            assert sources.relative(criterion.file) not in files, (verb, criterion.name)
    obd = sources.of_file(CRITERIA["obd"].file)
    assert any(file.endswith("chains.py") for file in obd)
    assert not any(file.endswith(("merging.py", "magnitude.py")) for file in obd)


@pytest.mark.parametrize(
    "module",
    ["study", "paths", "sources", "cli", "analysis", "provenance", "running", "verify"],
)
def test_what_the_workflow_reads_imports_neither_torch_nor_matplotlib(module: str) -> None:
    code = (
        f"import sys, minified.{module}; "
        "print([m for m in ('torch', 'matplotlib', 'pandas', 'scipy') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("module", ["aggregate", "claims", "tables", "figures", "damage"])
def test_the_analysis_imports_no_torch(module: str) -> None:
    code = f"import sys, minified.analysis.{module}; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_the_snakefile_is_short_and_the_readme_shows_figures_that_exist() -> None:
    assert len((REPOSITORY / "Snakefile").read_text().splitlines()) < 50
    readme = (REPOSITORY / "README.md").read_text()
    shown = re.findall(r"\]\(((?:figures|docs|config|notebooks)/[^)#]+)", readme)
    assert any(path.startswith("figures/digits/") for path in shown)
    for path in shown:
        assert (REPOSITORY / path).exists(), path


def test_the_verdicts_in_the_readme_are_those_of_the_committed_studies() -> None:
    titles = {"digits": "digits", "mnist": "MNIST", "fashion_mnist": "Fashion-MNIST"}
    assert set(titles) == set(COMMITTED)
    readme = (REPOSITORY / "README.md").read_text().splitlines()
    heading = f"| claim | part | level | {' | '.join(titles.values())} |"
    told: dict[tuple[str, ...], str] = {}
    for line in readme[readme.index(heading) + 2 :]:
        if not line.startswith("|"):
            break
        claim, part, level, *cells = line.strip("| ").split(" | ")
        told |= {(name, claim, part, level): cell for name, cell in zip(titles, cells, strict=True)}
    made = {}
    for name in titles:
        with open(REPOSITORY / "figures" / name / "tables" / "claims.csv", newline="") as file:
            for row in csv.DictReader(file):
                if row["claim"] != "C4":
                    key = (name, row["claim"], row["part"], row["level"])
                    made[key] = f"{row['verdict']} ({float(row['effect_points']):+.2f})"
    assert told == made


def test_no_word_of_a_study_reaches_a_shell_unquoted() -> None:
    commands = 0
    for file in RULES:
        for block in re.findall(r"    shell:\n((?:\s+f?\".*\"\n?)+)", file.read_text()):
            commands += 1
            words = re.findall(r"\{([^{}]*)\}", block)
            assert words
            assert all(word.endswith(":q") for word in words), (file.name, block)
    assert commands == len(
        re.findall(r"^ +shell:", "".join(f.read_text() for f in RULES), flags=re.MULTILINE)
    )


def test_nothing_is_unpickled_or_run_from_a_string() -> None:
    banned = {"pickle", "dill", "joblib", "marshal", "shelve", "cloudpickle"}
    calls = {"torch.load", "np.load", "pd.read_pickle", "eval", "exec", "os.system"}
    for file in (REPOSITORY / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                assert not banned & {alias.name.split(".")[0] for alias in node.names}, file
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in banned, file
            elif isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in calls, file
                assert not any(keyword.arg == "shell" for keyword in node.keywords), file
