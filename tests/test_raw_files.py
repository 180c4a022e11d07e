"""What is no file where a raw file should be is refused at once; a data root is never made."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import at_most, minified
from minified import data
from minified.data import downloads, images
from minified.foundations import files
from minified.foundations.errors import ArtefactError, DataError
from originals import NAMES, publish, put, written

pytestmark = pytest.mark.usefixtures("no_network", "at_once")


@pytest.fixture
def at_once() -> Iterator[None]:
    """Fail a test that waits for what never comes."""
    with at_most(20, "waiting"):
        yield


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def pipe_behind_a_link(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


def bound_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(path.parent)  # the name of a socket must be short
        try:
            listener.bind(path.name)
        finally:
            os.chdir(here)


def dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 2**40)


def endless(path: Path) -> None:
    path.symlink_to("/proc/kmsg")  # a file of 0 bytes whose end never comes


NO_FILES = [
    (os.mkfifo, "is a device, pipe or socket"),
    (pipe_behind_a_link, "is a device, pipe or socket"),
    (device, "is a device, pipe or socket"),
    (bound_socket, "is a device, pipe or socket"),
    (dangling, "is a link to nowhere, which does not exist"),
    (loop, "Too many levels of symbolic links"),
    (Path.mkdir, "Is a directory"),
    (huge, "1,099,511,627,776 bytes, more than any file of the data set"),
]
IDS = ["pipe", "pipe behind a link", "device", "socket", "dangling", "loop", "folder", "huge"]
no_files = pytest.mark.parametrize(("make", "words"), NO_FILES, ids=IDS)


def refusal(name: str, root: Path) -> str:
    """The one line with which the data root is refused."""
    with pytest.raises(DataError) as caught:
        images.read_originals(name, root)
    line = str(caught.value)
    assert line.splitlines() == [line]
    assert line.startswith(f"data set {name}: ")
    return line


@no_files
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_file_is_refused_by_name_before_it_is_opened(
    name: str,
    make: Callable[[Path], None],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = written(name)
    folder = tmp_path / publish(name, content, monkeypatch)
    for file in sorted(content):
        put(folder, content)
        (folder / file).unlink()
        make(folder / file)
        line = refusal(name, tmp_path)
        assert str(folder / file) in line
        assert words in line
        for left in folder.iterdir():
            left.rmdir() if left.is_dir() else left.unlink()
        folder.rmdir()


@pytest.mark.skipif(not Path("/proc/kmsg").exists(), reason="needs /proc")
def test_a_file_of_the_kernel_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = written("mnist")
    folder = tmp_path / publish("mnist", content, monkeypatch)
    put(folder, content)
    (folder / "t10k-labels-idx1-ubyte").unlink()
    endless(folder / "t10k-labels-idx1-ubyte")
    assert "t10k-labels-idx1-ubyte has MD5 d41d8cd98f00b204e9800998ecf8427e" in refusal(
        "mnist", tmp_path
    )


@pytest.mark.parametrize(
    ("make", "words"),
    [case for case in NO_FILES if case[0] != huge],
    ids=[word for word in IDS if word != "huge"],
)
@pytest.mark.parametrize("name", NAMES)
def test_an_archive_that_is_no_file_is_refused_where_it_would_be_unpacked(
    name: str,
    make: Callable[[Path], None],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = written(name)
    folder = tmp_path / publish(name, content, monkeypatch)
    put(folder, content)
    file = sorted(content)[0]
    archive = folder.with_name("cifar-10-python.tar.gz")
    if name != "cifar10":
        archive = folder / f"{file}.gz"
    make(archive)
    images.read_originals(name, tmp_path)  # nothing is missing: no archive is looked at
    (folder / file).unlink()
    line = refusal(name, tmp_path)
    assert str(archive) in line
    assert words in line


@pytest.mark.parametrize("place", ["", "MNIST", "MNIST/raw"], ids=["root", "folder", "inner"])
@pytest.mark.parametrize(
    "make",
    [os.mkfifo, device, bound_socket, dangling, loop, Path.touch],
    ids=["pipe", "device", "socket", "dangling", "loop", "file"],
)
def test_what_is_no_folder_is_refused_by_name_and_nothing_is_made(
    make: Callable[[Path], None], place: str, tmp_path: Path
) -> None:
    wrong = tmp_path / "root" / place
    wrong.parent.mkdir(parents=True, exist_ok=True)
    make(wrong)
    before = sorted(tmp_path.rglob("*"))
    assert str(wrong) in refusal("mnist", tmp_path / "root")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("missing", ["root", "one/two/three", "a b;c", "~/root", "../root"])
@pytest.mark.parametrize("name", NAMES)
def test_a_root_that_does_not_exist_is_refused_and_not_made(
    name: str, missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for root in (Path(missing), Path.cwd() / missing):
        line = refusal(name, root)
        for words in (str(root), "does not exist", "mkdir -p ", "MINIFIED_DATA", "data_root"):
            assert words in line
    assert [path.name for path in tmp_path.rglob("*")] == ["here"]


@pytest.mark.slow
@pytest.mark.parametrize("given", ["variable", "option", "key", "default"])
def test_however_the_root_is_given_the_command_line_makes_none(
    given: str, tmp_path: Path, small_study: Path
) -> None:
    text = small_study.read_text() + "data: {name: mnist}\n"
    small_study.write_text(text + ("data_root: typo\n" if given == "key" else ""))
    option = ["--root", "typo"] if given == "option" else []
    environment = {"MINIFIED_DATA": "typo" if given == "variable" else ""}
    done = minified(tmp_path, "prepare", str(small_study), *option, env=environment, timeout=60)
    root = tmp_path / ("data" if given == "default" else "typo")
    assert done.returncode == 1
    assert done.stderr.startswith(f"minified: data set mnist: data root {root} does not exist; ")
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == [small_study.name]


def test_a_data_set_that_comes_with_a_library_needs_no_root(tmp_path: Path) -> None:
    assert len(data.load("digits", tmp_path / "nowhere").training) > 0
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_in_place_of_a_library_s_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sklearn.datasets

    (tmp_path / "data").mkdir()
    os.mkfifo(tmp_path / "data" / "digits.csv.gz")
    monkeypatch.setattr(sklearn.datasets, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(DataError, match=r"digits\.csv\.gz is not a file; reinstall scikit-learn"):
        data.load("digits")


@pytest.mark.parametrize("make", [os.mkfifo, device, bound_socket])
def test_a_result_that_is_no_file_is_refused_before_it_is_opened(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    make(tmp_path / "data.safetensors")
    with pytest.raises(ArtefactError, match=r"data\.safetensors: is a device, pipe or socket"):
        data.read(tmp_path / "data.safetensors")


# Downloads that end early


def test_a_server_that_stops_sending_ends_the_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision import datasets

    monkeypatch.setattr(downloads, "SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        monkeypatch.setattr(datasets.MNIST, "mirrors", [address])
        assert "download failed" in refusal("mnist", tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert socket.getdefaulttimeout() is None


INTERRUPTED = """
import sys, time
from pathlib import Path
from torchvision import datasets
from minified.data import images

def half(self):
    folder = Path(self.raw_folder)
    folder.mkdir(parents=True)
    for file in images.SOURCES["mnist"].md5:
        (folder / file).write_bytes(b"half")
    print("half", flush=True)
    time.sleep(60)

datasets.MNIST.download = half
images.read_originals("mnist", Path(sys.argv[1]))
"""


def test_a_killed_download_leaves_no_raw_file_and_the_next_one_clears_it_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert killed.stdout is not None
    assert killed.stdout.readline() == "half\n"
    killed.kill()
    killed.wait()
    assert not (tmp_path / "MNIST").exists()
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".download.")
    assert "download failed" in refusal("mnist", tmp_path)
    assert list(tmp_path.iterdir()) == []
    content = written("mnist")
    put(tmp_path / publish("mnist", content, monkeypatch), content)
    images.read_originals("mnist", tmp_path)


def test_a_download_that_another_process_is_at_is_left_alone(tmp_path: Path) -> None:
    with files.partial_folder(tmp_path / "download") as mine:
        other = mine.with_name(mine.name.replace(f".{os.getpid()}@", ".1@"))
        other.mkdir()
        files.sweep(tmp_path, deep=False)
        assert other.is_dir()
    assert not mine.exists()


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_download_that_cannot_go_on_leaves_the_root_as_it_was(
    fault: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision import datasets

    def begun(self: datasets.MNIST) -> None:
        Path(self.raw_folder).mkdir(parents=True)
        (Path(self.raw_folder) / "train-images-idx3-ubyte").write_bytes(b"half")
        raise fault

    monkeypatch.setattr(datasets.MNIST, "download", begun)
    start = time.monotonic()
    with pytest.raises((DataError, KeyboardInterrupt)):
        images.read_originals("mnist", tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert time.monotonic() - start < 5
