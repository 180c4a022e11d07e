"""A study is loaded by name or path: right as a whole, or refused with one line that says where."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import REPOSITORY, SMALL
from minified import study
from minified.foundations.errors import StudyError
from studies import load, single_line

pytestmark = pytest.mark.usefixtures("never_hangs")


def test_the_default_study_has_166_jobs_of_20_replicates() -> None:
    digits = study.load(REPOSITORY / "config" / "digits.yaml")
    jobs = list(digits.jobs())
    assert len(jobs) == len(set(jobs)) == 166
    assert digits.replicates == 20
    assert digits.name == "digits"


@pytest.mark.parametrize("name", ["x; touch pwned", "../digits", "", "a b", "$(id)", "Ä"])
def test_a_name_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(StudyError, match="a-z"):
        study.load(name)


def test_a_study_that_does_not_exist_is_refused_with_those_that_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(REPOSITORY)
    with pytest.raises(StudyError, match="digits"):
        study.load("nowhere")


def test_an_excerpt_holds_what_a_job_uses_and_nothing_else(tmp_path: Path) -> None:
    one = load(tmp_path, SMALL)
    other = load(tmp_path, SMALL.replace("sparsities: [0.75]", "sparsities: [0.5, 0.75]"))
    assert one.excerpt("seed", "recipes.scratch") == other.excerpt("seed", "recipes.scratch")
    assert one.excerpt("grid.neuron") != other.excerpt("grid.neuron")


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def loop(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Path.mkdir, "must be a file, not a folder, device or pipe"),
        (os.mkfifo, "must be a file, not a folder, device or pipe"),
        (device, "must be a file, not a folder, device or pipe"),
        (dangling, "no such study"),
        (loop, "cannot be read"),
    ],
)
def test_what_is_no_file_is_refused_and_not_waited_for(
    tmp_path: Path, make: Callable[[Path], None], words: str
) -> None:
    file = tmp_path / "mine.yaml"
    make(file)
    with pytest.raises(StudyError, match=words) as caught:
        study.load(file)
    assert single_line(caught.value).startswith(f"{file}: ")


def test_a_file_that_may_not_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(path: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "mine.yaml").touch()
    monkeypatch.setattr(Path, "open", forbidden)
    with pytest.raises(StudyError, match=r"mine.yaml: cannot be read \(Permission denied\)"):
        study.load(tmp_path / "mine.yaml")


@pytest.mark.parametrize(
    "path",
    [
        "a\nb/c.yaml",
        "a\x1b[2J/c.yaml",
        "a\u2028\x85/c.yaml",
        "a\0/c.yaml",
        "a\udc80/c.yaml",
        "a/" * 9,
    ],
)
def test_a_path_of_any_characters_is_named_on_one_line(path: str) -> None:
    with pytest.raises(StudyError) as caught:
        study.load(path)
    assert single_line(caught.value)


@pytest.mark.parametrize(
    "stem", ["x; touch pwned", "$(id)", "a\nb", "a b", "x{y}", "-x", "Ä", "A", "a" * 65, "a'b"]
)
def test_a_file_whose_name_is_no_study_s_name_is_refused(tmp_path: Path, stem: str) -> None:
    with pytest.raises(StudyError, match="a study's name must consist of a-z") as caught:
        study.load(tmp_path / f"{stem}.yaml")
    assert single_line(caught.value)


@pytest.mark.parametrize("given", [7, 1.5, True, {"a": "b\n"}])
def test_a_study_that_snakemake_reads_as_no_text_is_refused(given: Any) -> None:
    with pytest.raises(StudyError) as caught:
        study.load(given)
    assert single_line(caught.value)
