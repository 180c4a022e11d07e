"""What decides the bits of a float sum: fixed before the libraries load, the same for every job.

`portable` arithmetic is meant to give the same bits on every x86-64 processor with AVX2, whoever
made it; `fast` lets Intel's MKL choose its kernels by maker, at the same vector width. What each
costs: benchmarks/instruction_sets.md.
"""

import os
import platform
from collections.abc import Callable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Literal

from minified.errors import StudyError

Arithmetic = Literal["portable", "fast"]
Device = Literal["cpu", "cuda"]

# AVX2 is what processors have had since 2015 or so; wider vectors would add in another order.
_PINNED = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
}
# numpy refuses both at once.
_NUMPY = ("NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES")
# MKL honours AVX2 on Intel's processors alone; COMPATIBLE it takes everywhere.
_MKL: dict[str, str] = {"portable": "COMPATIBLE", "fast": "AVX2"}

_loaded: tuple[tuple[int, Arithmetic], Callable[[], object]] | None = None


def loaded(pins: tuple[int, Arithmetic], otherwise: Callable[[], object]) -> None:
    """Say that the libraries were loaded under `pins` before this process became a job.

    `otherwise` starts the job over in a process without them, should it ask for other pins.
    """
    global _loaded
    _loaded = pins, otherwise


def preloaded() -> bool:
    """Whether this process came to be with the libraries loaded."""
    return _loaded is not None


def pin(threads: int = 1, arithmetic: Arithmetic = "portable") -> None:
    """Pin threads and vector width in this process's environment, whatever its caller's says.

    Must be called before torch or numpy is imported. On a processor without AVX2 the libraries are
    left to themselves.
    """
    if _loaded and _loaded[0] != (threads, arithmetic):
        _loaded[1]()
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(threads)
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    for variable in ("MKL_CBWR", *_NUMPY, *_PINNED):
        os.environ.pop(variable, None)
    if "avx2" in processor().get("flags", "").split():
        os.environ |= _PINNED
        os.environ["MKL_CBWR"] = _MKL[arithmetic]
        # The wider ones, by the names that numpy has for them since 2.4.
        if tuple(map(int, metadata.version("numpy").split(".")[:2])) >= (2, 4):
            os.environ["NPY_DISABLE_CPU_FEATURES"] = "X86_V4 AVX512_ICL AVX512_SPR"


def fix(threads: int, arithmetic: Arithmetic = "portable") -> None:
    """`pin`, and turn torch's deterministic algorithms on."""
    pin(threads, arithmetic)
    import torch

    torch.set_num_threads(threads)
    # Unlike torch.use_deterministic_algorithms this does not import the compiler (2 s a job).
    torch.set_deterministic_debug_mode("error")
    # On a GPU float32 is meant to be that, not 19 bits of it.
    torch.backends.cudnn.allow_tf32 = False
    # Nothing here reads memory that it has not written, so none need be filled first.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def require(kind: Device) -> None:
    """Raise StudyError if this machine has no such device."""
    import torch

    if kind == "cuda" and not torch.cuda.is_available():
        raise StudyError(
            "device: cuda: torch sees no CUDA device on this machine; run the study on one that has"
            " one, or set device: cpu"
        )


def device(arithmetic: Arithmetic = "portable", kind: Device = "cpu") -> dict[str, str]:
    """The type of machine, as far as it may decide the bits of a result."""
    import torch

    found = {
        "kind": kind,
        "system": platform.system(),
        "architecture": platform.machine(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
    }
    if arithmetic == "fast":
        found["vendor"] = processor().get("vendor_id", "unknown")
    require(kind)
    if kind == "cuda":
        found["gpu"] = torch.cuda.get_device_name()
        found["cuda"] = str(torch.version.cuda)
    return found


@cache
def processor() -> dict[str, str]:
    """What Linux says of the first processor; nothing elsewhere."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
    except OSError:
        return {}
    facts = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in facts}
