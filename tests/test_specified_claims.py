"""Claims over specifications: what a run of them writes, and how much of it an axis explains."""

import csv
import itertools
import json
import shutil
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from conftest import SMALL, begin, minified, snakemake
from minified import study
from minified.analysis import coinciding, specification_sheet
from minified.analysis.figures import specification_readings
from minified.analysis.records import SPECIFIED_COLUMNS, OfOption, Specified, Summary
from minified.analysis.statistics import explained
from minified.foundations import files
from minified.study import Paths

VARIED = (
    SMALL
    + """\
specifications:
  axes:
    budget:
      short: {recipes.fine_tune.epochs: 2}
      usual: {}
    scratch:
      long: {recipes.scratch.epochs: 6}
      usual: {}
    scope:
      global: {}
      layer: {grid.parameter.scope: layer}
  variants:
    decay: {recipes.baseline.weight_decay: 0.1}
"""
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of a small study with specifications."""
    folder = begin(tmp_path_factory.mktemp("specified"), VARIED)
    done = snakemake(folder)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return folder


def table(folder: Path, name: str, study: str = "small") -> list[dict[str, str]]:
    with (folder / "results" / study / "tables" / name).open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.slow
def test_a_specification_says_what_a_study_of_its_settings_says(run: Path, tmp_path: Path) -> None:
    alone = SMALL.replace(
        "  fine_tune: *short\n", "  fine_tune: {learning_rate: 0.01, epochs: 2}\n"
    )
    alone = alone.replace("  scratch: *short\n", "  scratch: {learning_rate: 0.01, epochs: 6}\n")
    folder = begin(tmp_path, alone.replace("scope: global", "scope: layer"))
    assert snakemake(folder, "--until", "claims").returncode == 0
    specified = [
        row
        for row in table(run, "specifications.csv")
        if row["specification"] == "short-long-layer"
    ]
    shared = set(specified[0]) - {"specification", "choices"}
    assert [{c: row[c] for c in shared} for row in specified] == [
        {c: row[c] for c in shared} for row in table(folder, "claims.csv")
    ]


@pytest.mark.slow
def test_the_other_tables_are_those_of_the_study_s_own_settings(run: Path) -> None:
    assert {row["specification"] for row in table(run, "results.csv")} == {"base"}
    own = {
        (row["claim"], row["part"], row["level"]): row["effect_points"]
        for row in table(run, "specifications.csv")
        if row["specification"] == "usual-usual-global"
    }
    for row in table(run, "claims.csv"):
        assert own[row["claim"], row["part"], row["level"]] == row["effect_points"]


@pytest.mark.slow
def test_each_run_has_its_rows_once(run: Path) -> None:
    rows = table(run, "specification_rows.csv")
    keys = ("specification", "method", "sparsity", "bits", "regime", "replicate")
    assert max(Counter(tuple(row[key] for key in keys) for row in rows).values()) == 1
    regimes = {"none.csv", "fine_tune.csv", "scratch.csv"}
    files = [
        file
        for file in (run / "results" / "small").rglob("*.csv")
        if file.name in regimes and "curves" not in file.parts
    ]
    baselines = 2
    assert len(rows) == 3 * (len(files) + baselines)
    assert {row["specification"] for row in rows} >= {"base", "decay", "short-long-global"}


@pytest.mark.slow
def test_the_summary_counts_what_the_specifications_say(run: Path) -> None:
    every = table(run, "specifications.csv")
    for one in table(run, "specifications_summary.csv"):
        key = (one["claim"], one["part"], one["level"])
        here = [row for row in every if (row["claim"], row["part"], row["level"]) == key]
        said = Counter(row["verdict"] for row in here)
        for word in ("supported", "contradicted", "negligible", "inconclusive", "reported"):
            assert int(one[word]) == said[word]
        assert int(one["specifications"]) == 9
        effects = [float(row["effect_points"]) for row in here if row["effect_points"]]
        if effects:
            assert float(one["median_points"]) == np.median(effects)


@pytest.mark.slow
def test_an_axis_explains_nothing_of_a_claim_that_it_cannot_touch(run: Path) -> None:
    shares = {
        (row["claim"], row["axis"]): row["share"]
        for row in table(run, "specifications_axes.csv")
        if row["claim"] in ("C2", "C3")
    }
    # The neurons' scope is not varied.
    assert shares["C3", "scope"] == ""
    assert all(shares["C2", axis] for axis in ("budget", "scratch", "scope"))


@pytest.mark.slow
def test_nothing_is_left_to_do_and_figures_are_published(run: Path) -> None:
    again = snakemake(run, "--dry-run", "--quiet", "host")
    assert "Nothing to be done" in again.stdout + again.stderr
    published = {file.name for file in (run / "figures" / "small").iterdir()}
    assert {"specification_curve.png", "specification_readings.svg", "budget_map.pdf"} <= published
    made = json.loads((run / "figures" / "small" / "provenance.json").read_text())
    # The study's own settings, and not those of the job that was done last.
    assert made["configuration"]["recipes"]["fine_tune"]["epochs"] == 4
    assert made["configuration"]["grid"]["parameter"]["scope"] == "global"
    assert "decay" in made["configuration"]["specifications"]["variants"]


@pytest.mark.slow
def test_a_verb_does_a_job_of_one_specification(run: Path, tmp_path: Path) -> None:
    words = ("--method", "parameter-obd_sd", "--sparsity", "0.9", "--regime", "fine_tune")
    unknown = minified(run, "retrain", "config/small.yaml", *words, "--specification", "nobody")
    assert unknown.returncode == 1
    assert unknown.stderr.count("\n") == 1
    assert "nobody" in unknown.stderr
    file = run / "results/small/specifications/short-long-layer/parameter-obd_sd/0.9/fine_tune.csv"
    before = file.read_bytes()
    done = minified(
        *(run, "retrain", "config/small.yaml", *words, "--specification", "short-usual-layer")
    )
    assert done.returncode == 0, done.stderr
    assert file.read_bytes() == before


@pytest.mark.slow
def test_publishing_anew_tells_what_changed_under_a_specification(
    run: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(run, tmp_path / "copy")
    file = folder / "figures" / "small" / "tables" / "specifications.csv"
    lines = file.read_text().splitlines(keepends=True)
    (place,) = (n for n, line in enumerate(lines) if line.startswith("C2,") and ",decay," in line)
    c2 = next(
        row
        for row in table(run, "specifications.csv")
        if (row["claim"], row["specification"]) == ("C2", "decay")
    )
    lines[place] = lines[place].replace(f",{c2['verdict']},", ",doubtful,")
    file.write_text("".join(lines))
    done = minified(folder, "publish", "config/small.yaml")
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stdout.splitlines() if "minified: verdicts:" in line]
    assert told == [
        "minified: verdicts: C2 fine_tune - scratch, parameter level, under decay: doubtful ->"
        f" {c2['verdict']}"
    ]


def effects(part: str, *points: float | None, level: str | None = "neuron") -> list[dict]:
    return [
        {"claim": "C1", "level": level, "part": part, "specification": f"s{number}"}
        | {"effect_points": one, "ci_low": one, "ci_high": one}
        for number, one in enumerate(points)
    ]


def test_parts_with_the_same_effects_under_every_specification_stand_for_one_another() -> None:
    table = pd.DataFrame(
        [
            *effects("a", 1.0, 2.0),
            *effects("b", 1.0, 2.5),  # not under the second
            *effects("c", 1.0, 2.0),
            *effects("d", 1.0, 2.0),
            *effects("c", 1.0, 2.0, level="parameter"),  # at another level
            *effects("e", None, None),  # not tested
            *effects("f", None, None),
            *effects("g", 1.0, 2.0, level=None),
            *effects("h", 1.0, 2.0, level=None),
        ]
    )
    assert coinciding.specified(table) == {
        ("C1", "neuron", "c"): "a",
        ("C1", "neuron", "d"): "a",
    }


READINGS = ("obd_sd", "obd_signed", "obd_absolute")


def readings(folder: Path) -> tuple[study.Study, list[Specified]]:
    """A study of three readings, and C1 in it: signed and absolute damage alike for neurons."""
    text = VARIED.replace("[magnitude, obd_sd]", f"[obd, {', '.join(READINGS)}]")
    text = text.replace("[merging]", f"[obd, {', '.join(READINGS)}]")
    (folder / "small.yaml").write_text(text)
    loaded = study.load(folder / "small.yaml")
    lines = []
    for level, part, (number, name) in itertools.product(
        ("parameter", "neuron"), READINGS, enumerate(loaded.specified)
    ):
        place = 1 if level == "neuron" and part == "obd_absolute" else READINGS.index(part)
        effect = place + number / 10
        ends = (effect - 1, effect + 1)
        values = (2, 3, effect, *ends, 0.95, 0.01, 1.0, effect, "supported", "no")
        lines.append(Specified("C1", part, level, name, None, *values))
    return loaded, lines


def test_the_summary_has_one_line_for_parts_of_the_same_effects(tmp_path: Path) -> None:
    loaded, lines = readings(tmp_path)
    summaries, options = [], []
    for key in dict.fromkeys((one.claim, one.part, one.level) for one in lines):
        summaries.append(Summary(*key, 9, 9, 0, 0, 0, 0, 0, 1.0, 0.0, 2.0, "budget", 0.5))
        for axis, known in loaded.specifications.axes.items():
            options += [OfOption(*key, axis, o, 4, 4, 0, 0, 0, 1.0, 0.5) for o in known]
    sheet = specification_sheet.sheet(loaded, summaries, options, lines)
    assert list(sheet.frame["part"][sheet.frame["level"] == "parameter"]) == list(READINGS)
    neurons = list(sheet.frame["part"][sheet.frame["level"] == "neuron"])
    assert neurons == ["obd_sd", "obd_signed = obd_absolute"]
    assert sum("same effects under every specification" in note for note in sheet.notes) == 1


def test_the_figure_of_readings_draws_the_same_effects_once(tmp_path: Path) -> None:
    loaded, lines = readings(tmp_path)
    paths = Paths("small", tmp_path)
    paths.table("x").parent.mkdir(parents=True)
    file = paths.table("specifications.csv")
    files.write_rows(file, SPECIFIED_COLUMNS, [asdict(one) for one in lines])
    figure = plt.figure()
    specification_readings.draw(figure, loaded, paths)
    titles = {axes.get_title(loc="left"): axes.axison for axes in figure.axes}
    plt.close(figure)
    for level, reading in itertools.product(("parameters", "neurons"), ("signed", "absolute")):
        title = f"C1, {level}: {reading} damage"
        if (level, reading) == ("neurons", "absolute"):
            assert titles[f"{title}:\nthe same effects as signed damage"] is False
            assert title not in titles
        else:
            assert titles[title] is True


# How much an axis explains


def test_the_share_of_an_axis_is_that_of_its_main_effect() -> None:
    """Against the R^2 of a least-squares fit on the axis' options."""
    draws = np.random.default_rng(7)
    product = list(itertools.product("ab", "xyz", "pqrs"))
    values = draws.normal(size=len(product)) + np.array([3.0 * (c[1] == "y") for c in product])
    total = 0.0
    for axis in range(3):
        options = [choice[axis] for choice in product]
        design = np.array(
            [[o == option for option in sorted(set(options))] for o in options], float
        )
        fitted = design @ np.linalg.lstsq(design, values, rcond=None)[0]
        share = explained(list(values), options)
        assert share is not None
        assert np.isclose(share, 1 - np.var(values - fitted) / np.var(values))
        total += share
    assert total < 1


def test_an_additive_effect_is_explained_by_its_axes_alone() -> None:
    product = list(itertools.product((0.0, 1.0), (0.0, 5.0)))
    values = [a + b for a, b in product]
    shares = [explained(values, [str(choice[axis]) for choice in product]) for axis in range(2)]
    assert shares == pytest.approx([1 / 26, 25 / 26])


def test_nothing_is_explained_where_nothing_varies() -> None:
    assert explained([2.0, 2.0], ["a", "b"]) is None


@pytest.mark.parametrize("name", ["", "decays", "../decay"])
def test_a_verb_refuses_a_specification_that_the_study_has_not(tmp_path: Path, name: str) -> None:
    folder = begin(tmp_path, VARIED)
    done = minified(folder, "train", "config/small.yaml", "--specification", name)
    assert done.returncode == 1
    assert f"specification '{name}': unknown here; allowed: " in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_check_says_how_many_runs_differ(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(VARIED)
    said = minified(tmp_path, "check", "mine.yaml")
    loaded = study.load(tmp_path / "mine.yaml")
    assert said.returncode == 0
    assert said.stdout.startswith(f"mine.yaml: {len(loaded.specified)} specifications, ")


@pytest.mark.slow
def test_the_list_of_jobs_names_the_specification_that_owns_each(run: Path) -> None:
    assert minified(run, "timings", "config/small.yaml").returncode == 0
    with (run / "figures" / "small" / "machine" / "jobs.csv").open(newline="") as stream:
        jobs = list(csv.DictReader(stream))
    logs = run / "results" / "small" / "logs"
    found = [log.relative_to(logs).parts for log in logs.rglob("*.log")]
    owners = Counter(parts[1] if parts[0] == "specifications" else "base" for parts in found)
    assert Counter(job["specification"] for job in jobs) == owners
    assert len(owners) > 2
    order = ["base", *study.load(run / "config" / "small.yaml").specified]
    listed = [job["specification"] for job in jobs]
    assert listed == sorted(listed, key=order.index)


@pytest.mark.slow
def test_published_tables_without_a_specification_are_not_redrawn(
    run: Path, tmp_path: Path
) -> None:
    folder = begin(tmp_path, VARIED)
    shutil.copytree(run / "figures", folder / "figures")
    drawing = folder / "figures" / "small" / "specification_curve.svg"
    before = drawing.read_bytes()
    drawing.write_bytes(b"spoilt")
    draw = ("figures", "config/small.yaml", "--from", "figures/small")
    assert minified(folder, *draw).returncode == 0
    assert drawing.read_bytes() == before
    file = folder / "figures" / "small" / "tables" / "specifications.csv"
    lines = file.read_text().splitlines(keepends=True)
    for damaged, said in (
        ([one for one in lines if ",decay," not in one], "no row of specification decay"),
        (
            [one for one in lines if not (",decay," in one and one.startswith("C2,"))],
            "no row of specification decay, claim C2",
        ),
        (
            [*lines, lines[-1].replace(",decay,", ",decayed,")],
            "specification decayed, unknown here",
        ),
        ([*lines, lines[-1]], "two rows of E2"),
    ):
        file.write_text("".join(damaged))
        done = minified(folder, *draw)
        assert done.returncode == 1
        assert f"specifications.csv: has {'a row of ' * ('unknown' in said)}{said}" in done.stderr
        assert drawing.read_bytes() == before
