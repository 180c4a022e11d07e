"""Files are written whole or not at all, and numbers survive them."""

import csv
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minified import files


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
    assert [file.name for file in target.parent.iterdir()] == ["figure.svg"]
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
