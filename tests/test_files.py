"""Files are written whole or not at all, and numbers survive them."""

import csv
import errno
import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError

from minified.foundations import files
from minified.foundations.errors import ArtefactError, MinifiedError


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("old", [None, "old"])
def test_an_interrupted_writer_leaves_the_old_file_and_nothing_else(
    error: type[BaseException], old: str | None, tmp_path: Path
) -> None:
    target = tmp_path / "rows.csv"
    if old is not None:
        target.write_text(old)

    def write_half() -> None:
        with files.replacing(target) as temporary:
            temporary.write_text("half of the new")
            raise error

    with pytest.raises(error):
        write_half()
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == (
        {} if old is None else {"rows.csv": old}
    )


def test_the_target_changes_only_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "figure.svg"
    with files.replacing(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.suffix == ".svg"
        temporary.write_text("whole")
        assert not target.exists()
    assert sorted(file.name for file in target.parent.iterdir()) == [
        ".figure.svg.sha256",
        "figure.svg",
    ]
    assert target.read_text() == "whole"


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), files.replacing(tmp_path / "rows.csv"):
        pass


def test_text_has_unix_line_ends_and_is_utf_8(tmp_path: Path) -> None:
    files.write_text(tmp_path / "table.md", "α ≤ β\nγ\n")
    assert (tmp_path / "table.md").read_bytes() == "α ≤ β\nγ\n".encode()


@settings(deadline=None)
@given(numbers=st.lists(st.floats(allow_nan=False), max_size=20))
def test_floats_come_back_from_rows_to_the_last_bit(
    numbers: list[float], tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.getbasetemp() / "floats.csv"
    files.write_rows(file, ["number"], [{"number": number} for number in numbers])
    with open(file, newline="") as rows:
        found = [float(row["number"]) for row in csv.DictReader(rows)]
    assert [number.hex() for number in found] == [number.hex() for number in numbers]


def test_rows_have_a_header_unix_line_ends_and_empty_fields_for_none(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    files.write_rows(file, ["b", "a"], [{"a": None, "b": 0.1}, {"b": 'x,"y"', "a": 3}])
    assert file.read_bytes() == b'b,a\n0.1,\n"x,""y""",3\n'


def test_a_row_with_an_unknown_column_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="surprise"):
        files.write_rows(tmp_path / "rows.csv", ["a"], [{"a": 1, "surprise": 2}])
    assert not list(tmp_path.iterdir())


def test_tensors_and_their_metadata_come_back(tmp_path: Path) -> None:
    file = tmp_path / "scores.safetensors"
    tensors = {"0": torch.arange(6.0).view(2, 3).T, "1": torch.tensor([True, False])}
    files.write_tensors(file, tensors, {"sparsity": 0.1, "replicates": [0, 1]})
    found, metadata = files.read_tensors(file)
    assert metadata == {"sparsity": 0.1, "replicates": [0, 1]}
    assert {name: tensor.tolist() for name, tensor in found.items()} == {
        name: tensor.tolist() for name, tensor in tensors.items()
    }


def test_the_same_tensors_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        files.write_tensors(tmp_path / name, {"b": torch.ones(3), "a": torch.zeros(2)}, {"x": 1})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


STEPS = ("pathlib.Path.write_text", "os.fsync", "os.replace", "pathlib.Path.chmod")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("old", [None, "old\n"])
def test_a_disk_that_fails_at_any_step_leaves_the_old_file_whole_and_is_named(
    step: str, number: int, old: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "rows.csv"
    if old is not None:
        files.write_text(target, old)

    def fail(*arguments: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as broken:
        broken.setattr(step, fail)
        with pytest.raises(OSError, match=re.escape(os.strerror(number))) as caught:
            files.write_text(target, "new\n")
    assert caught.value.filename == str(target)
    assert not list(tmp_path.glob("*partial*"))
    if old is None:
        assert not target.exists()
    else:
        assert files.read_text(target) == old


def test_a_full_disk_is_named_when_tensors_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", fail)
    with pytest.raises(MinifiedError, match=r"scores\.safetensors.*No space left"):
        files.write_tensors(tmp_path / "scores.safetensors", {"0": torch.zeros(1)})
    assert not list(tmp_path.iterdir())


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda whole: whole[: len(whole) // 2],
    "cut by a byte": lambda whole: whole[:-1],
    "empty": lambda whole: b"",
    "a bit flipped": lambda whole: whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:],
    "longer": lambda whole: whole + b"1,2\n",
    "zeros": lambda whole: bytes(len(whole)),
    "garbage": lambda whole: b"\xff\xfe" * (len(whole) // 2),
}


def artefact(kind: str, folder: Path) -> tuple[Path, Callable[[], object]]:
    """A sound file of rows or of tensors, and what reads it."""
    file = folder / kind
    if kind == "rows":
        files.write_rows(file, ["a", "b"], [{"a": i, "b": i / 7} for i in range(20)])
        return file, lambda: files.read_rows(file, ["a", "b"])
    files.write_tensors(file, {"0": torch.arange(20.0)})
    return file, lambda: files.read_tensors(file)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", ["rows", "tensors"])
def test_any_damage_since_a_file_was_written_is_found_when_it_is_read(
    kind: str, damage: str, tmp_path: Path
) -> None:
    file, read = artefact(kind, tmp_path)
    assert read()
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    with pytest.raises(ArtefactError, match=re.escape(str(file))) as caught:
        read()
    assert caught.value.path == file
    assert "checksum" in str(caught.value)


@pytest.mark.parametrize("damage", ["truncated", "cut by a byte", "empty", "zeros", "garbage"])
@pytest.mark.parametrize("kind", ["rows", "tensors"])
def test_a_damaged_file_is_refused_by_its_form_where_its_checksum_is_lost(
    kind: str, damage: str, tmp_path: Path
) -> None:
    file, read = artefact(kind, tmp_path)
    (tmp_path / f".{kind}.sha256").unlink()
    assert read()
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    with pytest.raises(ArtefactError, match=re.escape(str(file))):
        read()


def test_a_rewritten_file_has_its_own_checksum(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    for text in ("one\n", "two\n"):
        files.write_text(file, text)
        assert files.read_text(file) == text
        kept = (tmp_path / ".rows.csv.sha256").read_text()
        assert kept == f"{hashlib.sha256(text.encode()).hexdigest()}  rows.csv\n"


def test_rows_of_other_columns_or_too_few_fields_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    for text, message in (
        ("a,c\n1,2\n", "columns are not a, b"),
        ("a,b\n1,2\n3\n", "line 3"),
        ("a,b\n1,2,3\n", "line 2"),
        ('a,b\n1,"2\n', "CSV"),
    ):
        file.write_text(text)
        with pytest.raises(ArtefactError, match=message):
            files.read_rows(file, ["a", "b"])
