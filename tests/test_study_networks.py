"""A study's networks: the shapes of its data, and no more parameters than a memory holds."""

from pathlib import Path

import pytest

from conftest import SMALL
from minified import data, networks
from minified.study import settings
from studies import load, refusal

pytestmark = pytest.mark.usefixtures("never_hangs")


def parameters(widths: list[int]) -> int:
    network = networks.build("mlp", (1, 8, 8), 10, widths=widths)
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_shapes_by_which_memory_is_bounded_are_those_of_the_data() -> None:
    digits, entry = data.load("digits"), data.CATALOGUE["digits"]
    assert (entry.input_shape, entry.classes) == (digits.input_shape, digits.classes)


def test_networks_that_fill_the_bound_are_allowed_and_one_replicate_more_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = parameters([16, 12])
    monkeypatch.setattr(settings, "MOST_PARAMETERS", 3 * one)
    load(tmp_path, SMALL)
    line = refusal(tmp_path, SMALL.replace("replicates: 3", "replicates: 4"))
    assert line.startswith("replicates: 4: must be at most 3, ")
    monkeypatch.setattr(settings, "MOST_PARAMETERS", one - 1)
    line = refusal(tmp_path, SMALL)
    assert (
        line == f"network.widths: [16, 12]: must give at most {one - 1:,} parameters, not {one:,}"
    )


@pytest.mark.parametrize(
    ("old", "new", "start"),
    [
        ("[16, 12]", "[65536, 65536]", "network.widths: [65536, 65536]: "),
        ("[16, 12]", f"[{'65536, ' * 64}]", "network.widths: [65536, 65536, 65536, 65536, ...]: "),
        ("[16, 12]\nreplicates: 3", "[65536]\nreplicates: 10000", "replicates: 10000: "),
    ],
)
def test_networks_beyond_any_memory_are_refused(
    tmp_path: Path, old: str, new: str, start: str
) -> None:
    text = SMALL.replace("network: {name: mlp, widths: [16, 12]}", "network:\n  widths: [16, 12]")
    line = refusal(tmp_path, text.replace(old, new))
    assert line.startswith(start)
    assert "1,000,000,000 parameters" in line
