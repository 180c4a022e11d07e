"""What the tests share: a small study, by hand and through Snakemake, and one thread so that
timings and sums are alike.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

REPOSITORY = Path(__file__).parent.parent
COMMITTED = sorted(path.name for path in (REPOSITORY / "figures").iterdir() if path.is_dir())
"""The studies whose figures and tables are committed."""

SMALL = """\
network: {name: mlp, widths: [16, 12]}
replicates: 3
recipes:
  baseline: &short {learning_rate: 0.01, epochs: 4, batch_size: 32}
  fine_tune: *short
  scratch: *short
  rewind: *short
  quantization: *short
grid:
  parameter:
    criteria: [magnitude, obd_sd]
    sparsities: [0.9]
    regimes: [fine_tune, scratch]
    scope: global
  neuron:
    criteria: [merging]
    sparsities: [0.75]
    regimes: [fine_tune, scratch]
    scope: layer
  quantization:
    bits: [2]
    regimes: [none, fine_tune]
damage: {units: 20}
"""

SNIP = '''\
"""SNIP (Lee et al. 2019, arXiv 1810.02340): the size of weight x gradient."""

import torch
import torch.nn.functional as F

from minified.networks import chains


def snip(level, network, inputs, targets, generator):
    """abs(w dE/dw) of every weight."""
    weights = chains.prunable(network)
    loss = F.cross_entropy(network(inputs), targets)
    gradients = torch.autograd.grad(loss, list(weights.values()))
    return {n: (w * g).abs() for (n, w), g in zip(weights.items(), gradients)}
'''
HEAD = "def snip(level, network, inputs, targets, generator):"
FUNCTION = f"{HEAD} ...\n"
"""What the check of a study asks of a criterion's file."""
# The lowest weights first: as little as a criterion of the reader's own can do.
OWN = """\
from minified.networks import chains


def own(level, network, inputs, targets, generator):
    return {name: weight.detach() * 1.0 for name, weight in chains.prunable(network).items()}
"""
# With a criterion of the reader's own.
STUDY = SMALL.replace("criteria: [magnitude, obd_sd]", "criteria: [obd_sd, snip]") + (
    "criteria:\n  snip: {file: snip.py, levels: [parameter]}\n"
)


MOUNT = ["unshare", "--map-root-user", "--mount", "bash", "-euc"]
"""Runs a script that may mount a file system for itself."""


def can_mount() -> bool:
    try:
        done = subprocess.run(
            [*MOUNT, "mount -t tmpfs none /mnt"], capture_output=True, check=False
        )
    except OSError:
        return False
    return done.returncode == 0


def begin(folder: Path, text: str = STUDY) -> Path:
    """Put the study's files into `folder`, which a run may take as its working folder."""
    (folder / "config").mkdir(parents=True, exist_ok=True)
    (folder / "config" / "small.yaml").write_text(text)
    (folder / "config" / "snip.py").write_text(SNIP)
    return folder


_ENVIRONMENT = dict(os.environ)
_WARM = """
import os, sys
from minified.cli import server
server.on_node(1, "portable")
print(os.environ.get("MINIFIED_WARM", ""), flush=True)
sys.stdin.read()
"""


@cache
def warm() -> tuple[str, "subprocess.Popen[str]"]:
    """The address of an interpreter that has imported torch (see minified.cli.server), or nothing
    where there can be none; and the process with which it ends, which ends with this one.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", _WARM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env=_ENVIRONMENT,  # whatever the first test that needs it has changed
    )
    assert process.stdout is not None
    return process.stdout.readline().strip(), process


def minified(
    folder: Path, *arguments: str, env: Mapping[str, str] | None = None, **how: Any
) -> subprocess.CompletedProcess[str]:
    """Run a verb in `folder`, as a person would; in an environment of its own, or in any other way
    of its own, without a warm interpreter. (That nobody sees which it was is what test_warm tests.)
    """
    alone = env is not None or how.keys() - {"check"}
    return subprocess.run(
        [sys.executable, "-c", "from minified.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ
        | {"MINIFIED_WARM": "" if alone else warm()[0], "COLUMNS": "100"}
        | dict(env or {}),
        **how,
    )


def snakemake_command(folder: Path, *arguments: str, cores: int = 2) -> dict[str, Any]:
    """What `subprocess.run` or `Popen` takes to run the workflow in `folder`."""
    return {
        "args": [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")),
            *("--directory", str(folder), "--cores", str(cores)),
            *arguments,
            *("--config", "study=config/small.yaml"),
        ],
        "env": os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        "cwd": REPOSITORY,
        "text": True,
    }


def snakemake(
    folder: Path, *arguments: str, cores: int = 2, env: Mapping[str, str] | None = None, **how: Any
) -> subprocess.CompletedProcess[str]:
    command = snakemake_command(folder, *arguments, cores=cores)
    command["env"] |= env or {}
    return subprocess.run(**command, capture_output=True, **how)


@contextmanager
def holding(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that holds the small study's lock in `folder`, as a run does."""
    holder = subprocess.Popen(
        [
            *(sys.executable, "-c"),
            "from minified.run import lock; lock.hold(lock.place('small'));"
            " print('held', flush=True); input()",
        ],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    try:
        yield holder
    finally:
        holder.kill()
        holder.communicate()


def planned(folder: Path) -> dict[str, int]:
    """The rules that a run would execute, with the number of jobs."""
    listing = snakemake(folder, "--dry-run", "--quiet", "host").stdout
    lines = [line.split() for line in listing.splitlines()]
    if ["job", "count"] not in lines:
        assert "Nothing to be done" in listing
        return {}
    table = lines[lines.index(["job", "count"]) + 2 :]
    end = next(i for i, line in enumerate(table) if line[0] == "total")
    return {rule: int(jobs) for rule, jobs in table[:end]}


def published(folder: Path) -> dict[str, bytes]:
    """Every published file of the study in `folder`, by name."""
    root = folder / "figures" / "small"
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Side by side, the files that run whole studies come first: so the last to end are short."""
    if hasattr(config, "workerinput"):
        long = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in long)


@pytest.fixture(scope="session")
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run. All processes that test side by side share it: tests look at it
    and change copies of it.
    """
    root = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        root = root.parent
    folder, done = root / "workflow", root / "workflow.done"
    with open(root / "workflow.lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            run = snakemake(begin(folder))
            assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-6000:]
            done.touch()
    return folder


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@contextmanager
def at_most(seconds: int, what: str) -> Iterator[None]:
    """Fail a test that still waits after this time."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"{what} took more than {seconds} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def never_hangs() -> Iterator[None]:
    """Fail a test that is still reading a study after two minutes."""
    with at_most(120, "reading a study"):
        yield


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for many studies in turn, with the file of a criterion of one's own."""
    made = tmp_path_factory.mktemp("studies")
    (made / "snip.py").write_text(FUNCTION)
    return made


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing answers a download: a test that serves the files says so."""
    from torchvision import datasets

    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", ["http://127.0.0.1:9/"])
    monkeypatch.setattr(datasets.CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")


@pytest.fixture
def small_study(tmp_path: Path) -> Path:
    """The file of a small study in a folder of its own."""
    file = tmp_path / "small.yaml"
    file.write_text(SMALL)
    return file
