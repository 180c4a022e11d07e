"""What criteria remove, and how far two of them remove the same: against sets of indices."""

import csv
import itertools
from collections import defaultdict
from pathlib import Path

import pytest
import torch

from conftest import minified
from minified.foundations import files
from minified.jobs import selections
from minified.study.rows import KEPT_COLUMNS, OVERLAP_COLUMNS

TEXT = """\
network: {name: mlp, widths: [12, 8]}
replicates: 3
recipes:
  baseline: &short {learning_rate: 0.01, epochs: 2, batch_size: 64}
  fine_tune: *short
grid:
  parameter:
    criteria: [random, magnitude, obd_signed]
    sparsities: [0.5, 0.97, 0.000001]
    regimes: [fine_tune]
    scope: PARAMETERS
    scopes: {magnitude: OTHER}
  neuron:
    criteria: [magnitude, obd_signed, obd_absolute]
    sparsities: [0.3, 0.9]
    regimes: [fine_tune]
    scope: NEURONS
"""


@pytest.fixture(scope="module", params=[("global", "layer"), ("layer", "global")])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study up to its selections, by hand."""
    folder = tmp_path_factory.mktemp("selections")
    text = TEXT.replace("PARAMETERS", request.param[0]).replace("NEURONS", request.param[1])
    # The parameters' magnitude is ranked in the other scope, which is the neurons'.
    text = text.replace("OTHER", request.param[1])
    (folder / "config").mkdir()
    (folder / "config" / "tiny.yaml").write_text(text)
    (folder / "scopes").write_text(" ".join(request.param))
    stages: list[tuple[str, ...]] = [("prepare",), ("train",)]
    stages += [("derivatives", "--level", level) for level in ("parameter", "neuron")]
    methods = [f"parameter-{name}" for name in ("random", "magnitude", "obd_signed")]
    methods += [f"neuron-{name}" for name in ("magnitude", "obd_signed", "obd_absolute")]
    stages += [("score", "--method", method) for method in methods]
    for verb, *options in [*stages, ("selections",)]:
        done = minified(folder, verb, "config/tiny.yaml", *options)
        assert done.returncode == 0, done.stderr
    return folder


def removed(folder: Path, method: str, sparsity: float) -> list[dict[str, set[int]]]:
    """Per replicate and layer, the units with the lowest scores, by sorting lists."""
    level = method.partition("-")[0]
    other = level == "neuron" or method == "parameter-magnitude"
    scope = (folder / "scopes").read_text().split()[other]
    tensors, _ = files.read_tensors(folder / "results/tiny" / method / "scores.safetensors", "np")
    by_replicate = []
    for replicate in range(3):
        names = sorted(name for name in tensors if name.startswith(f"{replicate}/"))
        layers = {
            name.partition("/")[2].removesuffix(".weight"): tensors[name].flatten().tolist()
            for name in names
        }
        parts = [list(layers)] if scope == "global" else [[layer] for layer in layers]
        gone: dict[str, set[int]] = {layer: set() for layer in layers}
        for part in parts:
            units = [
                (score, place, layer, unit)
                for place, layer in enumerate(part)
                for unit, score in enumerate(layers[layer])
            ]
            count = round(sparsity * len(units))
            for _, _, layer, unit in sorted(units, key=lambda u: (u[0], u[1], u[3])):
                last = level == "neuron" and len(gone[layer]) == len(layers[layer]) - 1
                if count and not last:
                    gone[layer].add(unit)
                    count -= 1
        by_replicate.append(gone)
    return by_replicate


def table(folder: Path, name: str) -> list[dict[str, str]]:
    return files.read_rows(
        folder / "results/tiny/tables" / name,
        KEPT_COLUMNS if name == "kept.csv" else OVERLAP_COLUMNS,
    )


GRID = {
    "parameter": (["random", "magnitude", "obd_signed"], [0.5, 0.97, 1e-06]),
    "neuron": (["magnitude", "obd_signed", "obd_absolute"], [0.3, 0.9]),
}


def test_the_overlap_of_every_pair_is_that_of_the_sets_removed(made: Path) -> None:
    expected = [
        (level, repr(sparsity), first, second)
        for level, (criteria, sparsities) in GRID.items()
        for sparsity in sparsities
        for first, second in itertools.combinations(criteria, 2)
    ]
    lines = table(made, "overlap.csv")
    assert [tuple(line[c] for c in OVERLAP_COLUMNS[:4]) for line in lines] == expected
    for line in lines:
        both = [
            [
                {(layer, unit) for layer, units in one.items() for unit in units}
                for one in removed(made, f"{line['level']}-{line[side]}", float(line["sparsity"]))
            ]
            for side in ("first", "second")
        ]
        shares = [len(a & b) / len(a) if a else 1.0 for a, b in zip(*both, strict=True)]
        assert float(line["overlap"]) == pytest.approx(sum(shares) / 3)
        assert int(line["coincide"]) == sum(a == b for a, b in zip(*both, strict=True))
        assert line["replicates"] == "3"
    assert len({line["overlap"] for line in lines}) > 5


def test_what_removes_nothing_removes_the_same(made: Path) -> None:
    nothing = [line for line in table(made, "overlap.csv") if line["sparsity"] == "1e-06"]
    assert [(line["overlap"], line["coincide"]) for line in nothing] == [("1.0", "3")] * 3


def test_the_fraction_kept_of_each_layer_is_counted(made: Path) -> None:
    sizes = {
        "parameter": {"1": 64 * 12, "3": 12 * 8, "5": 8 * 10},
        "neuron": {"1": 12, "3": 8},
    }
    lines = table(made, "kept.csv")
    assert len(lines) == 3 * 3 * 3 + 3 * 2 * 2
    by_cell = defaultdict(list)
    for line in lines:
        by_cell[line["method"], float(line["sparsity"])].append(line)
        assert line["method"] == f"{line['level']}-{line['criterion']}"
    for (method, sparsity), cell in by_cell.items():
        gone = removed(made, method, sparsity)
        assert [line["layer"] for line in cell] == list(sizes[method.partition("-")[0]])
        for line in cell:
            size = sizes[line["level"]][line["layer"]]
            kept = torch.tensor([1 - len(one[line["layer"]]) / size for one in gone])
            assert float(line["kept_mean"]) == pytest.approx(float(kept.mean()), abs=1e-6)
            assert float(line["kept_sd"]) == pytest.approx(float(kept.std()), abs=1e-6)


def test_two_criteria_with_the_same_scores_coincide_and_opposite_ones_do_not() -> None:
    one = {"0": torch.tensor([True, True, False, False])}
    other = {"0": torch.tensor([False, False, True, True])}
    half = {"0": torch.tensor([True, False, True, False])}
    found = {
        (line["first"], line["second"]): (line["overlap"], line["coincide"])
        for line in selections.overlaps_of(
            "neuron", 0.5, {"a": [one, one], "b": [one, other], "c": [other, half]}
        )
    }
    assert found == {("a", "b"): (0.5, 1), ("a", "c"): (0.25, 0), ("b", "c"): (0.25, 0)}


def test_a_selection_is_written_with_unix_lines_and_can_be_read_by_any_reader(made: Path) -> None:
    for name in ("kept.csv", "overlap.csv"):
        with open(made / "results/tiny/tables" / name, newline="") as file:
            assert "\r" not in file.read()
            file.seek(0)
            assert all(None not in row.values() for row in csv.DictReader(file))
