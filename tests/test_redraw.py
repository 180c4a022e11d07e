"""Figures drawn again from a published folder alone: the same bytes, or one line and no change."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import STUDY, begin, minified, published
from minified import study
from minified.analysis.catalogue import FORMATS, figure_names

pytestmark = pytest.mark.slow

DRAW = ("figures", "config/small.yaml", "--from")


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A folder with a study's file and its published files, and no results."""
    begin(tmp_path)
    shutil.copytree(finished / "figures", tmp_path / "figures")
    return tmp_path


def test_a_published_folder_is_redrawn_to_the_byte_without_any_results(
    folder: Path, finished: Path
) -> None:
    expected = published(finished)
    for file in (folder / "figures" / "small").glob("*.*"):
        if file.suffix != ".json":
            file.write_bytes(b"spoilt")
    done = minified(folder, *DRAW, "figures/small")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert published(folder) == expected
    assert sorted(file.name for file in folder.iterdir()) == ["config", "figures"]


def test_a_copy_elsewhere_and_one_figure_alone_can_be_drawn(folder: Path, finished: Path) -> None:
    copy = shutil.copytree(folder / "figures" / "small", folder / "a copy")
    for file in copy.glob("*.*"):
        if file.suffix != ".json":
            file.unlink()
    done = minified(folder, *DRAW, "a copy", "--figure", "claims")
    assert done.returncode == 0, done.stderr
    drawn = {file.name: file.read_bytes() for file in copy.iterdir() if file.is_file()}
    expected = published(finished)
    assert drawn.pop("provenance.json") == expected["provenance.json"]
    assert drawn == {f"claims.{kind}": expected[f"claims.{kind}"] for kind in FORMATS}


def test_every_figure_reads_only_tables_that_are_published(folder: Path) -> None:
    loaded = study.load(folder / "config" / "small.yaml")
    names = figure_names(loaded)
    assert {f"{name}.{kind}" for name in names for kind in FORMATS} <= set(published(folder))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def less(file: Path, line: int = 3) -> None:
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[: line - 1] + lines[line:]))


def replaced(before: str, after: str) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        text = file.read_text()
        assert before in text
        file.write_text(text.replace(before, after))

    return change


def linked(file: Path) -> None:
    other = file.with_name("other.csv")
    file.rename(other)
    file.symlink_to(other.name)


def of_another_study(file: Path) -> None:
    record = json.loads(file.read_text())
    file.write_text(json.dumps(record | {"study": "large"}) + "\n")


def of_another_grid(file: Path) -> None:
    record = json.loads(file.read_text())
    record["configuration"]["grid"]["parameter"]["sparsities"] = [0.8]
    file.write_text(json.dumps(record) + "\n")


@pytest.mark.parametrize(
    ("name", "spoil", "problem"),
    [
        ("tables/claims.csv", Path.unlink, "no such file"),
        ("tables/results.csv", cut, "is truncated"),
        ("tables/results.csv", less, "has no row of baseline train, replicate 1"),
        ("tables/results.csv", replaced("\nsmall,", "\nlarge,"), "is of study large, not small"),
        ("tables/results.csv", replaced("accuracy_test,", "accuracy,"), "its columns are not"),
        ("tables/results.csv", replaced(",0.9,", ",nine,"), "has no row of parameter-obd_sd 0.9"),
        ("tables/damage.csv", less, "has no row of parameter-obd_sd, replicate 1"),
        ("tables/damage_scatter.csv", replaced("100", "all"), "has ranks that are not numbers"),
        ("tables/claims.csv", replaced("\nC2,", "\nC9,"), "figure claims: cannot be drawn from"),
        ("tables/claims.csv", linked, "is a symbolic link"),
        ("provenance.json", Path.unlink, "no such file"),
        ("provenance.json", cut, "is truncated"),
        ("provenance.json", of_another_study, "is of study large, not small"),
        ("provenance.json", of_another_grid, "grid.parameter.sparsities was [0.8], is [0.9]"),
    ],
)
def test_a_missing_damaged_or_foreign_table_is_one_line_and_changes_nothing(
    folder: Path, name: str, spoil: Callable[[Path], None], problem: str
) -> None:
    spoil(folder / "figures" / "small" / name)
    before = published(folder)
    done = minified(folder, *DRAW, "figures/small")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert problem in line
    assert Path(name).name.partition(".")[0] in line
    assert published(folder) == before


def test_links_are_refused_wherever_they_lead(folder: Path, tmp_path: Path) -> None:
    target = folder / "figures" / "small"
    outside = tmp_path / "outside"
    outside.write_text("mine")
    (target / "claims.svg").unlink()
    (target / "claims.svg").symlink_to(outside)
    done = minified(folder, *DRAW, "figures/small")
    assert done.returncode == 1
    assert "claims.svg: is a symbolic link" in done.stderr
    assert outside.read_text() == "mine"
    (folder / "link").symlink_to(target)
    done = minified(folder, *DRAW, "link")
    assert done.returncode == 1
    assert "link: is a symbolic link" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("nowhere",), "--from nowhere: no such folder"),
        (("config/small.yaml",), "config/small.yaml: is not a folder"),
        (("figures/small", "--figure", "none"), "--figure none: study small has"),
    ],
)
def test_what_cannot_be_drawn_from_is_one_line(
    folder: Path, arguments: tuple[str, ...], problem: str
) -> None:
    done = minified(folder, *DRAW, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert problem in line


def test_an_edited_study_file_is_told_from_the_published_one(folder: Path) -> None:
    begin(folder, STUDY.replace("sparsities: [0.9]", "sparsities: [0.8]"))
    done = minified(folder, *DRAW, "figures/small")
    assert done.returncode == 1
    assert "grid.parameter.sparsities was [0.9], is [0.8]" in done.stderr
