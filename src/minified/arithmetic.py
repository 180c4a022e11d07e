"""What decides the bits of a float sum: fixed before torch is imported, the same for every job."""

import os


def fix(threads: int) -> None:
    """Pin threads and vector width, and turn deterministic algorithms on.

    The width is pinned to AVX2, so that a machine with wider vectors gets the same sums. Must be
    called before torch is imported.
    """
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(threads)
    os.environ["ATEN_CPU_CAPABILITY"] = "avx2"
    os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX2"
    os.environ["MKL_CBWR"] = "AVX2"
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"

    import torch

    torch.set_num_threads(threads)
    # Unlike torch.use_deterministic_algorithms this does not import the compiler (2 s a job).
    torch.set_deterministic_debug_mode("error")
