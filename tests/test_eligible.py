"""Which rows enter a claim: the abstract's criteria, and why a claim has none."""

from dataclasses import asdict
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from hand_made import judged, pruned, row
from minified.criteria.record import CRITERIA
from minified.foundations.errors import MinifiedError

ABSTRACT = {"magnitude", "obd", "random", "dropout_damage", "merging"}
SD = ("obd_sd", "obd_signed", "obd_absolute", "obd_squared")
"""The readings of OBD-SD that methods.md knows; the rest is extension."""


def study(
    criteria: dict[str, list[str]],
    sparsities: dict[str, list[float]] | None = None,
    regimes: dict[str, list[str]] | None = None,
    replicates: int = 4,
) -> list[dict]:
    """Rows of a whole grid with accuracies drawn at random, the same for the same place."""
    at = {"parameter": [0.5, 0.9, 0.95], "neuron": [0.5, 0.75]} | (sparsities or {})
    by = {level: ["fine_tune", "scratch", "rewind"] for level in criteria} | (regimes or {})
    rows = []
    for level, names in criteria.items():
        for name in names:
            for sparsity in at[level]:
                for regime in by[level]:
                    text = f"{level} {name} {sparsity} {regime}"
                    draws = np.random.default_rng(list(text.encode()))
                    test = draws.uniform(0.6, 0.8, replicates)
                    rows += pruned(level, name, sparsity, regime, list(test), draws.uniform())
    return rows


def quantized() -> list[dict]:
    return [
        row(method="quantization", bits=8, regime="none", replicate=r, accuracy_test=0.7 + r / 100)
        for r in range(4)
    ]


def plain(found: dict, details: list) -> tuple[dict, list]:
    return {key: asdict(one) for key, one in found.items()}, [asdict(one) for one in details]


@pytest.mark.parametrize(
    "extensions", [["kfac"], ["activity"], ["activity_hyper"], ["mine"], ["kfac", "mine", "snip"]]
)
@pytest.mark.parametrize("accuracy", [0.01, 0.99])
def test_no_extension_changes_any_claim(extensions: list[str], accuracy: float) -> None:
    whole = {"parameter": ["random", "magnitude", "obd", *SD], "neuron": ["merging", "obd", *SD]}
    rows = study(whole) + quantized()
    more = []
    for level in whole:
        for name in extensions:
            for sparsity in (0.5, 0.75, 0.9, 0.95, 0.99):
                for regime in ("fine_tune", "scratch", "rewind", "scratch_long"):
                    test = [accuracy, accuracy / 2, accuracy, accuracy]
                    more += pruned(level, name, sparsity, regime, test, accuracy, bytes_stored=1)
    without = plain(*judged(rows))
    # Wherever its rows stand: the grid may name an extension first.
    assert plain(*judged(rows + more)) == without
    assert plain(*judged(more + rows)) == without
    assert {one["verdict"] for one in without[0].values()} > {"reported"}


def test_the_records_say_who_is_the_abstract_s() -> None:
    claimed = {name for name, criterion in CRITERIA.items() if not criterion.extension}
    assert claimed == ABSTRACT | set(SD)


@pytest.mark.parametrize("parameter", [c for n in (1, 2, 3, 4) for c in combinations(SD, n)])
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_c1_s_confidence_follows_the_readings_of_each_level(
    parameter: tuple[str, ...], alpha: float
) -> None:
    neuron = SD[:2]
    criteria = {"parameter": ["obd", *parameter, "kfac"], "neuron": ["obd", *neuron]}
    rows = study(criteria)
    found, details = judged(rows, confidence=1 - alpha)
    for level, there in (("parameter", parameter), ("neuron", neuron)):
        for reading in there:
            c1, e2 = found["C1", reading, level], found["E2", reading, level]
            assert c1.confidence == pytest.approx(1 - alpha / len(there))
            assert e2.confidence == 1 - alpha
            for one in (c1, e2):
                # OBD is the only other criterion.
                points = np.mean(
                    [
                        [100 * (a["accuracy_test"] - b["accuracy_test"]) for a, b in pairs]
                        for pairs in pairs_of(rows, level, reading)
                    ],
                    axis=0,
                )
                known = stats.ttest_1samp(points, 0).confidence_interval(one.confidence)
                assert (one.ci_low, one.ci_high) == pytest.approx(tuple(known), abs=1e-6)
    assert all(d.confidence == found[d.claim, d.part, d.level].confidence for d in details)


def pairs_of(rows: list[dict], level: str, reading: str) -> list[list[tuple[dict, dict]]]:
    """At each substantial sparsity, the rows of the reading and of OBD, replicate by replicate."""
    boundary = {"parameter": 0.9, "neuron": 0.75}[level]
    places = sorted({r["sparsity"] for r in rows if r["level"] == level})

    def cell(name: str, sparsity: float) -> list[dict]:
        key = (level, name, sparsity, "fine_tune")
        names = ("level", "criterion", "sparsity", "regime")
        return [r for r in rows if tuple(r[n] for n in names) == key]

    return [
        list(zip(cell(reading, s), cell("obd", s), strict=True)) for s in places if s >= boundary
    ]


def test_another_reading_leaves_the_effects_of_the_first_ones() -> None:
    three, _ = judged(study({"parameter": ["random", "magnitude", *SD[:3]]}))
    four, _ = judged(study({"parameter": ["random", "magnitude", *SD]}))
    for reading in SD[:3]:
        one, other = (found["C1", reading, "parameter"] for found in (three, four))
        assert (one.effect_points, one.median_points) == (other.effect_points, other.median_points)
        assert other.ci_high - other.ci_low > one.ci_high - one.ci_low
        assert other.detectable_points > one.detectable_points


# Not tested, and why

LEVEL = "the grid has no neuron level"
REGIMES = {"parameter": ["fine_tune"], "neuron": ["scratch"]}


@pytest.mark.parametrize(
    ("rows", "claim", "reason"),
    [
        (study({"parameter": ["obd", "obd_sd"]}), ("C1", "obd_sd", "neuron"), LEVEL),
        (study({"parameter": ["obd", "obd_sd"]}), ("C3", "scratch - fine_tune", "neuron"), LEVEL),
        (
            study({"neuron": ["obd", "obd_sd"]}, regimes=REGIMES),
            ("C3", "scratch - fine_tune", "neuron"),
            "the grid has no regime fine_tune at neuron level",
        ),
        (
            study({"neuron": ["obd", "obd_sd"]}, regimes=REGIMES),
            ("E2", "obd_sd", "neuron"),
            "the grid has no regime fine_tune at neuron level",
        ),
        (
            study({"parameter": ["obd", "obd_sd"]}, regimes=REGIMES),
            ("E1", "rewind - scratch", "parameter"),
            "the grid has no regime rewind and no regime scratch at parameter level",
        ),
        (
            study({"parameter": ["obd", "obd_sd"]}),
            ("C1", "obd_signed", "parameter"),
            "the grid has no criterion obd_signed at parameter level",
        ),
        (
            study({"parameter": ["magnitude", "obd_sd"]}),
            ("E2", "obd_sd", "parameter"),
            "the grid has no criterion obd at parameter level",
        ),
        (
            study({"parameter": ["magnitude"]}),
            ("E2", "obd_sd", "parameter"),
            "the grid has no criterion obd_sd and no criterion obd at parameter level",
        ),
        (
            study({"parameter": ["obd_sd", "obd_signed", "kfac"]}),
            ("C1", "obd_sd", "parameter"),
            "the grid has no other criterion of the abstract's at parameter level",
        ),
        (
            study({"parameter": ["obd", "obd_sd"]}, {"parameter": [0.5, 0.899]}),
            ("C1", "obd_sd", "parameter"),
            "the grid has no sparsity of 0.9 or more at parameter level",
        ),
        (
            study(
                {"parameter": ["obd"]}, {"parameter": [0.5]}, REGIMES | {"parameter": ["rewind"]}
            ),
            ("C1", "obd_sd", "parameter"),
            "the grid has no regime fine_tune and no criterion obd_sd and no sparsity of 0.9 or"
            " more at parameter level",
        ),
        (
            study({"parameter": ["random", "mine"]}),
            ("C2", "fine_tune - scratch", "parameter"),
            "the grid has no criterion of the abstract's criteria but random at parameter level",
        ),
        (
            study({"neuron": ["kfac", "activity"]}),
            ("C3", "scratch - fine_tune", "neuron"),
            "the grid has no criterion of the abstract's criteria but random at neuron level",
        ),
        (study({"parameter": ["obd"]}), ("C4", "-", None), "the grid has no quantization"),
        (
            quantized(),
            ("C4", "8 bits, none", None),
            "the grid has no network pruned by the abstract's criteria",
        ),
        (
            quantized() + study({"neuron": ["kfac"]}),
            ("C4", "8 bits, none", None),
            "the grid has no network pruned by the abstract's criteria",
        ),
        (
            [one | {"bytes_stored": 999} for one in quantized()] + study({"neuron": ["obd"]}),
            ("C4", "8 bits, none", None),
            "no network pruned by the abstract's criteria is stored in 999 bytes or fewer",
        ),
        (
            study({"neuron": ["obd"]}, replicates=2),
            ("C3", "scratch - fine_tune", "neuron"),
            "2 replicates are fewer than 3",
        ),
    ],
)
def test_what_is_not_tested_says_why(
    rows: list[dict], claim: tuple[str, str, str | None], reason: str
) -> None:
    found = judged(rows)[0][claim]
    assert found.verdict == "not tested"
    assert found.meaning == f"Not tested: {reason}."
    assert (found.ci_low, found.p, found.detectable_points, found.within_no_interest) == (None,) * 4
    # Every other line has a verdict, or a reason of its own.
    for one in judged(rows)[0].values():
        assert (one.verdict == "not tested") == one.meaning.startswith("Not tested: ")
        assert (one.cells == 0) == (one.effect_points is None)


def test_a_sparsity_at_the_boundary_is_substantial() -> None:
    found, details = judged(study({"parameter": ["obd", "obd_sd"], "neuron": ["obd", "obd_sd"]}))
    assert found["C1", "obd_sd", "parameter"].cells == 2
    assert found["C1", "obd_sd", "neuron"].cells == 1
    assert [d.place for d in details if (d.claim, d.level) == ("C1", "parameter")] == [
        "0.9",
        "0.95",
    ]


@pytest.mark.parametrize("spoil", ["missing", "another", "twice"])
def test_cells_of_different_replicates_are_not_paired(spoil: str) -> None:
    rows = study({"neuron": ["obd", "magnitude"]}) + quantized()
    spoilt = next(
        place for place, one in enumerate(rows) if one["regime"] == "scratch" and one["replicate"]
    )
    if spoil == "missing":
        del rows[spoilt]
    else:
        rows[spoilt] = rows[spoilt] | {"replicate": 7 if spoil == "another" else 0}
    with pytest.raises(MinifiedError, match=r"neuron-obd 0\.5 scratch has replicates") as caught:
        judged(rows)
    assert len(str(caught.value).splitlines()) == 1
    # In another order they are the same pairs.
    rows = study({"neuron": ["obd", "magnitude"]})
    assert plain(*judged(rows[::-1])) == plain(*judged(rows))
