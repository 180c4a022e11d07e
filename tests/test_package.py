"""What must agree: pins, registries, catalogues, documents and code."""

import ast
import csv
import importlib
import inspect
import json
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from conftest import COMMITTED, REPOSITORY
from minified import study
from minified.analysis.catalogue import FIGURES, WRITTEN_TABLES
from minified.cli.stages import STAGES
from minified.cli.verbs import app
from minified.criteria import CRITERIA
from minified.data import CATALOGUE
from minified.networks import ARCHITECTURES
from minified.study import rows, settings
from minified.study.network import Lenet5, Mlp, Vgg
from minified.study.refusals import Strict

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
    names = get_args(settings.DataOptions.model_fields["name"].annotation)
    assert set(names) == set(CATALOGUE)
    kinds: list[type[Strict]] = [Mlp, Lenet5, Vgg]
    assert [get_args(kind.model_fields["name"].annotation) for kind in kinds] == [
        (name,) for name in ARCHITECTURES
    ]


def test_a_stage_has_one_name_as_rule_as_verb_and_as_function() -> None:
    text = "".join(file.read_text() for file in RULES)
    rules = set(re.findall(r"^\s*rule (\w+):", text, flags=re.MULTILINE))
    assert 'f"figures_{NAME}"' in text  # one rule per figure
    verbs = {getattr(command.callback, "__name__", "") for command in app.registered_commands}
    assert rules | {"figures", "timings"} == set(STAGES) <= verbs
    for name, stage in STAGES.items():
        assert callable(getattr(importlib.import_module(stage.module), name))


def test_every_data_set_is_read_by_a_function_of_its_file() -> None:
    for name, entry in CATALOGUE.items():
        reader = importlib.import_module(f"minified.data.{entry.module}")
        assert Path(inspect.getfile(reader)) == entry.file
        assert inspect.signature(reader.read).parameters.keys() == {"name", "root"}, name


def test_every_criterion_is_a_function_of_its_name_in_its_file() -> None:
    for name, criterion in CRITERIA.items():
        assert criterion.file.is_file()
        assert criterion.function().__name__ == name
        assert criterion.function().__doc__


def test_every_figure_of_the_catalogue_is_drawn_and_has_a_caption() -> None:
    digits = study.load(REPOSITORY / "config" / "digits.yaml")
    for name in FIGURES:
        module = importlib.import_module(f"minified.analysis.figures.{name}")
        assert 0 < module.height(digits) < 12
        assert list(inspect.signature(module.draw).parameters) == ["figure", "study", "paths"]
        assert module.__doc__
        assert (REPOSITORY / "workflow" / "report" / f"{name}.rst").read_text().strip()


def test_every_caption_is_that_of_a_figure_or_of_a_table() -> None:
    captions = {file.stem for file in (REPOSITORY / "workflow" / "report").glob("*.rst")}
    tables = {name.partition(".")[0] for name in WRITTEN_TABLES}
    assert set(FIGURES) <= captions <= {*FIGURES, *tables}


def test_every_criterion_has_a_title_a_colour_and_a_marker_of_its_own() -> None:
    looks = [criterion.look for criterion in CRITERIA.values() if criterion.look is not None]
    assert len(looks) == len(CRITERIA)
    assert len({colour for colour, _ in looks}) == len(CRITERIA)
    assert len({marker for _, marker in looks}) == len(CRITERIA)
    for title in (lambda one: one.title, lambda one: one.short_title):
        assert len({title(criterion) for criterion in CRITERIA.values()}) == len(CRITERIA)


def test_the_documented_columns_are_those_of_the_code() -> None:
    assert rows.columns_table() in (REPOSITORY / "docs" / "results.md").read_text()


def test_the_schema_in_the_repository_is_that_of_the_code() -> None:
    kept = json.loads((REPOSITORY / "workflow/schemas/study.schema.json").read_text())
    assert kept == study.Settings.model_json_schema()


def test_the_snakefile_is_short_and_the_readme_shows_figures_that_exist() -> None:
    assert len((REPOSITORY / "Snakefile").read_text().splitlines()) < 50
    readme = (REPOSITORY / "README.md").read_text()
    shown = re.findall(r"\]\(((?:figures|docs|config|notebooks)/[^)#]+)", readme)
    assert any(path.startswith("figures/digits/") for path in shown)
    for path in shown:
        assert (REPOSITORY / path).exists(), path


TITLES = {"digits": "digits", "mnist": "MNIST", "fashion_mnist": "Fashion-MNIST"}
SPECIFIED = {"digits_specifications": "digits", "fashion_specifications": "Fashion-MNIST"}


def of_readme(heading: str, names: Iterable[str], cells_each: int) -> dict[tuple[str, ...], str]:
    """A table of the README: its cells by study, claim, part and level."""
    readme = (REPOSITORY / "README.md").read_text().splitlines()
    shown: dict[tuple[str, ...], str] = {}
    for line in readme[readme.index(heading) + 2 :]:
        if not line.startswith("|"):
            break
        claim, part, level, *cells = line.strip("| ").split(" | ")
        for position, name in enumerate(names):
            here = cells[position * cells_each : (position + 1) * cells_each]
            shown[name, claim, part, level] = " | ".join(here)
    return shown


def of_study(name: str, table: str) -> dict[tuple[str, ...], dict[str, str]]:
    """The committed rows of a table of claims, but C4's, which claims no direction."""
    with open(REPOSITORY / "figures" / name / "tables" / table, newline="") as file:
        return {
            (name, row["claim"], row["part"], row["level"]): row
            for row in csv.DictReader(file)
            if row["claim"] != "C4"
        }


def test_every_committed_study_is_in_the_readme() -> None:
    assert {*TITLES, *SPECIFIED} == set(COMMITTED)


def test_the_verdicts_in_the_readme_are_those_of_the_committed_studies() -> None:
    heading = f"| claim | part | level | {' | '.join(TITLES.values())} |"
    assert of_readme(heading, TITLES, 1) == {
        key: f"{row['verdict']} ({float(row['effect_points']):+.2f})"
        for name in TITLES
        for key, row in of_study(name, "claims.csv").items()
    }


def test_the_readme_says_in_how_many_specifications_a_claim_holds() -> None:
    columns = [
        f"{title}: holds in, contradicted in (of {len(study.load(name).specified)}) | moved most by"
        for name, title in SPECIFIED.items()
    ]
    heading = f"| claim | part | level | {' | '.join(columns)} |"
    assert of_readme(heading, SPECIFIED, 2) == {
        key: f"{row['supported']}, {row['contradicted']}"
        f" | {row['moved_most_by']} ({100 * float(row['share']):.0f} %)"
        for name in SPECIFIED
        for key, row in of_study(name, "specifications_summary.csv").items()
    }


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


def test_every_rule_asks_for_threads_memory_and_time_and_stays_or_travels() -> None:
    found = 0
    for file in RULES:
        for rule in re.split(r"^ *rule\b", file.read_text(), flags=re.MULTILINE)[1:]:
            found += 1
            assert re.search(r"^ +threads: ", rule, flags=re.MULTILINE), rule
            assert "**asked(" in rule, rule
            assert re.search(r"^ +(localrule|group):", rule, flags=re.MULTILINE), rule
    assert found == len(STAGES) - 1  # all but `timings`, which no rule does
