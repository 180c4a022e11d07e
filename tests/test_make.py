"""`make` hands on what it is given as it was given: it runs nothing of it, and no shell does."""

import os
import subprocess
from pathlib import Path

import pytest

from conftest import REPOSITORY, minified

VALUES = [
    "$(shell touch pwned)",
    "${shell touch pwned}",
    "$(touch pwned)",
    "$$(touch pwned)",
    "$(eval x := $(shell touch pwned))",
    "$(file > pwned,x)",
    "$(error pwned)",
    "$(info pwned)",
    "$(call shell,touch pwned)",
    "$(STUDY)$(CORES)",
    "`touch pwned`",
    "; touch pwned",
    '"; touch pwned; "',
    "'; touch pwned; '",
    "&& touch pwned #",
    "a\ntouch pwned",
    "@touch pwned",
    "-x",
    "$",
    "%\\",
    "ü \xff",
    "",
]

DEFAULT = ["snakemake", "--workflow-profile", "workflow/profiles/default"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an environment whose commands only say what they were called with."""
    (tmp_path / "v" / "bin").mkdir(parents=True)
    for name in ("minified", "snakemake", "jupyter"):
        command = tmp_path / "v" / "bin" / name
        command.write_text('#!/bin/sh\nprintf "%s\\0" "${0##*/}" "$@" "|" >> "$SAID"\n')
        command.chmod(0o755)
    (tmp_path / "ready").touch()
    return tmp_path


def make(folder: Path, *arguments: str, **environment: str) -> list[list[str]]:
    """The commands that `make` calls in `folder`, each with its arguments."""
    said = folder / "said"
    said.write_text("")
    subprocess.run(
        [
            *("make", "--silent", "--file", str(REPOSITORY / "Makefile")),
            *("READY=ready", "VENV=v", *arguments),
        ],
        cwd=folder,
        env=os.environ | {"SAID": str(said)} | environment,
        check=True,
        capture_output=True,
    )
    assert sorted(path.name for path in folder.iterdir()) == ["ready", "said", "v"]
    return [call.split("\0") for call in said.read_text().split("\0|\0")[:-1]]


@pytest.mark.parametrize("given", ["as an argument", "in the environment", "over the Makefile's"])
@pytest.mark.parametrize("value", VALUES)
def test_study_and_cores_reach_the_commands_as_they_were_given(
    folder: Path, value: str, given: str
) -> None:
    for key in ("STUDY", "CORES"):
        for goal in ("reproduce", "verify"):
            if given == "as an argument":
                called = make(folder, goal, f"{key}={value}")
            else:
                options = ["-e"] if given == "over the Makefile's" else []
                called = make(folder, goal, *options, **{key: value})
            study = value if key == "STUDY" else "digits"
            cores = value if key == "CORES" else "all"
            assert (
                called
                == {
                    "reproduce": [
                        ["minified", "check", "--", study],
                        [*DEFAULT, f"--cores={cores}", "--config", f"study={study}"],
                    ],
                    "verify": [["minified", "verify", f"--cores={cores}", "--", study]],
                }[goal]
            )


@pytest.mark.parametrize("value", ["slurm", *VALUES])
def test_a_profile_reaches_snakemake_as_it_was_given_and_says_itself_how_wide(
    folder: Path, value: str
) -> None:
    for called in (
        make(folder, "reproduce", f"PROFILE={value}"),
        make(folder, "reproduce", PROFILE=value),
    ):
        profile = ["--workflow-profile", f"workflow/profiles/{value}"]
        assert called[1] == ["snakemake", *profile, "--config", "study=digits"]


@pytest.mark.parametrize("value", VALUES[:-1])
def test_a_report_is_named_after_the_study_as_it_was_given(folder: Path, value: str) -> None:
    called = make(folder, "report", f"STUDY=config/{value}.yaml")
    assert called[-1][-2:] == ["--report", f"results/{value}/report.html"]


@pytest.mark.parametrize("study", ["digits", "config/digits.yaml", "../a b/digits.yml"])
def test_the_notebook_of_a_finished_study_is_opened_by_name_or_by_path(
    folder: Path, study: str
) -> None:
    notebook = folder / "results" / "digits" / "explore.ipynb"
    notebook.parent.mkdir(parents=True)
    notebook.touch()
    command = ["make", "-s", "-f", str(REPOSITORY / "Makefile"), "READY=ready", "VENV=v"]
    said = folder / "said"
    environment = os.environ | {"SAID": str(said)}
    subprocess.run(
        [*command, "notebook", f"STUDY={study}"], cwd=folder, env=environment, check=True
    )
    called = [call.split("\0") for call in said.read_text().split("\0|\0")[:-1]]
    assert called == [
        ["minified", "check", "--", study],
        ["jupyter", "lab", "results/digits/explore.ipynb"],
    ]


@pytest.mark.parametrize("value", VALUES)
def test_a_study_without_a_notebook_is_one_line(folder: Path, value: str) -> None:
    done = subprocess.run(
        [
            *("make", "-s", "-f", str(REPOSITORY / "Makefile"), "READY=ready", "VENV=v"),
            *("notebook", f"STUDY={value}"),
        ],
        cwd=folder,
        env=os.environ | {"SAID": str(folder / "said")},
        capture_output=True,
        check=False,
    )
    assert done.returncode != 0
    said = done.stderr.decode(errors="replace")
    assert "no such file; first finish the study: make reproduce" in said
    assert "jupyter" not in (folder / "said").read_text(errors="replace")
    assert sorted(path.name for path in folder.iterdir()) == ["ready", "said", "v"]


@pytest.mark.parametrize("value", VALUES)
def test_what_is_no_study_is_one_line(tmp_path: Path, value: str) -> None:
    ended = minified(tmp_path, "check", "--", value)
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("minified: ")
    assert not list(tmp_path.iterdir())


def test_a_user_without_a_home_is_given_one_in_the_folder(folder: Path) -> None:
    (folder / "v" / "bin" / "minified").write_text(
        '#!/bin/sh\nprintf "%s\\0|\\0" "$HOME" > "$SAID"\n'
    )
    assert make(folder, "verify", HOME="/its/own") == [["/its/own"]]
    (folder / "v" / "bin" / "minified").write_text('#!/bin/sh\nprintf "%s" "$HOME" > "$SAID"\n')
    without = {key: value for key, value in os.environ.items() if key != "HOME"}
    command = ["make", "-s", "-f", str(REPOSITORY / "Makefile"), "READY=ready", "VENV=v", "verify"]
    said = folder / "said"
    said.unlink()
    subprocess.run(command, cwd=folder, env=without | {"SAID": str(said)}, check=True)
    assert said.read_text() == str(folder / ".snakemake" / "home")
