"""The vector width is pinned wherever the processor's features can be known, or a line says not."""

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from minified.foundations import arithmetic
from minified.foundations.errors import StudyError

PINS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "OPENBLAS_CORETYPE", "MKL_CBWR")
INTEL = "vendor_id : GenuineIntel\nflags : fpu sse4_2 avx{}\n\nflags : none\n"


@pytest.fixture(autouse=True)
def _anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget the processor before and after a test, and leave the environment as it was."""
    monkeypatch.setattr(os, "environ", dict(os.environ))
    for facts in (arithmetic.processor, arithmetic.has_avx2):
        facts.cache_clear()
    yield
    for facts in (arithmetic.processor, arithmetic.has_avx2):
        facts.cache_clear()


def pins() -> dict[str, str]:
    """The pins that a job sets, whatever was set before."""
    os.environ |= dict.fromkeys(PINS, "wrong")
    arithmetic.pin()
    return {variable: os.environ[variable] for variable in PINS if variable in os.environ}


def test_a_node_with_narrower_vectors_than_the_run_s_first_machine_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(arithmetic, "CPUINFO", tmp_path / "cpuinfo")
    arithmetic.CPUINFO.write_text(INTEL.format(""))
    arithmetic.expect()
    assert pins() == {}, "a run that began without AVX2 goes on without"
    for facts in (arithmetic.processor, arithmetic.has_avx2):
        facts.cache_clear()
    arithmetic.CPUINFO.write_text(INTEL.format("2"))
    arithmetic.expect()
    assert pins()
    for facts in (arithmetic.processor, arithmetic.has_avx2):
        facts.cache_clear()
    arithmetic.CPUINFO.write_text(INTEL.format(""))
    with pytest.raises(StudyError, match=r"^arithmetic: portable: .* no AVX2.*--constraint"):
        arithmetic.pin()


def missing(file: Path) -> None: ...


def empty(file: Path) -> None:
    file.touch()


def without_features(file: Path) -> None:
    file.write_text("processor : 0\nmodel name : unknown\n")


def with_no_feature(file: Path) -> None:
    file.write_text("processor : 0\nflags :\n")


def not_text(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\0" * 100)


unreadable = pytest.mark.parametrize(
    "make", [missing, empty, Path.mkdir, without_features, with_no_feature, not_text]
)


@unreadable
def test_where_linux_does_not_list_the_features_the_pins_are_the_same(
    make: Callable[[Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    listed = pins()
    for facts in (arithmetic.processor, arithmetic.has_avx2):
        facts.cache_clear()
    make(tmp_path / "cpuinfo")
    monkeypatch.setattr(arithmetic, "CPUINFO", tmp_path / "cpuinfo")
    # numpy would leave out features that the caller has turned off.
    os.environ["NPY_DISABLE_CPU_FEATURES"] = "AVX2"
    assert pins() == listed
    assert arithmetic.unpinned() is None
    assert capsys.readouterr().err == ""


@unreadable
def test_where_nothing_tells_the_features_one_line_says_that_numbers_may_differ(
    make: Callable[[Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make(tmp_path / "cpuinfo")
    monkeypatch.setattr(arithmetic, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    assert pins() == {}
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"minified: {arithmetic.unpinned()}"
    assert "the vector width is not pinned: every number may differ" in line


@pytest.mark.parametrize("answer", ["", "Traceback", "None", "1"])
def test_an_answer_of_numpy_that_is_not_understood_is_no_answer(
    answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arithmetic, "CPUINFO", tmp_path / "none")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 0, answer)
    )
    assert arithmetic.has_avx2() is None
    assert arithmetic.unpinned() is not None


@pytest.mark.parametrize(("features", "pinned"), [(" avx2", True), ("", False), (" avx2x", False)])
def test_what_linux_lists_decides(
    features: str,
    pinned: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "cpuinfo").write_text(INTEL.format(features))
    monkeypatch.setattr(arithmetic, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert bool(pins()) == pinned
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("machine", ["aarch64", "arm64", "ppc64le", "riscv64"])
def test_other_architectures_have_nothing_to_pin(
    machine: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(arithmetic, "CPUINFO", tmp_path / "none")
    assert pins() == {}
    assert arithmetic.unpinned() is None
    assert capsys.readouterr().err == ""


def test_a_maker_that_is_not_known_is_said_where_arithmetic_depends_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(arithmetic, "CPUINFO", tmp_path / "none")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert "vendor" not in arithmetic.device("portable")
    assert capsys.readouterr().err == ""
    assert arithmetic.device("fast")["vendor"] == "unknown"
    assert "does not name the processor's maker" in capsys.readouterr().err


def test_asking_numpy_imports_it_in_no_job(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom minified.foundations import arithmetic\n"
        "arithmetic.CPUINFO = Path('none')\narithmetic.pin()\nprint('numpy' in sys.modules)"
    )
    (tmp_path / "numpy.py").write_text("raise SystemExit('not numpy')")
    run = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert (run.stdout, run.stderr) == ("False\n", "")
