"""An axis has a share in the comparisons that it can touch, and in no others."""

from pathlib import Path

import pandas as pd
import pytest

from hand_made import pruned
from minified import study
from minified.analysis.claims import judge
from minified.analysis.specifications import Axes, Rows
from minified.run import tasks
from minified.study import Paths, shared
from minified.study.methods import Job

STUDY = """\
network: {name: mlp, widths: [16, 12]}
replicates: 3
recipes:
  baseline: &short {learning_rate: 0.01, epochs: 4, batch_size: 32}
  fine_tune: *short
  scratch: *short
grid:
  parameter:
    criteria: [random, magnitude, obd, obd_sd]
    sparsities: [0.9]
    regimes: [fine_tune, scratch]
    scope: global
  neuron:
    criteria: [magnitude, obd, obd_sd, dropout_damage, activity]
    sparsities: [0.75]
    regimes: [fine_tune, scratch]
    scope: layer
specifications:
  axes:
    changed:
      so: {SETTING}
      otherwise: {}
    budget:  # so that there are effects to explain
      short: {recipes.fine_tune.epochs: 2}
      usual: {}
"""
PARAMETERS = {("C1", "parameter"), ("C2", "parameter"), ("E2", "parameter")}
NEURONS = {("C1", "neuron"), ("C3", "neuron"), ("E2", "neuron")}


def touched(folder: Path, setting: str) -> set[tuple[str, str | None]]:
    """The comparisons, of some effect each, that have a share of the axis `changed`."""
    file = folder / "touching.yaml"
    file.write_text(STUDY.replace("SETTING", setting))
    loaded = study.load(file)
    loaded, paths = tasks.opened(loaded, Paths("touching", folder), "specifications")
    rows: list[dict] = []
    places: dict[str, list[int]] = {name: [] for name in loaded.specified}
    for number, name in enumerate(loaded.specified):
        for job in loaded.under(name).jobs():
            # Some effect, another one under each specification.
            own = sum(map(ord, job.criterion)) % 17 + 3 * len(job.regime)
            points = 0.5 + own * (1 + number) / 1000
            some = [points, points + 0.001, points + 0.002]
            places[name] += range(len(rows), len(rows) + 3)
            rows += pruned(job.level, job.criterion, float(job.place), job.regime, some)
    owners: dict[str, dict[Job | None, Path]] = {name: {} for name in loaded.specified}
    for rows_file, jobs in shared.rows(loaded, paths).items():
        for name, own_job in jobs.items():
            owners[name][own_job] = rows_file
    read = Rows(pd.DataFrame(rows), places, owners)
    judged = {name: judge(read.under(name), loaded.claims)[0] for name in loaded.specified}
    axes = Axes(loaded, read, judged)
    assert {key[0] for key in axes.keys if axes.share(key, "budget") is not None} >= {"C1", "C2"}
    return {(key[0], key[2]) for key in axes.keys if axes.share(key, "changed") is not None}


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("data.saliency_examples: 100", PARAMETERS | NEURONS),
        ("grid.parameter.scope: layer", PARAMETERS),
        ("recipes.scratch.epochs: 2", {("C2", "parameter"), ("C3", "neuron")}),
        # A criterion that is not compared with OBD, and enters C1 as one of the others.
        ("options.dropout_damage.passes: 60", {("C1", "neuron"), ("C3", "neuron")}),
        # The random control is in C1 only.
        ("grid.parameter.scopes.random: layer", {("C1", "parameter")}),
        # No claim is about an extension.
        ("options.activity.threshold: 0.1", set()),
    ],
)
def test_an_axis_touches_the_comparisons_that_read_what_it_changes(
    tmp_path: Path, setting: str, expected: set[tuple[str, str | None]]
) -> None:
    assert touched(tmp_path, setting) - {("C4", None)} == expected
