"""Whether this machine has a study's device, asked before any job and without torch.

A run on this machine needs it here. On a cluster each job's own node decides
(`minified.foundations.arithmetic.require`), so `minified check` only warns.
"""

import ctypes
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from minified.run.tasks import STAGES
from minified.study.refusals import line, refusal
from minified.study.studies import Study

_DRIVER = "libcuda.so.1"
SIGNS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/nvmap", "/dev/kfd")
"""Files of the driver of NVIDIA (the third under Windows, the fourth on Jetson) and of AMD, whose
devices torch calls cuda, too.
"""


def missing(study: Study, stages: Iterable[str] = STAGES) -> str | None:
    """The line that says that this machine lacks the device that `stages` of a study need; each is
    a rule.
    """
    needed = any(stage in STAGES and STAGES[stage].on_device for stage in stages)
    if study.device == "cpu" or not needed:
        return None
    reason = no_cuda()
    if reason is None:
        return None
    allowed = (
        f"this machine has no CUDA device ({reason}); run the study on a machine or a cluster that"
        " has one, or set device: cpu"
    )
    return line(study.file, refusal(("device",), study.device, allowed))


def no_cuda() -> str | None:
    """Why this machine has no CUDA device; None if it has one, or if only torch can tell."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.split(",")[0].strip() in ("", "-1", "NoDevFiles"):
        return f"CUDA_VISIBLE_DEVICES is {visible!r}, which hides all"
    if sys.platform == "darwin":
        return "macOS has none"
    if sys.platform != "linux":
        return None
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError:
        there = any(Path(sign).exists() for sign in SIGNS)
        return None if there else f"it has no NVIDIA driver, {_DRIVER}"
    count = ctypes.c_int()
    if error := driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return f"its NVIDIA driver answers with error {error}"
    return None if count.value else "its NVIDIA driver sees none"
