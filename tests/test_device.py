"""A study's device is looked for before any job: here, where the jobs would run here."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from conftest import REPOSITORY, SMALL, begin, minified, snakemake
from minified import study
from minified.cli.stages import STAGES
from minified.foundations.errors import MinifiedError
from minified.run import device, verify

ON_CUDA = SMALL + "device: cuda\n"


@pytest.fixture
def on_cuda(tmp_path: Path) -> study.Study:
    (tmp_path / "small.yaml").write_text(ON_CUDA)
    return study.load(tmp_path / "small.yaml")


def driver(patch: pytest.MonkeyPatch, devices: int = 0, error: int = 0) -> None:
    """Have this machine an NVIDIA driver that sees so many devices."""

    def count(pointer: Any) -> int:
        pointer._obj.value = devices
        return 0

    found = SimpleNamespace(cuInit=lambda flags: error, cuDeviceGetCount=count)
    patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    patch.setattr(sys, "platform", "linux")
    patch.setattr(ctypes, "CDLL", lambda name: found)


def no_driver(patch: pytest.MonkeyPatch, *signs: str) -> None:
    """Have this machine no NVIDIA driver that a program can load, but these signs of a device."""

    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    patch.setattr(sys, "platform", "linux")
    patch.setattr(ctypes, "CDLL", missing)
    patch.setattr(device, "SIGNS", ("/nowhere", *signs))


@pytest.mark.parametrize(
    ("devices", "error", "words"),
    [
        (1, 0, None),
        (8, 0, None),
        (0, 0, "sees none"),
        (0, 100, "answers with error 100"),
        (1, 803, "answers with error 803"),
    ],
)
def test_the_driver_s_word_counts(
    devices: int, error: int, words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver(monkeypatch, devices, error)
    reason = device.no_cuda()
    assert (reason is None) == (words is None)
    assert words is None or words in str(reason)


@pytest.mark.parametrize("visible", ["", "-1", " ", "-1,0", "NoDevFiles"])
def test_devices_that_are_hidden_do_not_count(
    visible: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver(monkeypatch, devices=2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert f"CUDA_VISIBLE_DEVICES is {visible!r}" in str(device.no_cuda())


@pytest.mark.parametrize("visible", ["0", "1,0", "GPU-8932f937", "MIG-GPU-8932f937/1/2"])
def test_of_devices_that_are_chosen_the_driver_knows_more(
    visible: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver(monkeypatch, devices=1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert device.no_cuda() is None


def test_a_device_whose_driver_only_torch_may_find_is_left_to_torch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert {"/dev/nvidiactl", "/dev/dxg", "/dev/nvmap", "/dev/kfd"} < set(device.SIGNS)
    no_driver(monkeypatch, "/dev/null")
    assert device.no_cuda() is None
    no_driver(monkeypatch)
    assert "no NVIDIA driver" in str(device.no_cuda())


@pytest.mark.parametrize(("platform", "has_none"), [("darwin", True), ("win32", False)])
def test_other_systems_are_judged_only_where_one_can(
    platform: str, has_none: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    assert (device.no_cuda() is not None) == has_none


def test_a_missing_device_is_named_on_one_line_with_file_key_value_and_what_to_do(
    on_cuda: study.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_driver(monkeypatch)
    line = str(device.missing(on_cuda))
    assert line.startswith(f"{on_cuda.file}: device: 'cuda': this machine has no CUDA device (")
    assert line.endswith("or set device: cpu")
    assert line.splitlines() == [line]


def test_only_what_computes_needs_the_device(
    on_cuda: study.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_driver(monkeypatch)
    computes = {name for name, stage in STAGES.items() if stage.arithmetic == "fixed"}
    for name in STAGES:
        needed = name in computes - {"prepare"}
        assert (device.missing(on_cuda, [name]) is not None) == needed, name
    assert device.missing(on_cuda, []) is None
    assert device.missing(study.load(REPOSITORY / "config" / "digits.yaml")) is None


def test_a_comparison_is_refused_before_it_makes_anything(
    on_cuda: study.Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_driver(monkeypatch)
    monkeypatch.chdir(REPOSITORY)
    with pytest.raises(MinifiedError, match="device: 'cuda'"):
        verify.verify(on_cuda, "1", tmp_path / "place")
    assert not (tmp_path / "place").exists()


@pytest.mark.slow
def test_the_check_accepts_and_warns_and_a_run_here_is_refused_before_its_first_job(
    tmp_path: Path,
) -> None:
    hidden = {"CUDA_VISIBLE_DEVICES": ""}
    begin(tmp_path, ON_CUDA)
    done = minified(tmp_path, "check", "small", env=hidden)
    assert done.returncode == 0
    assert done.stdout.startswith("config/small.yaml: 8 jobs x 3 replicates\nexpected: ")
    (warning,) = done.stderr.splitlines()
    assert warning.startswith("minified: warning: config/small.yaml: device: 'cuda': ")
    for quiet in ([], ["--quiet", "all"]):
        run = snakemake(tmp_path, *quiet, env=hidden)
        assert run.returncode == 1
        lines = [line for line in run.stderr.splitlines() if line.startswith("minified: ")]
        assert lines == [warning.replace("warning: ", "")]
        assert "Traceback" not in run.stderr
    assert not (tmp_path / "results").exists()
    # What needs no device runs.
    run = snakemake(tmp_path, "results/small/data.safetensors", env=hidden)
    assert run.returncode == 0
    assert (tmp_path / "results" / "small" / "data.safetensors").is_file()


def test_asking_for_a_device_imports_no_torch(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(ON_CUDA)
    code = (
        "import sys\nfrom minified import study\nfrom minified.run import device\n"
        "device.missing(study.load('small.yaml'))\nprint({'torch', 'numpy'} & set(sys.modules))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=os.environ
    )
    assert run.stdout == "set()\n"
