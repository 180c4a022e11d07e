"""One job of a study's grid: its method, its sparsity or bits, its regime."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Job:
    """One job of the grid; it carries all replicates of the study."""

    method: str
    place: str
    """The sparsity as Python prints it (`0.95`), or the bits: the job's folder."""
    regime: str

    @property
    def level(self) -> str:
        """`parameter` or `neuron`; `quantization` for a quantization job."""
        return self.method.partition("-")[0]

    @property
    def criterion(self) -> str:
        """What scores the units; empty for quantization."""
        return self.method.partition("-")[2]
