"""A compute node needs neither the raw data nor a network: only `prepare` does."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import minified

# Python tells this of every file that is opened and of every address that is asked for.
WATCH = """
import os, sys

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        if event != "socket.connect" or isinstance(arguments[1], tuple):
            sys.stderr.write(f"network: {event}\\n")
    elif event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], str):
        if os.path.abspath(arguments[0]).startswith(os.environ["MINIFIED_DATA"]):
            sys.stderr.write(f"raw data: {arguments[0]}\\n")

sys.addaudithook(watch)
"""
VERBS = [
    "train config/small.yaml",
    "score config/small.yaml --method parameter-snip",
    "retrain config/small.yaml --method parameter-snip --sparsity 0.9 --regime fine_tune",
    "quantize config/small.yaml --bits 2 --regime fine_tune",
    "damage config/small.yaml --removal merging",
    "aggregate config/small.yaml",
]


@pytest.mark.slow
@pytest.mark.parametrize("root", ["missing", "unreadable"])
def test_no_job_but_prepare_looks_at_the_raw_data_or_asks_for_an_address(
    finished: Path, tmp_path: Path, root: str
) -> None:
    folder = shutil.copytree(finished, tmp_path / "study")
    data = tmp_path / "data"
    if root == "unreadable":
        data.mkdir(mode=0)
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch" / "sitecustomize.py").write_text(WATCH)
    path = os.pathsep.join(filter(None, [str(tmp_path / "watch"), os.environ.get("PYTHONPATH")]))
    known = {"MINIFIED_DATA": str(data), "PYTHONPATH": path}
    for verb in VERBS if root == "missing" else VERBS[:2]:
        done = minified(folder, *verb.split(), env=known)
        assert done.returncode == 0, done.stderr
        assert "network: " not in done.stderr, verb
        assert "raw data: " not in done.stderr, verb


def test_the_watch_notices_what_it_looks_for(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(WATCH)
    (tmp_path / "data").mkdir()
    code = (
        "import os, socket; os.listdir(os.environ['MINIFIED_DATA']); socket.getaddrinfo('::1', 1)"
    )
    known = {"MINIFIED_DATA": str(tmp_path / "data"), "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        ["python3", "-c", code], env=os.environ | known, capture_output=True, text=True
    )
    assert "network: socket.getaddrinfo" in done.stderr
    assert "raw data: " in done.stderr
