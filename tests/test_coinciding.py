"""Criteria that remove the same units are one result, and shown once: they, and no others."""

from collections.abc import Iterator
from dataclasses import asdict
from itertools import combinations
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from conftest import SMALL
from hand_made import judged, pruned
from minified import study
from minified.analysis import coinciding, sheets, verdict_sheets
from minified.analysis.figures import (
    before_retraining,
    claims,
    fine_tune_minus_scratch,
    neuron_pruning,
    pruning_against_quantization,
    style,
)
from minified.analysis.records import DETAIL_COLUMNS, VERDICT_COLUMNS
from minified.foundations import files
from minified.study import Paths
from minified.study.rows import COLUMNS, OVERLAP_COLUMNS, column_type

Sets = dict[str, dict[float, list[frozenset[int]]]]
"""What each criterion removes: by criterion and sparsity, a set per replicate."""


def overlap_of(level: str, sets: Sets) -> pd.DataFrame:
    lines = []
    for first, second in combinations(sets, 2):
        for sparsity in sets[first]:
            pairs = list(zip(sets[first][sparsity], sets[second][sparsity], strict=True))
            share = float(np.mean([len(a & b) / len(a) for a, b in pairs]))
            same = sum(a == b for a, b in pairs)
            lines.append((level, sparsity, first, second, len(pairs), share, same))
    return pd.DataFrame(lines, columns=list(OVERLAP_COLUMNS))


def rows_of(*levels: str, rounds: int | None = None) -> pd.DataFrame:
    return pd.DataFrame({"level": [*levels, None], "rounds": [rounds] * len(levels) + [None]})


def test_the_groups_are_the_criteria_that_remove_the_same_everywhere() -> None:
    draws = np.random.default_rng(1)
    several = 0
    for _ in range(200):
        kinds = [
            {s: [frozenset([int(draws.integers(2)), 5]) for _ in range(2)] for s in (0.5, 0.9)}
            for _ in range(3)
        ]
        sets = {name: kinds[draws.integers(3)] for name in "abcdef"}
        alike: dict[str, list[str]] = {}
        for name in sets:
            alike.setdefault(repr(sets[name]), []).append(name)
        expected = {frozenset(group) for group in alike.values() if len(group) > 1}
        found = coinciding.coinciding(overlap_of("neuron", sets), rows_of("neuron"))
        groups = found.get("neuron", [])
        assert {frozenset(group) for group in groups} == expected
        assert all(list(group) == sorted(group) for group in groups)
        for name in sets:
            others = set(alike[repr(sets[name])]) - {name}
            assert set(coinciding.others(found, "neuron", name)) == others
        several += len(expected) > 1
    assert several > 20


ONE, OTHER = frozenset([1, 2]), frozenset([1, 3])


@pytest.mark.parametrize(
    "second",
    [
        {0.5: [ONE, ONE], 0.9: [ONE, OTHER]},  # another set in one replicate at one sparsity
        {0.5: [OTHER, OTHER], 0.9: [ONE, ONE]},
        {0.5: [OTHER, OTHER], 0.9: [OTHER, OTHER]},
    ],
)
def test_a_single_difference_is_enough_not_to_coincide(second: dict) -> None:
    first = {0.5: [ONE, ONE], 0.9: [ONE, ONE]}
    table = overlap_of("neuron", {"a": first, "b": second})
    assert coinciding.coinciding(table, rows_of("neuron")) == {}


def test_a_pair_that_lacks_a_sparsity_is_not_known_to_coincide() -> None:
    same = {0.5: [ONE], 0.9: [ONE]}
    table = overlap_of("neuron", {"a": same, "b": same, "c": same})
    lacking = table[(table["second"] != "c") | (table["sparsity"] != 0.9)]
    assert coinciding.coinciding(lacking, rows_of("neuron")) == {"neuron": [("a", "b")]}


def test_levels_are_apart_and_no_level_has_none() -> None:
    same = {"a": {0.5: [ONE]}, "b": {0.5: [ONE]}}
    other = {"a": {0.5: [ONE]}, "b": {0.5: [OTHER]}}
    table = pd.concat([overlap_of("parameter", other), overlap_of("neuron", same)])
    found = coinciding.coinciding(table, rows_of("parameter", "neuron"))
    assert found == {"neuron": [("a", "b")]}
    assert coinciding.others(found, "neuron", "a") == ("b",)
    assert coinciding.others(found, "parameter", "a") == ()
    assert coinciding.others(found, None, "a") == ()
    empty = pd.DataFrame(columns=list(OVERLAP_COLUMNS))
    assert coinciding.coinciding(empty, rows_of()) == {}


def test_of_a_level_pruned_in_rounds_the_one_shot_overlap_says_nothing() -> None:
    table = overlap_of("neuron", {"a": {0.5: [ONE]}, "b": {0.5: [ONE]}})
    assert coinciding.coinciding(table, rows_of("neuron", rounds=3)) == {}
    assert coinciding.coinciding(table, rows_of("neuron", rounds=1)) != {}


# A whole study in which the signed and the absolute damage of neurons coincide

NAMES = ("obd", "obd_sd", "obd_signed", "obd_absolute")
SETS = {name: {0.75: [ONE] * 4, 0.9: [ONE] * 4} for name in NAMES} | {
    name: {0.75: [OTHER] * 4, 0.9: [OTHER] * 4} for name in ("obd_signed", "obd_absolute")
}
SETS["obd"] = {s: [frozenset([7, 8])] * 4 for s in (0.75, 0.9)}
SENTENCE = "obd_signed and obd_absolute select the same neurons in every replicate: shown once"


def results(same: bool) -> list[dict]:
    """Both levels; at neuron level signed and absolute damage have the same results, if `same`."""
    rows = []
    for level in ("parameter", "neuron"):
        for name in NAMES:
            for sparsity in (0.75, 0.9):
                for number, regime in enumerate(("fine_tune", "scratch")):
                    alike = same and level == "neuron" and name == "obd_absolute"
                    text = f"{'obd_signed' if alike else name} {level} {sparsity} {number}"
                    draws = np.random.default_rng(list(text.encode()))
                    test = [round(float(a), 4) for a in draws.uniform(0.7, 0.9, 4)]
                    more = {"accuracy_test_before": 0.5, "parameters_kept": 1000, "rounds": 1}
                    rows += pruned(level, name, sparsity, regime, test, 0.8, **more)
    return rows


@pytest.fixture(params=[True, False], ids=["same", "different"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[bool, Path]]:
    """Whether the results are the same, and a folder with the tables of a study."""
    rows = results(request.param)
    parameter = {n: {s: [frozenset([i])] * 4 for s in (0.75, 0.9)} for i, n in enumerate(NAMES)}
    table = pd.concat([overlap_of("parameter", parameter), overlap_of("neuron", SETS)])
    found, details = judged(rows, table)
    text = SMALL.replace("[magnitude, obd_sd]", f"[{', '.join(NAMES)}]").replace(
        "[merging]", f"[{', '.join(NAMES)}]"
    )
    text = text.replace("[0.9]", "[0.75, 0.9]").replace("[0.75]", "[0.75, 0.9]")
    text = text.replace("replicates: 3", "replicates: 4")
    (tmp_path / "small.yaml").write_text(text)
    paths = Paths("small", tmp_path)
    paths.table("x").parent.mkdir(parents=True)
    files.write_rows(
        paths.table("results.csv"), COLUMNS, [whole(one) for one in [*rows, *baseline()]]
    )
    files.write_rows(paths.table("overlap.csv"), OVERLAP_COLUMNS, table.to_dict("records"))
    for name, columns, records in (
        ("claims.csv", VERDICT_COLUMNS, found.values()),
        ("claims_detail.csv", DETAIL_COLUMNS, details),
    ):
        files.write_rows(paths.table(name), columns, [asdict(one) for one in records])
    yield request.param, tmp_path
    plt.close("all")


def whole(row: dict) -> dict:
    """A row with a value in every column that must have one."""
    blank = {str: "x", int: 2000, float: 0.5}
    columns = {column: (row.get(column), *column_type(column)) for column in COLUMNS}
    return {
        column: blank[kind] if value is None and not optional else value
        for column, (value, kind, optional) in columns.items()
    }


def baseline() -> list[dict]:
    return [
        {"method": "baseline", "regime": "train", "replicate": r, "accuracy_test": 0.95}
        | {"parameters_kept": 2000, "bytes_stored": 8000}
        for r in range(4)
    ]


def read(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(Paths("small", folder).table(name), keep_default_na=False, na_values=[""])


def test_verdicts_name_what_coincides_and_both_still_count(case: tuple[bool, Path]) -> None:
    _, folder = case
    table = read(folder, "claims.csv")
    said = {
        (row.claim, row.part, row.level): row.coincides_with
        for row in table.itertuples()
        if isinstance(row.coincides_with, str)
    }
    assert said == {
        (claim, part, "neuron"): other
        for claim in ("C1", "E2")
        for part, other in (("obd_signed", "obd_absolute"), ("obd_absolute", "obd_signed"))
    }
    c1 = table[(table["claim"] == "C1") & (table["level"] == "neuron") & (table["cells"] > 0)]
    assert list(c1["confidence"]) == [pytest.approx(1 - 0.05 / 3)] * 3


def test_the_tables_of_claims_show_what_coincides_once_and_say_so(case: tuple[bool, Path]) -> None:
    same, folder = case
    loaded = study.load(folder / "small.yaml")
    table, detail = read(folder, "claims.csv"), read(folder, "claims_detail.csv")
    sheet = verdict_sheets.claims(loaded, table)
    lines = sheet.frame[(sheet.frame["level"] == "neuron") & (sheet.frame["claim"] == "C1")]
    firsts = [text.partition(" - ")[0] for text in lines["difference"]]
    below = verdict_sheets.detail(detail, table)
    short = below.frame[(below.frame["level"] == "neuron") & (below.frame["claim"] == "C1")]
    if same:
        assert firsts == ["obd_sd", "obd_signed = obd_absolute", "obd_squared"]
        assert list(short["first"]) == ["obd_sd"] * 2 + ["obd_signed = obd_absolute"] * 2
    else:
        assert firsts == ["obd_sd", "obd_signed", "obd_absolute", "obd_squared"]
        assert list(short["first"]) == ["obd_sd"] * 2 + ["obd_signed"] * 2 + ["obd_absolute"] * 2
    for one in (sheet, below):
        shown = sheets.markdown(one)
        assert shown.count(SENTENCE) == int(same)
        assert "parameters in every replicate" not in shown
    parameters = below.frame[(below.frame["level"] == "parameter") & (below.frame["claim"] == "C1")]
    assert list(dict.fromkeys(parameters["first"])) == list(NAMES[1:])


@pytest.mark.parametrize(
    ("other", "lines"),
    [
        (("C1", "neuron", "b", "a", 1.0), [(0, ("a", "b"))]),
        (("C1", "neuron", "b", "c a", 1.0), [(0, ("a", "b"))]),
        (("C1", "neuron", "b", "a", 1.5), [(0, ("a",)), (1, ("b",))]),
        (("C1", "neuron", "b", None, 1.0), [(0, ("a",)), (1, ("b",))]),
        (("C1", "parameter", "b", "a", 1.0), [(0, ("a",)), (1, ("b",))]),
        (("E2", "neuron", "b", "a", 1.0), [(0, ("a",)), (1, ("b",))]),
        (("C1", "neuron", "b", "aa", 1.0), [(0, ("a",)), (1, ("b",))]),
    ],
)
def test_lines_are_one_only_where_claim_level_units_and_effect_are(
    other: tuple, lines: list
) -> None:
    columns = ["claim", "level", "part", "coincides_with", "effect_points"]
    table = pd.DataFrame([("C1", "neuron", "a", "b c", 1.0), other], columns=columns)
    assert verdict_sheets.shown_once(table) == lines


@pytest.mark.parametrize(
    "figure",
    [before_retraining, fine_tune_minus_scratch, neuron_pruning, pruning_against_quantization],
)
def test_figures_show_what_coincides_once_and_say_so(
    case: tuple[bool, Path], figure: object
) -> None:
    same, folder = case
    loaded = study.load(folder / "small.yaml")
    drawn = plt.figure()
    figure.draw(drawn, loaded, Paths("small", folder))  # type: ignore[attr-defined]
    said = " ".join(text.get_text() for text in drawn.findobj(Text)).replace("\n", " ")
    names = " = ".join(style.look(loaded, name).short for name in ("obd_signed", "obd_absolute"))
    assert (f"{names}: the same neurons" in said) == same
    colours = {
        name: sum(
            line.get_color() == style.look(loaded, name).colour
            for axes in drawn.axes
            for line in axes.lines
        )
        for name in ("obd_sd", "obd_absolute")
    }
    assert (colours["obd_absolute"] < colours["obd_sd"]) == same


def test_the_figure_of_claims_has_one_line_for_what_coincides(case: tuple[bool, Path]) -> None:
    same, folder = case
    loaded = study.load(folder / "small.yaml")
    drawn = plt.figure()
    claims.draw(drawn, loaded, Paths("small", folder))
    labels = [text.get_text() for text in drawn.axes[0].get_yticklabels()]
    both = "signed damage = absolute damage"
    assert labels.count(both) == int(same)
    assert labels.count("absolute damage") == (1 if same else 2)


# What every table of claims says below it


def note(folder: Path, text: str) -> str:
    (folder / "noted.yaml").write_text(text)
    found, _ = judged(results(True))
    table = pd.DataFrame([asdict(one) for one in found.values()])
    return sheets.markdown(verdict_sheets.claims(study.load(folder / "noted.yaml"), table))


def test_the_table_of_claims_says_what_is_claimed_and_by_which_boundaries(tmp_path: Path) -> None:
    shown = note(tmp_path, SMALL)
    assert shown.count("of no interest is less than 0.5 points to either side of 0") == 1
    assert "Claims are about the abstract's criteria" in shown
    assert "80 % power" in shown
    other = note(tmp_path, SMALL + "claims: {no_interest_points: 0.25}\n")
    assert "of no interest is less than 0.25 points" in other
    none = note(tmp_path, SMALL + "claims: {no_interest_points: 0}\n")
    assert "no claim is negligible" in none
    assert "of no interest is less than" not in none
