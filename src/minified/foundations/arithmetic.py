"""Settings that decide the bits of a float sum, fixed before torch loads and equal for all jobs.

`portable` arithmetic is meant to give the same bits on every x86-64 processor with AVX2, from any
manufacturer; `fast` lets Intel's MKL choose its kernels by manufacturer, at the same vector width.
benchmarks/instruction_sets.md compares their costs.
"""

import os
import platform
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Literal

from minified.foundations.errors import StudyError

Arithmetic = Literal["portable", "fast"]
Device = Literal["cpu", "cuda"]

# Processors have had AVX2 since about 2015; wider vectors would add numbers in another order.
_PINNED = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
}
# numpy raises an error if both are set.
_NUMPY = ("NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES")
# MKL honours AVX2 only on Intel's processors, but COMPATIBLE on all.
_MKL: dict[str, str] = {"portable": "COMPATIBLE", "fast": "AVX2"}

CPUINFO = Path("/proc/cpuinfo")
"""What Linux reports about the processors; other systems and some containers have none."""
_ASK_NUMPY = "from numpy._core._multiarray_umath import __cpu_features__ as has; print(has['AVX2'])"

_EXPECTED = "MINIFIED_VECTORS"
_loaded: tuple[int, Arithmetic] | None = None


class OtherPinsError(Exception):
    """A job needs a process of its own: here the libraries were loaded under other pins."""


def expect() -> None:
    """Let the jobs of a run, on whatever machines, refuse a processor with narrower vectors."""
    if has_avx2():
        os.environ[_EXPECTED] = "avx2"


def preload(threads: int, arithmetic: Arithmetic) -> None:
    """`fix`, for all jobs that this process is forked for: other pins are an error from now on."""
    global _loaded
    fix(threads, arithmetic)
    _loaded = threads, arithmetic


def preloaded() -> bool:
    """Whether this process started with the libraries already loaded."""
    return _loaded is not None


def pin(threads: int = 1, arithmetic: Arithmetic = "portable") -> None:
    """Pin threads and vector width in this process's environment, whatever its caller has set.

    Must be called before torch or numpy is imported. On a processor without AVX2 the libraries
    choose the vector width themselves; where it is not known, a line on standard error says so.

    Raises:
        OtherPinsError: the libraries were loaded before, under other pins (`preload`).
        StudyError: the run began on a processor with AVX2, and this one has none (`expect`).
    """
    if os.environ.get(_EXPECTED) and has_avx2() is False:
        raise StudyError(
            f"arithmetic: {arithmetic}: the processor of {platform.node()} has no AVX2, which the"
            " machine has where the run began, so its numbers would differ; keep jobs from such"
            " nodes: slurm_extra: \"'--constraint=FEATURE'\" in workflow/profiles/slurm/config.yaml"
        )
    if _loaded not in (None, (threads, arithmetic)):
        raise OtherPinsError
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(threads)
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    for variable in ("MKL_CBWR", *_NUMPY, *_PINNED):
        os.environ.pop(variable, None)
    if has_avx2() is None and _loaded is None:
        print(f"minified: {unpinned()}", file=sys.stderr)
    if has_avx2():
        os.environ |= _PINNED
        os.environ["MKL_CBWR"] = _MKL[arithmetic]
        # The wider vector extensions, by the names that numpy has used since 2.4.
        if tuple(map(int, metadata.version("numpy").split(".")[:2])) >= (2, 4):
            os.environ["NPY_DISABLE_CPU_FEATURES"] = "X86_V4 AVX512_ICL AVX512_SPR"


def fix(threads: int, arithmetic: Arithmetic = "portable") -> None:
    """Call `pin`, and turn on torch's deterministic algorithms."""
    pin(threads, arithmetic)
    import torch

    torch.set_num_threads(threads)
    # Unlike torch.use_deterministic_algorithms, this does not import the compiler (2 s per job).
    torch.set_deterministic_debug_mode("error")
    # On a GPU, compute convolutions in full float32, not in the 19 bits of TF32.
    torch.backends.cudnn.allow_tf32 = False
    # This library never reads uninitialised memory, so filling it first would only cost time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def require(kind: Device) -> None:
    """Raise StudyError if this machine has no such device."""
    import torch

    if kind == "cuda" and not torch.cuda.is_available():
        raise StudyError(
            "device: cuda: torch sees no CUDA device on this machine; run the study on a machine"
            " that has one, or set device: cpu"
        )


def device(arithmetic: Arithmetic = "portable", kind: Device = "cpu") -> dict[str, str]:
    """The properties of this machine that may affect the bits of a result."""
    import torch

    properties = {
        "kind": kind,
        "system": platform.system(),
        "architecture": platform.machine(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
    }
    if arithmetic == "fast":
        properties["vendor"] = processor().get("vendor_id", "unknown")
        if properties["vendor"] == "unknown" and _is_x86():
            print(f"minified: {CPUINFO} does not name the processor's maker", file=sys.stderr)
    require(kind)
    if kind == "cuda":
        properties["gpu"] = torch.cuda.get_device_name()
        properties["cuda"] = str(torch.version.cuda)
    return properties


@cache
def processor() -> dict[str, str]:
    """What Linux reports about the first processor; empty on other systems."""
    try:
        first = CPUINFO.read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    except OSError:
        return {}
    facts = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in facts}


@cache
def has_avx2() -> bool | None:
    """Whether this machine's processor has AVX2; None if neither Linux nor numpy can tell."""
    if not _is_x86():
        return False
    if flags := processor().get("flags"):
        return "avx2" in flags.split()
    # numpy asks the processor itself; in another process, since here it must not be imported yet.
    environment = {key: value for key, value in os.environ.items() if key not in _NUMPY}
    command = [sys.executable, "-P", "-c", _ASK_NUMPY]
    try:
        answer = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=False
        ).stdout.strip()
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return {"True": True, "False": False}.get(answer)


def unpinned() -> str | None:
    """The line that says that vector widths are not pinned, if that cannot be decided."""
    if has_avx2() is not None:
        return None
    return (
        f"{CPUINFO} does not list the processor's features and numpy does not tell them, so the"
        " vector width is not pinned: every number may differ from those of other runs"
    )


def _is_x86() -> bool:
    return platform.machine().lower() in ("x86_64", "amd64")
