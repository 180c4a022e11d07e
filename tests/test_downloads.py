"""Image data sets that are missing: downloaded, and taken only if they are the published ones."""

import gzip
import http.server
import io
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torchvision import datasets

from minified.data import images
from minified.foundations.errors import DataError
from originals import NAMES, TRAINING, Files, md5, publish, put, written

pytestmark = pytest.mark.usefixtures("no_network")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty data root."""
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder that is served on loopback, and its address."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object, **more: object):
            super().__init__(*args, directory=str(folder), **more)  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def serve(name: str, content: Files, folder: Path, address: str, patch: pytest.MonkeyPatch) -> None:
    """Put the archives that torchvision asks for into `folder`."""
    loader = getattr(datasets, images.SOURCES[name].loader)
    if name == "cifar10":
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for file, whole in content.items():
                info = tarfile.TarInfo(f"cifar-10-batches-py/{file}")
                info.size = len(whole)
                archive.addfile(info, io.BytesIO(whole))
        (folder / "cifar-10-python.tar.gz").write_bytes(packed.getvalue())
        patch.setattr(loader, "tgz_md5", md5(packed.getvalue()))
        patch.setattr(loader, "url", f"{address}cifar-10-python.tar.gz")
        return
    archives = {f"{file}.gz": gzip.compress(whole) for file, whole in content.items()}
    for file, whole in archives.items():
        (folder / file).write_bytes(whole)
    patch.setattr(loader, "resources", [(file, md5(whole)) for file, whole in archives.items()])
    patch.setattr(loader, "mirrors", [address])


@pytest.mark.parametrize("name", NAMES)
def test_what_the_root_lacks_is_downloaded_once(
    name: str, root: Path, served: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = written(name)
    publish(name, content, monkeypatch)
    serve(name, content, *served, monkeypatch)
    training, _, _ = images.read_originals(name, root)
    assert len(training.pixels) == TRAINING
    for file in served[0].iterdir():
        file.unlink()
    again, _, _ = images.read_originals(name, root)
    assert torch.equal(again.pixels, training.pixels)


@pytest.mark.parametrize(
    ("name", "file"),
    [(name, file) for name, source in images.SOURCES.items() for file in source.md5],
)
def test_a_single_file_that_is_missing_is_downloaded(
    name: str,
    file: str,
    tmp_path: Path,
    served: tuple[Path, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = written(name)
    folder = tmp_path / publish(name, content, monkeypatch)
    put(folder, content)
    serve(name, content, *served, monkeypatch)
    (folder / file).unlink()
    training, _, _ = images.read_originals(name, tmp_path)
    assert len(training.pixels) == TRAINING
    assert (folder / file).read_bytes() == content[file]


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_a_download_that_leaves_a_file_out_is_an_error(
    name: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.MNIST, "download", lambda self: None)
    monkeypatch.setattr(datasets.MNIST, "_check_exists", lambda self: True)
    monkeypatch.setattr(datasets.MNIST, "_load_data", lambda self: (None, None))
    with pytest.raises(DataError, match=r"lacks train-images.*the download left them out"):
        images.read_originals(name, root)


@pytest.mark.parametrize("name", NAMES)
def test_an_archive_that_is_not_the_published_one_is_refused(
    name: str, root: Path, served: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = written(name)
    publish(name, content, monkeypatch)
    serve(name, content, *served, monkeypatch)
    for file in served[0].iterdir():
        file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(DataError, match="download failed"):
        images.read_originals(name, root)
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_an_archive_with_another_file_in_it_is_refused_by_that_files_name(
    name: str, root: Path, served: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = written(name)
    publish(name, content, monkeypatch)
    file = sorted(content)[0]
    serve(name, content | {file: content[file] + b"\0"}, *served, monkeypatch)
    with pytest.raises(DataError, match=f"{file} has MD5"):
        images.read_originals(name, root)
    assert list(root.iterdir()) == []
