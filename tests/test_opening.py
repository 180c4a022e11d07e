"""A run that cannot begin says why in one line, whatever it was started for."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from conftest import REPOSITORY, SMALL, holding
from minified.foundations.errors import MinifiedError
from minified.run import opening

# What Snakemake says before it reads the workflow.
HOST = ("Using workflow specific profile ", "Failed to setup log file: ", "Creating specified ")


def bare(
    folder: Path, *arguments: str | bytes, env: Mapping[str, str] | None = None, **how: Any
) -> "subprocess.CompletedProcess[str]":
    """Snakemake in `folder`, as a person calls it."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
    profile = ["--workflow-profile", str(REPOSITORY / "workflow" / "profiles" / "default")]
    return subprocess.run(
        [*command, *profile, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ if env is None else env,
        **how,
    )


def one_line(ended: "subprocess.CompletedProcess[str]") -> str:
    assert ended.returncode == 1
    assert ended.stdout == ""
    (line,) = [line for line in ended.stderr.splitlines() if not line.startswith(HOST)]
    assert line.startswith("minified: ")
    return line.removeprefix("minified: ")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to work in, with a sound study and a bad one."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "small.yaml").write_text(SMALL)
    (tmp_path / "config" / "bad.yaml").write_text(SMALL.replace("0.75", "1.75"))
    return tmp_path


DO = ["--dry-run"]


def few(fast: int, *cases: Any) -> list[Any]:
    """These cases, of which only so many are fast tests: each runs Snakemake."""
    rows = [case if isinstance(case, tuple) else (case,) for case in cases]
    slow = [pytest.param(*row, marks=pytest.mark.slow) for row in rows[fast:]]
    return [*(pytest.param(*row) for row in rows[:fast]), *slow]


@pytest.mark.parametrize(
    ("arguments", "line"),
    few(
        5,
        (["--cores", "1", "--config", "study=bad"], "config/bad.yaml: grid.neuron.sparsities[0]:"),
        (["--lint", "--config", "study=none"], "config/none.yaml: no such study; there are: bad"),
        ([*DO, "--config", "study="], "--config study: empty: must be the name or the path"),
        ([*DO, "--configfile", "config/bad.yaml"], "--config network: unknown key; a study is"),
        (["--cores", "0", "--config", "study=small"], "--cores 0: must be a number from 1, or all"),
        (["--cores", "1", "--quiet", "all", "--config", "study=bad"], "config/bad.yaml: grid."),
        ([*DO, "--config", "study=config/bad.yaml"], "config/bad.yaml: grid.neuron.sparsities[0]:"),
        (["--list", "--config", "study=7"], "config/7.yaml: no such study; there are: bad, small"),
        (["--report", "--config", "study=No Name"], "study 'No Name': must be a name of a-z"),
        ([*DO, "--config", "study=[small]"], "--config study: ['small']: must be the name or"),
        ([*DO, "--config", "stdy=small"], "--config stdy: unknown key; a study is one file"),
        ([*DO], "config/digits.yaml: no such study; there are: bad, small"),
    ),
    ids=str,
)
def test_bare_snakemake_refuses_a_bad_study_in_one_line(
    folder: Path, arguments: list[str], line: str
) -> None:
    assert one_line(bare(folder, *arguments)).startswith(line)
    assert not (folder / "results").exists()


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ({"study": None}, "--config study: empty: must be"),
        ({"study": True}, "--config study: True: must be"),
        ({"study": 0.5}, "--config study: 0.5: must be"),
        ({"study": {"a": "b"}}, "--config study: {'a': 'b'}: must be"),
        ({"study": ["small"] * 1000}, "--config study: ['small', 'small', "),
        ({"study": "\n"}, "study '\\n': must be a name of"),
        ({"study": 10**4000}, "study '1000"),
        ({"x" * 1000: 1}, "--config xxxxx"),
        ({"study": "small", "cores": 1}, "--config cores: unknown key"),
        ({"data": {}, "network": {}}, "--config data: unknown key"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_configuration_that_names_no_study_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], line: str
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(MinifiedError) as error:
        opening.study(config)
    assert str(error.value).startswith(line)
    assert len(str(error.value)) < 300


def test_a_study_is_named_by_name_by_number_by_path_or_not_at_all(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    for name in ("7", "digits"):
        (folder / "config" / f"{name}.yaml").write_text(SMALL)
    configs: list[dict[str, Any]] = [{"study": "small"}, {"study": "config/small.yaml"}]
    configs += [{"study": 7}, {}]
    named = [opening.study(config).name for config in configs]
    assert named == ["small", "small", "7", "digits"]


OBSTACLES = {
    ".snakemake": lambda path: path.write_text(""),
    ".snakemake/metadata": lambda path: path.write_text(""),
    ".snakemake/incomplete": lambda path: path.symlink_to("/dev/null/x"),
    "results": lambda path: path.symlink_to("nowhere"),
    "results/small": lambda path: path.symlink_to("small"),
    "results/small/tables": os.mkfifo,
    "results/small/quantization/2": lambda path: path.write_text(""),
    "results/small/logs/figures": lambda path: path.symlink_to("/dev/null"),
}


@pytest.mark.parametrize("place", OBSTACLES)
def test_what_is_in_the_place_of_a_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    files: list[Path | str] = ["results/small/tables/x.csv", "results/small/logs/figures/x.log"]
    files.append(Path("results/small/quantization/2/none.csv"))
    opening.refuse_obstacles(files)
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    OBSTACLES[place](tmp_path / place)
    with pytest.raises(MinifiedError) as error:
        opening.refuse_obstacles(files)
    assert str(error.value) == f"{place}: must be a folder; remove or rename it"


def test_folders_on_another_disk_may_be_linked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (".snakemake", "results"):
        (tmp_path / "disk" / name).mkdir(parents=True)
        (tmp_path / name).symlink_to(tmp_path / "disk" / name)
    opening.refuse_obstacles(["results/small/tables/x.csv"])


@pytest.mark.parametrize("place", [".snakemake", "results/small/parameter-obd_sd"])
def test_bare_snakemake_names_what_is_in_the_place_of_a_folder(folder: Path, place: str) -> None:
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    (folder / place).write_text("")
    ended = bare(folder, "--cores", "1", "--config", "study=small")
    assert one_line(ended) == f"{place}: must be a folder; remove or rename it"


def test_a_lock_that_cannot_be_opened_is_one_line(folder: Path) -> None:
    (folder / ".snakemake" / "minified-small.lock").mkdir(parents=True)
    ended = bare(folder, "--cores", "1", "--quiet", "all", "--config", "study=small")
    assert one_line(ended) == ".snakemake/minified-small.lock: Is a directory"


def test_a_running_run_is_named_in_one_line(folder: Path) -> None:
    with holding(folder):
        ended = bare(folder, "--cores", "1", "--quiet", "all", "--config", "study=small")
    assert f"another run of this study is working in {folder} (pro" in one_line(ended)


def test_snakemake_without_this_package_is_one_line(folder: Path) -> None:
    code = (
        "import sys; sys.modules['minified'] = None; sys.argv[0] = 'snakemake';"
        " from snakemake.cli import main; main()"
    )
    command = [sys.executable, "-c", code, "--snakefile", str(REPOSITORY / "Snakefile"), "-n"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert one_line(ended).startswith("minified is not installed beside Snakemake; ")


def clone(folder: Path) -> Path:
    """A clone of this repository, as far as a dry run sees it, with its own package."""
    folder.mkdir(parents=True)
    for name in ("Snakefile", "workflow", "profiles", "notebooks", "environment.yml", "src"):
        (folder / name).symlink_to(REPOSITORY / name)
    (folder / "config").mkdir()
    (folder / "config" / "small.yaml").write_text(f"data_root: '{{x}}'\n{SMALL}")
    return folder


def dry(folder: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    """A dry run in a clone, with nothing said on the command line that it could find itself."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "host"]
    return subprocess.run(
        [*command, "--config", "study=small"],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": "src"} | env,
    )


@pytest.mark.parametrize(
    "name", few(2, "{x}", "ü'\";\n$(x)", "a {", "}{", "{}", "-x", "\udcff"), ids=ascii
)
def test_a_clone_may_have_any_path(tmp_path: Path, name: str) -> None:
    planned = dry(clone(tmp_path / name))
    assert planned.returncode == 0, planned.stderr
    assert "retrain" in planned.stdout


@pytest.mark.parametrize("what", ["study", "clone"])
def test_braces_in_a_path_that_snakemake_takes_for_a_pattern_are_one_line(
    folder: Path, tmp_path: Path, what: str
) -> None:
    if what == "study":
        place = folder / "{x}"
        place.mkdir()
        (place / "small.yaml").write_text(SMALL)
        ended = bare(folder, "--dry-run", "--config", "study={x}/small.yaml")
        assert one_line(ended).startswith("study {x}/small.yaml: Snakemake takes braces in a path")
    else:
        ended = bare(
            folder,
            *("--dry-run", "--snakefile", str(clone(tmp_path / "{x}") / "Snakefile")),
            *("--config", "study=small"),
        )
        assert one_line(ended).startswith("notebook {x}/notebooks/explore.ipynb: Snakemake takes")


@pytest.mark.parametrize(
    ("what", "path"),
    [("study", "{x}/a.yaml"), ("notebook", "a{"), ("other_notebook", "../}/b.ipynb")],
)
def test_braces_are_refused_by_what_has_them(what: str, path: str) -> None:
    opening.refuse_braces(**{what: "a b;$(c)"})
    with pytest.raises(MinifiedError) as error:
        opening.refuse_braces(**{what: path})
    assert str(error.value).startswith(f"{what.replace('_', ' ')} {path}: ")


@pytest.mark.parametrize("path", ["-x.yaml", "--help", "-/a.yaml", "a-.yaml", "../-x", "/-x"])
def test_no_path_is_an_option_of_a_command(path: str) -> None:
    shown = opening.for_shell(path)
    assert not shown.startswith("-")
    assert os.path.normpath(shown) == os.path.normpath(path)


@pytest.mark.parametrize(
    "environment",
    few(
        2,
        {"HOME": "/dev/null/x"},
        {"XDG_CACHE_HOME": "/proc/nowhere", "XDG_CONFIG_HOME": "/proc/nowhere"},
        {"HOME": "/dev/null/x", "XDG_CACHE_HOME": "/dev/null/y"},
        {"HOME": "{x}"},
        {"HOME": ""},
        {"HOME": "/proc", "TMPDIR": "/proc/nowhere"},
    ),
    ids=str,
)
def test_a_run_needs_no_home(tmp_path: Path, environment: dict[str, str]) -> None:
    folder = clone(tmp_path / "clone")
    planned = dry(folder, **environment)
    assert planned.returncode == 0, planned.stderr
    assert not [path for path in folder.iterdir() if path.name.startswith(("{", ".cache"))]


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    opening.name_user()
    known = os.environ.get("LOGNAME")

    def nobody(*_: object) -> None:
        raise KeyError("uid not found")

    monkeypatch.setattr("pwd.getpwuid", nobody)
    opening.name_user()
    assert (known, os.environ["LOGNAME"]) == (None, str(os.getuid()))
