"""The rooms of the package: which may use which, what importing one costs, how long a file is."""

import ast
import graphlib
import importlib
import itertools
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from conftest import REPOSITORY, SMALL

SOURCE = REPOSITORY / "src" / "minified"
# From the ground up: a room uses those before it.
ROOMS = [
    *("foundations", "data", "networks", "criteria", "pruning", "quantization", "training"),
    *("evaluation", "study", "jobs", "analysis", "run", "cli"),
]
FACES = [
    file.parent.relative_to(SOURCE.parent).as_posix().replace("/", ".")
    for file in sorted(SOURCE.rglob("__init__.py"))
    if "PUBLIC = {" in file.read_text()
]
LONGEST = 300


def name_of(file: Path) -> str:
    """`minified.data.digits`; of an `__init__.py` its package."""
    parts = file.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(file): file for file in sorted(SOURCE.rglob("*.py"))}


@cache
def literal(file: Path, name: str) -> dict[str, str]:
    """The dict that `file` assigns to `name`; empty without one."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    return {}


def for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def statements(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports anywhere below `node`, but for those that only type checkers read."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.If) and for_type_checkers(child):
            for other in child.orelse:
                yield from statements(ast.Module([other], []))
        else:
            yield from statements(child)


def imported(file: Path) -> set[str]:
    """The modules of this package that `file` imports, functions' own imports included; behind a
    name of a face it is the module that has the name.
    """
    found = set()
    for statement in statements(ast.parse(file.read_text())):
        if isinstance(statement, ast.Import):
            found |= {alias.name for alias in statement.names}
            continue
        assert not statement.level, f"{file}: an import that does not name its room"
        module = statement.module or ""
        for alias in statement.names:
            inner = f"{module}.{alias.name}"
            public = literal(MODULES[module], "PUBLIC") if module in MODULES else {}
            if alias.name in public:
                found.add(f"{module}.{public[alias.name]}")
            else:
                found.add(inner if inner in MODULES else module)
    return {module for module in found if module.partition(".")[0] == "minified"}


def room(module: str) -> str:
    return module.split(".")[1]


def test_every_file_is_in_a_room() -> None:
    assert {room(module) for module in MODULES if module != "minified"} == set(ROOMS)


def test_imports_never_run_upwards() -> None:
    upwards = [
        f"{module} imports {other}"
        for module, file in MODULES.items()
        for other in sorted(imported(file))
        if other != "minified" and ROOMS.index(room(other)) > ROOMS.index(room(module))
    ]
    assert upwards == []


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {module: imported(file) for module, file in MODULES.items()}
    for face in FACES:
        # Who imports a face may use any of its names.
        graph[face] |= {f"{face}.{home}" for home in literal(MODULES[face], "PUBLIC").values()}
    graphlib.TopologicalSorter(graph).prepare()


def test_no_file_is_too_long_to_be_read_at_once() -> None:
    lines = {module: len(file.read_text().splitlines()) for module, file in MODULES.items()}
    assert {module: count for module, count in lines.items() if count > LONGEST} == {}


def private(file: Path) -> Iterator[str]:
    """The private names of this package that a test uses: as attributes, and as texts in calls."""
    tree = ast.parse(file.read_text())
    ours = {
        alias.asname or alias.name
        for node in statements(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "minified"
        for alias in node.names
    }
    yield from (name for name in ours if name.startswith("_"))
    for node in ast.walk(tree):
        names: list[object] = []
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ours:
            names = [node.attr]
        elif isinstance(node, ast.Call) and node.args and ast.unparse(node.args[0]) in ours:
            names = [word.value for word in node.args if isinstance(word, ast.Constant)]
        for name in names:
            if isinstance(name, str) and name.startswith("_") and not name.startswith("__"):
                yield f"{name} (line {getattr(node, 'lineno', 0)})"


def test_tests_use_public_names_only() -> None:
    used = {file.name: [*private(file)] for file in Path(__file__).parent.glob("*.py")}
    assert {name: names for name, names in used.items() if names} == {}


# Faces


def test_the_rooms_that_offer_public_names_have_a_face() -> None:
    assert {
        f"minified.{name}" for name in ("data", "networks", "criteria", "training", "study")
    } <= {*FACES}


@pytest.mark.parametrize("face", FACES)
def test_a_face_offers_every_name_of_its_table_and_no_other(face: str) -> None:
    public = literal(MODULES[face], "PUBLIC")
    package = importlib.import_module(face)
    assert dir(package) == sorted(public)
    for name, home in public.items():
        value = getattr(package, name)
        assert value is getattr(importlib.import_module(f"{face}.{home}"), name)
    with pytest.raises(AttributeError, match=f"{face}.*'nothing'"):
        package.nothing  # noqa: B018


@pytest.mark.parametrize("face", FACES)
def test_type_checkers_see_the_names_that_a_face_offers(face: str) -> None:
    blocks = [node for node in ast.parse(MODULES[face].read_text()).body if for_type_checkers(node)]
    shown = {}
    for statement in itertools.chain.from_iterable(block.body for block in blocks):  # type: ignore[attr-defined]
        assert isinstance(statement, ast.ImportFrom)
        for alias in statement.names:
            assert alias.asname == alias.name
            shown[alias.name] = str(statement.module).removeprefix(f"{face}.")
    assert shown == literal(MODULES[face], "PUBLIC")


# What an import costs


def brought(modules: list[str], libraries: list[str]) -> list[str]:
    """Which of `modules`, imported in turn, are the first to import which of `libraries`."""
    code = (
        "import importlib, sys\n"
        f"for module in {modules!r}:\n"
        f"    before = set(sys.modules)\n"
        f"    importlib.import_module(module)\n"
        f"    for library in sorted(set({libraries!r}) & set(sys.modules) - before):\n"
        "        print(module, library)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.splitlines()


def test_importing_a_room_imports_no_large_library() -> None:
    packages = [module for module, file in MODULES.items() if file.name == "__init__.py"]
    assert set(FACES) < set(packages)
    assert brought(packages, ["torch", "numpy", "pandas", "scipy", "matplotlib", "sklearn"]) == []


def test_what_the_workflow_reads_imports_neither_torch_nor_matplotlib() -> None:
    workflow = (REPOSITORY / "workflow" / "rules" / "common.smk").read_text()
    head = workflow[: workflow.index("\n\n#")]
    lines = [node for node in ast.parse(head).body if isinstance(node, ast.ImportFrom)]
    modules = []
    for line in lines:
        inner = [f"{line.module}.{alias.name}" for alias in line.names]
        modules += [name if name in MODULES else str(line.module) for name in inner]
    assert len(modules) > 8
    modules += ["minified.cli", "minified.cli.verbs", "minified.run.verify"]
    assert brought(modules, ["torch", "matplotlib", "pandas", "scipy"]) == []


def test_redrawing_can_pin_its_arithmetic_before_any_library_of_numbers() -> None:
    assert brought(["minified.run.redraw"], ["torch", "numpy", "pandas", "scipy"]) == []


def test_the_analysis_imports_no_torch() -> None:
    modules = [module for module in MODULES if module.startswith("minified.analysis")]
    assert len(modules) > 30
    assert brought(modules, ["torch"]) == []


@pytest.mark.parametrize("entry", ["minified.cli", "minified.cli.verbs"])
def test_the_check_of_a_study_imports_no_large_library(entry: str, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL)
    code = (
        f"import sys\nfrom {entry} import main\n"
        "try:\n    main()\nfinally:\n"
        "    print(sorted({'torch', 'numpy', 'pandas', 'matplotlib'} & set(sys.modules)))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, "check", "small.yaml"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stderr
    first, cost, loaded = run.stdout.splitlines()
    assert first == "small.yaml: 8 jobs x 3 replicates"
    assert cost.startswith("expected: 35 jobs")
    assert loaded == "[]"
