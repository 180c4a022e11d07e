"""What a comparison with the committed figures reports, and what it lets pass."""

import csv
import json
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from conftest import REPOSITORY
from minified import study
from minified.foundations.errors import MinifiedError
from minified.run import compare, lock, verify

PUBLISHED = REPOSITORY / "figures" / "digits"
DIGITS = study.load(REPOSITORY / "config" / "digits.yaml")


@pytest.fixture
def twins(tmp_path: Path) -> tuple[Path, Path]:
    """Two copies of the published digits study."""
    folders = tmp_path / "committed", tmp_path / "regenerated"
    for folder in folders:
        shutil.copytree(PUBLISHED, folder)
    return folders


def edit(file: Path, wanted: dict[str, str], column: str, value: str) -> str:
    """Set `column` of the one row that has the `wanted` fields; return what it was."""
    with open(file, encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    (row,) = [row for row in rows if all(row[key] == wanted[key] for key in wanted)]
    before, row[column] = row[column], value
    with open(file, "w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return before


def on_another_machine(folder: Path) -> None:
    file = folder / "provenance.json"
    found = json.loads(file.read_text())
    found["device"]["vendor"] = "Another"
    file.write_text(json.dumps(found))


CELL = {"method": "parameter-obd", "sparsity": "0.9", "regime": "scratch"}
ONE = CELL | {"replicate": "3"}


def outcome(twins: tuple[Path, Path]) -> str:
    return verify.summarise(*twins, compare.compare(*twins))


def test_the_same_files_are_identical_and_the_machine_folder_does_not_count(
    twins: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (twins[1] / "machine" / "timings.md").write_text("slower")
    (twins[1] / "machine" / "more.md").write_text("")
    assert compare.compare(*twins) == []
    assert outcome(twins) == verify.IDENTICAL
    assert verify.STATUS[verify.IDENTICAL] == 0
    assert "byte for byte" in capsys.readouterr().out


def test_a_number_that_differs_is_reported_by_file_row_column_values_and_distance(
    twins: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    before = edit(twins[1] / "tables" / "results.csv", ONE, "accuracy_test", "0.25")
    (difference,) = compare.compare(*twins)
    assert difference.file == "tables/results.csv"
    assert difference.row == "parameter-obd 0.9 scratch 3"
    assert difference.column == "accuracy_test"
    assert (difference.committed, difference.regenerated) == (before, "0.25")
    assert difference.difference == abs(float(before) - 0.25)
    assert outcome(twins) == verify.DIFFERENT
    said = capsys.readouterr().out
    for word in ("tables/results.csv", difference.row, "accuracy_test", before, "0.25"):
        assert word in said
    assert f"largest difference: {difference.difference:.6g}" in said
    assert "no verdict changed" in said
    assert verify.STATUS[verify.DIFFERENT] not in (0, 1)


def test_missing_added_and_redrawn_files_are_reported(twins: tuple[Path, Path]) -> None:
    (twins[1] / "claims.svg").unlink()
    (twins[1] / "tables" / "new.csv").write_text("a\n1\n")
    (twins[1] / "claims.png").write_bytes(b"other")
    found = {d.file: (d.committed[:7], d.regenerated[:7]) for d in compare.compare(*twins)}
    assert found == {
        "claims.svg": ("there", "missing"),
        "tables/new.csv": ("missing", "there"),
        "claims.png": ("SHA-256", "SHA-256"),
    }


def test_a_removed_row_does_not_make_the_rows_after_it_differ(twins: tuple[Path, Path]) -> None:
    table = twins[1] / "tables" / "results.csv"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(lines[:10] + lines[11:]))
    found = compare.compare(*twins)
    assert len({difference.row for difference in found}) == 1
    assert {difference.regenerated for difference in found} == {"missing"}


def test_a_change_that_only_bytes_show_is_not_lost(twins: tuple[Path, Path]) -> None:
    table = twins[1] / "tables" / "results.csv"
    table.write_bytes(table.read_bytes().replace(b"\n", b"\r\n"))
    assert [difference.file for difference in compare.compare(*twins)] == ["tables/results.csv"]


def test_a_changed_verdict_is_reported(
    twins: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    claim = {"claim": "C3", "level": "neuron"}
    before = edit(twins[1] / "tables" / "claims.csv", claim, "verdict", "supported")
    assert before == "contradicted"
    assert outcome(twins) == verify.DIFFERENT
    message = capsys.readouterr().out
    assert (
        "verdict changed: C3 scratch - fine_tune neuron: contradicted became supported" in message
    )


def test_another_package_is_reported_by_its_name(twins: tuple[Path, Path]) -> None:
    file = twins[1] / "provenance.json"
    found = json.loads(file.read_text())
    found["packages"]["torch"] = "1.0"
    file.write_text(json.dumps(found))
    (difference,) = compare.compare(*twins)
    assert (difference.row, difference.regenerated) == ("packages.torch", '"1.0"')


def test_on_another_type_of_machine_small_changes_are_within_the_tolerance(
    twins: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    on_another_machine(twins[1])
    edit(twins[1] / "tables" / "results.csv", ONE, "loss_test", "0.1234")
    mean = float(edit(twins[1] / "tables" / "accuracy.csv", CELL, "accuracy_mean", "0"))
    edit(twins[1] / "tables" / "accuracy.csv", CELL, "accuracy_mean", str(mean + 0.9))
    for column, value in (("low", mean + 0.8), ("high", mean + 1.0)):
        edit(twins[1] / "tables" / "accuracy.csv", CELL, f"accuracy_ci_{column}", str(value))
    assert outcome(twins) == verify.TOLERATED
    said = capsys.readouterr().out
    assert "Another" in said
    assert compare.TOLERANCE in said
    assert verify.STATUS[verify.TOLERATED] == 0


@pytest.mark.parametrize(
    ("table", "row", "column", "value", "message"),
    [
        ("results", ONE, "seed", "7", "seed"),
        ("results", ONE, "sparsity_achieved", "0.8", "sparsity_achieved"),
        ("claims", {"claim": "C3"}, "verdict", "supported", "contradicted became supported"),
    ],
)
def test_names_counts_seeds_and_verdicts_are_the_same_on_any_machine(
    twins: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
    table: str,
    row: dict[str, str],
    column: str,
    value: str,
    message: str,
) -> None:
    on_another_machine(twins[1])
    edit(twins[1] / "tables" / f"{table}.csv", row, column, value)
    assert outcome(twins) == verify.DIFFERENT
    assert message in capsys.readouterr().out


def test_a_cell_whose_interval_is_elsewhere_is_beyond_any_tolerance(
    twins: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    on_another_machine(twins[1])
    table = twins[1] / "tables" / "accuracy.csv"
    for column, value in (("mean", "50"), ("ci_low", "49"), ("ci_high", "51")):
        edit(table, CELL, f"accuracy_{column}", value)
    assert outcome(twins) == verify.DIFFERENT
    said = capsys.readouterr().out
    assert "parameter-obd 0.9 scratch: accuracy_mean" in said
    assert "not within the tolerance" in said


@pytest.mark.parametrize("content", [None, "", "{", '{"device": [1]}', '{"device": {"a": 1}}'])
def test_figures_that_do_not_say_what_made_them_are_excused_nothing(
    twins: tuple[Path, Path], capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    file = twins[0] / "provenance.json"
    file.unlink() if content is None else file.write_text(content)
    assert outcome(twins) == verify.DIFFERENT
    assert "does not say what type of machine" in capsys.readouterr().out


def alter(key: str, value: object) -> Callable[[Path], None]:
    """Set a dotted key of a folder's provenance."""

    def change(folder: Path) -> None:
        file = folder / "provenance.json"
        whole = found = json.loads(file.read_text())
        *above, last = key.split(".")
        for part in above:
            found = found[part]
        found[last] = value
        file.write_text(json.dumps(whole))

    return change


def replace_column(table: str, column: str, value: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "tables" / table
        with open(file, encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        with open(file, "w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(row | {column: value} for row in rows)

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "claims.svg").unlink(),
        lambda folder: (folder / "tables" / "sizes.csv").unlink(),
        lambda folder: (folder / "tables" / "results.csv").unlink(),
        lambda folder: (folder / "tables" / "claims.csv").unlink(),
        alter("data.raw_sha256.digits", "0" * 64),
        alter("configuration.recipes.baseline.epochs", 1),
        alter("packages.torch", "1.0"),
        replace_column("results.csv", "accuracy_test", "nan"),
        replace_column("results.csv", "loss_test", "inf"),
        replace_column("results.csv", "parameters_kept", "1"),
        replace_column("claims.csv", "effect_points", "1e3"),
        replace_column("accuracy.csv", "accuracy_mean", ""),
    ],
)
def test_no_type_of_machine_excuses_other_data_other_settings_or_missing_numbers(
    twins: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Path], None],
) -> None:
    on_another_machine(twins[1])
    assert outcome(twins) == verify.TOLERATED
    change(twins[1])
    assert outcome(twins) == verify.DIFFERENT
    assert "beyond the tolerance" in capsys.readouterr().out


@pytest.fixture
def environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """A repository that has the published digits, as working folder, and a workflow that makes them
    again at once; the environments in which it was started.
    """
    repository = tmp_path / "repository"
    shutil.copytree(PUBLISHED, repository / "figures" / "digits")
    (repository / "Snakefile").touch()
    given: list[dict[str, str]] = []
    run = subprocess.run

    def start(command: list[str], **how: Any) -> subprocess.CompletedProcess:
        if command[0] == "git":
            return run(command, **how)
        given.append(how["env"])
        place = Path(command[command.index("--directory") + 1])
        shutil.copytree(PUBLISHED, place / "figures" / "digits", dirs_exist_ok=True)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", start)
    monkeypatch.setattr(lock, "hold", lambda file: file.parent.mkdir(exist_ok=True) or file.touch())
    monkeypatch.chdir(repository)
    return given


def test_a_folder_with_anything_of_its_own_is_not_worked_in(
    environments: list[dict[str, str]], tmp_path: Path
) -> None:
    place = tmp_path / "place"
    (place / "committed").mkdir(parents=True)
    with pytest.raises(MinifiedError, match="must be new, empty"):
        verify.verify(DIGITS, "1", place)
    assert (place / "committed").is_dir()
    assert environments == []
    (place / ".minified-verify").touch()
    assert verify.verify(DIGITS, "1", place) == verify.IDENTICAL
    assert len(environments) == 1


def test_a_data_root_below_the_working_folder_is_found_from_the_other_one(
    environments: list[dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MINIFIED_DATA", raising=False)
    verify.verify(DIGITS, "1", tmp_path / "one")
    monkeypatch.setenv("MINIFIED_DATA", "elsewhere")
    verify.verify(DIGITS, "1", tmp_path / "other")
    roots = [environment["MINIFIED_DATA"] for environment in environments]
    assert roots == [str(Path.cwd() / "data"), str(Path.cwd() / "elsewhere")]


# The temporary folders of comparisons


def fail(patch: pytest.MonkeyPatch) -> None:
    """Have every run of the workflow fail after its first file."""

    def start(command: list[str], **how: Any) -> subprocess.CompletedProcess:
        place = Path(command[command.index("--directory") + 1]) if len(command) > 9 else None
        if place:
            (place / "results").mkdir(exist_ok=True)
        return subprocess.CompletedProcess(command, 1, stdout=b"")

    patch.setattr(subprocess, "run", start)


def test_an_identical_comparison_leaves_no_folder(
    environments: list[dict[str, str]], temporary: Path
) -> None:
    assert verify.verify(DIGITS, "1", None) == verify.IDENTICAL
    assert list(temporary.iterdir()) == []
    inner = Path(environments[0]["TMPDIR"])
    assert inner.is_relative_to(temporary), "what a killed run leaves is removed with its folder"


@pytest.mark.parametrize("next_study", ["digits", "mnist"])
def test_a_failed_comparison_s_folder_stays_until_the_next_one_which_says_so(
    environments: list[dict[str, str]],
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    next_study: str,
) -> None:
    with monkeypatch.context() as patch:
        fail(patch)
        with pytest.raises(MinifiedError, match="could not be regenerated") as caught:
            verify.verify(DIGITS, "1", None)
    (left,) = temporary.iterdir()
    assert f"--folder {left} (the next comparison removes that folder" in str(caught.value)
    capsys.readouterr()
    shutil.copytree(PUBLISHED, Path("figures") / "mnist")
    study_file = REPOSITORY / "config" / f"{next_study}.yaml"
    with suppress(MinifiedError):
        verify.verify(study.load(study_file), "1", None)
    assert not left.exists()
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"removed what earlier comparisons left: {left}"


def test_a_comparison_with_differences_keeps_its_files_until_the_next_one_and_says_so(
    environments: list[dict[str, str]],
    temporary: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (Path("figures") / "digits" / "claims.svg").write_text("<svg/>")
    assert verify.verify(DIGITS, "1", None) == verify.DIFFERENT
    (left,) = temporary.iterdir()
    assert f"{left}/differences.csv; the regenerated files are kept beside it, until the next " in (
        capsys.readouterr().out
    )
    verify.verify(DIGITS, "1", None)
    assert not left.exists()


def test_a_folder_that_a_user_named_is_kept(
    environments: list[dict[str, str]],
    temporary: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch:
        fail(patch)
        with pytest.raises(MinifiedError):
            verify.verify(DIGITS, "1", None)
    (left,) = temporary.iterdir()
    assert verify.verify(DIGITS, "1", left) == verify.IDENTICAL
    named = temporary / "minified-verify-mine"
    with monkeypatch.context() as patch:
        fail(patch)
        with pytest.raises(MinifiedError) as caught:
            verify.verify(DIGITS, "1", named)
    assert str(caught.value).endswith(f"--folder {named}")
    assert verify.verify(DIGITS, "1", None) == verify.IDENTICAL
    assert sorted(temporary.iterdir()) == sorted([left, named])
    assert "removed" not in capsys.readouterr().out


def test_a_comparison_with_nothing_leaves_no_folder(
    environments: list[dict[str, str]], temporary: Path
) -> None:
    shutil.rmtree(Path("figures") / "digits")
    with pytest.raises(MinifiedError, match="nothing to compare with"):
        verify.verify(DIGITS, "1", None)
    assert list(temporary.iterdir()) == []
