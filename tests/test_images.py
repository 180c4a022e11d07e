"""Image data sets: read in their true formats, and refused when altered."""

import hashlib
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import minified
from minified import data
from minified.data import images
from minified.foundations.errors import DataError, StudyError
from originals import NAMES, TEST, TRAINING, idx, md5, publish, put, written

pytestmark = pytest.mark.usefixtures("no_network")


@pytest.fixture(params=NAMES)
def small(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, Path, Path]:
    """A small data set under a data root: its name, the root, its folder."""
    content = written(request.param)
    folder = tmp_path / publish(request.param, content, monkeypatch)
    put(folder, content)
    return request.param, tmp_path, folder


def test_pixels_and_labels_are_those_in_the_files(small: tuple[str, Path, Path]) -> None:
    name, root, folder = small
    training, test, checksums = images.read_originals(name, root)
    assert training.labels.tolist() == [i % 10 for i in range(TRAINING)]
    assert test.labels.tolist() == [i % 10 for i in range(TEST)]
    assert training.pixels.dtype == torch.uint8
    if name == "cifar10":
        assert training.pixels.shape == (TRAINING, 3, 32, 32)
        third = pickle.loads((folder / "data_batch_3").read_bytes())["data"][5]
        assert training.pixels[2 * TRAINING // 5 + 5].flatten().tolist() == third.tolist()
    else:
        assert training.pixels.shape == (TRAINING, 1, 28, 28)
        raw = (folder / "train-images-idx3-ubyte").read_bytes()[16:]
        assert training.pixels.numpy().tobytes() == raw
    assert checksums == {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()
    }


def test_a_data_set_with_a_test_split_keeps_it_and_holds_out_validation(
    small: tuple[str, Path, Path],
) -> None:
    name, root, _ = small
    dataset = data.load(name, root, validation=0.2, test=0.9)
    # 6 of each class are for training; round(0.2 * 6) of them decide.
    assert dataset.training.targets.bincount().tolist() == [5] * 10
    assert dataset.validation.targets.bincount().tolist() == [1] * 10
    assert dataset.test.targets.tolist() == [i % 10 for i in range(TEST)]


def test_each_channel_of_the_training_split_has_mean_0_and_deviation_1(
    small: tuple[str, Path, Path],
) -> None:
    name, root, _ = small
    dataset = data.load(name, root)
    pixels = dataset.training.inputs.double()
    assert pixels.mean((0, 2, 3)).tolist() == pytest.approx([0.0] * pixels.shape[1], abs=1e-6)
    deviations = pixels.std((0, 2, 3), correction=0).tolist()
    assert deviations == pytest.approx([1.0] * pixels.shape[1], abs=1e-6)
    # The test split is scaled alike, by what it took no part in: the same 256 levels.
    for channel in range(pixels.shape[1]):
        levels = dataset.training.inputs[:, channel].unique()
        assert len(levels) == 256
        assert torch.isin(dataset.test.inputs[:, channel], levels).all()


def test_fewer_training_examples_are_the_first_of_the_shuffle_and_decide_the_scale(
    small: tuple[str, Path, Path],
) -> None:
    name, root, _ = small
    whole, cut = data.load(name, root), data.load(name, root, training_examples=40)
    assert len(cut.training) == 40
    assert torch.equal(cut.training.targets, whole.training.targets[:40])
    assert torch.equal(cut.validation.targets, whole.validation.targets)
    assert cut.training.inputs.double().mean().item() == pytest.approx(0.0, abs=1e-6)


def test_too_few_training_examples_for_all_classes_are_refused_by_the_key(
    small: tuple[str, Path, Path],
) -> None:
    name, root, _ = small
    with pytest.raises(StudyError, match=r"data\.training_examples: 9: .*lack some class"):
        data.load(name, root, training_examples=9)


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[: len(whole) // 2],
        lambda whole: b"",
        lambda whole: whole[:-1] + bytes([whole[-1] ^ 1]),
        lambda whole: whole + b"\0",
    ],
    ids=["half", "empty", "one bit", "longer"],
)
def test_an_altered_file_is_refused_by_name_and_stays(
    damage: Callable[[bytes], bytes], small: tuple[str, Path, Path]
) -> None:
    name, root, folder = small
    for file in sorted(folder.iterdir()):
        whole = file.read_bytes()
        file.write_bytes(damage(whole))
        with pytest.raises(DataError) as caught:
            images.read_originals(name, root)
        line = str(caught.value)
        assert line.splitlines() == [line]
        assert line.startswith(f"data set {name}: {file} has MD5 {md5(damage(whole))}, not ")
        assert "delete it" in line
        assert file.read_bytes() == damage(whole)
        file.write_bytes(whole)


class Bomb:
    """What a hostile pickle does when it is opened."""

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)

    def __init__(self, path: Path):
        self.path = path


@pytest.mark.parametrize("file", ["data_batch_1", "test_batch", "batches.meta"])
def test_a_pickle_that_is_not_the_published_one_is_never_opened(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = written("cifar10")
    folder = tmp_path / publish("cifar10", content, monkeypatch)
    put(folder, content)
    (folder / file).write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    with pytest.raises(DataError, match=f"{file} has MD5"):
        images.read_originals("cifar10", tmp_path)
    assert not (tmp_path / "exploded").exists()
    pickle.loads((folder / file).read_bytes())  # it would have
    assert (tmp_path / "exploded").exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_label_that_is_no_class_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = written(name, labels=lambda i: 10 if i == 7 else i % 10)
    put(tmp_path / publish(name, content, monkeypatch), content)
    with pytest.raises(DataError, match=f"data set {name}: has a label 10; labels must be in 0"):
        data.load(name, tmp_path)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_images_and_labels_of_other_numbers_are_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = written(name)
    content["train-labels-idx1-ubyte"] = idx(np.arange(TRAINING - 1) % 10)
    put(tmp_path / publish(name, content, monkeypatch), content)
    with pytest.raises(DataError, match=rf"data set {name}: targets must be int64 \({TRAINING},\)"):
        data.load(name, tmp_path)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_what_an_old_torchvision_processed_is_not_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = written(name)
    folder = tmp_path / publish(name, content, monkeypatch)
    put(folder, content)
    processed = folder.parent / "processed"
    processed.mkdir()
    for part in ("training.pt", "test.pt"):
        torch.save((torch.zeros(3, 28, 28), torch.zeros(3)), processed / part)
    with pytest.raises(DataError, match=r"processed holds copies.*delete that folder"):
        images.read_originals(name, tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_without_data_and_network_one_line_says_what_to_put_where(
    name: str, tmp_path: Path
) -> None:
    root = tmp_path / "empty"
    root.mkdir()
    with pytest.raises(DataError) as caught:
        images.read_originals(name, root)
    line = str(caught.value)
    source = images.SOURCES[name]
    assert line.splitlines() == [line]
    for word in (f"data set {name}", str(root), "MINIFIED_DATA", "data_root", source.folder):
        assert word in line
    for file in source.md5:
        assert file in line
    assert "download failed" in line
    assert list(root.iterdir()) == [], "what was begun is gone"


@pytest.mark.slow
def test_the_command_line_says_it_and_ends_with_status_1(tmp_path: Path, small_study: Path) -> None:
    text = small_study.read_text() + "data: {name: mnist}\ndata_root: here\n"
    small_study.write_text(text)
    (tmp_path / "here" / "MNIST" / "raw").mkdir(parents=True)
    file = tmp_path / "here" / "MNIST" / "raw" / "train-images-idx3-ubyte"
    file.write_bytes(b"no image")
    environment = {"MINIFIED_DATA": ""}
    done = minified(tmp_path, "prepare", str(small_study), env=environment)
    assert done.returncode == 1
    assert done.stderr.startswith("minified: data set mnist: here/MNIST/raw/train-images-idx3-")
    assert len(done.stderr.splitlines()) == 1
    # The environment's word counts before the study's.
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(tmp_path / "here", elsewhere)
    done = minified(tmp_path, "prepare", str(small_study), env={"MINIFIED_DATA": str(elsewhere)})
    assert f"data set mnist: {elsewhere}/MNIST/raw" in done.stderr


@pytest.mark.slow
def test_without_data_and_network_the_command_line_ends_in_that_line(
    tmp_path: Path, small_study: Path
) -> None:
    small_study.write_text(small_study.read_text() + "data: {name: fashion_mnist}\n")
    nobody = {f"{kind}_proxy": "http://127.0.0.1:9" for kind in ("http", "https")}
    root = tmp_path / "line\nbreak"
    root.mkdir()
    done = minified(tmp_path, "prepare", str(small_study), "--root", str(root), env=nobody)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    *_, last = done.stderr.splitlines()
    assert last.startswith("minified: data set fashion_mnist: data root ")
    assert "line\\nbreak lacks train-images-idx3-ubyte" in last
    assert "MINIFIED_DATA" in last


def test_a_data_set_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = written("mnist")
    folder = tmp_path / publish("mnist", content, monkeypatch)
    put(folder, content)
    (folder / "train-images-idx3-ubyte").unlink()
    (folder / "train-images-idx3-ubyte").mkdir()
    with pytest.raises(
        DataError, match=r"data set mnist: .*train-images-idx3-ubyte: Is a directory"
    ):
        images.read_originals("mnist", tmp_path)


# The real ones, where this machine has them.

STATISTICS = {
    "mnist": ([0.1307], [0.3081], (1, 28, 28), 60_000),
    "fashion_mnist": ([0.2860], [0.3530], (1, 28, 28), 60_000),
    "cifar10": ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616], (3, 32, 32), 50_000),
}


@pytest.mark.parametrize("name", NAMES)
def test_the_originals_have_their_known_statistics(name: str) -> None:
    root = os.environ.get("MINIFIED_DATA")
    if not root or not (Path(root) / images.SOURCES[name].folder).is_dir():
        pytest.skip(f"MINIFIED_DATA has no {images.SOURCES[name].folder}")
    training, test, checksums = images.read_originals(name, Path(root))
    mean, deviation, shape, count = STATISTICS[name]
    assert training.pixels.shape == (count, *shape)
    assert test.pixels.shape == (10_000, *shape)
    assert test.labels.bincount().sum() == 10_000
    assert set(training.labels.tolist()) == set(range(10))
    found = training.pixels.double().div(255)
    assert found.mean((0, 2, 3)).tolist() == pytest.approx(mean, abs=5e-5)
    assert found.std((0, 2, 3)).tolist() == pytest.approx(deviation, abs=1e-4)
    assert set(checksums) == set(images.SOURCES[name].md5)
