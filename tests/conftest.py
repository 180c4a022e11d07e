"""What the tests share: a small study, and one thread so that timings and sums are alike."""

from pathlib import Path

import pytest
import torch

REPOSITORY = Path(__file__).parent.parent

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


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def small_study(tmp_path: Path) -> Path:
    """The file of a small study in a folder of its own."""
    file = tmp_path / "small.yaml"
    file.write_text(SMALL)
    return file
