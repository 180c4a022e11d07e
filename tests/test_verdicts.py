"""The verdict follows from the interval; what could have been found and the median stand beside it.

Verdicts are worked out anew here, from scipy's intervals and statsmodels' power.
"""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from conftest import SNIP
from hand_made import judged, pruned
from minified.analysis.records import Verdict
from minified.criteria.record import READINGS
from studies import changed, outcome

C2 = ("C2", "fine_tune - scratch", "parameter")
C3 = ("C3", "scratch - fine_tune", "neuron")


def c3(points: np.ndarray | list[float], **options: float) -> Verdict:
    """C3's verdict where its difference in each replicate is this."""
    base = np.full(len(points), 0.5)
    rows = pruned("neuron", "obd", 0.5, "fine_tune", list(base))
    rows += pruned("neuron", "obd", 0.5, "scratch", list(base + np.asarray(points) / 100))
    return judged(rows, **options)[0][C3]


def with_interval(low: float, high: float, replicates: int = 5) -> np.ndarray:
    """Points whose 95 % t interval is this."""
    z = np.random.default_rng(replicates).normal(size=replicates)
    z = (z - z.mean()) / z.std(ddof=1)
    limit = stats.t.ppf(0.975, replicates - 1)
    return (low + high) / 2 + z * (high - low) / 2 * math.sqrt(replicates) / limit


@pytest.mark.parametrize(
    ("low", "high", "verdict", "within"),
    [
        (-0.3, 0.3, "negligible", "yes"),
        (-0.499, 0.499, "negligible", "yes"),
        (-0.499, 0.001, "negligible", "yes"),
        (-0.001, 0.499, "negligible", "yes"),
        (-0.501, 0.3, "inconclusive", "no"),
        (-0.3, 0.501, "inconclusive", "no"),
        (-5.0, 5.0, "inconclusive", "no"),
        (0.001, 0.499, "supported", "yes"),
        (-0.499, -0.001, "contradicted", "yes"),
        (0.001, 0.501, "supported", "no"),
        (-0.501, -0.001, "contradicted", "no"),
        (0.6, 0.9, "supported", "no"),
        (-0.9, -0.6, "contradicted", "no"),
    ],
)
def test_an_interval_beside_a_boundary_is_on_its_side_of_it(
    low: float, high: float, verdict: str, within: str
) -> None:
    found = c3(with_interval(low, high))
    assert (found.ci_low, found.ci_high) == pytest.approx((low, high), abs=1e-6)
    assert (found.verdict, found.within_no_interest) == (verdict, within)
    assert ("within 0.5 points of 0" in found.meaning) == (within == "yes")


@pytest.mark.parametrize("end", ["ci_low", "ci_high"])
def test_an_interval_that_ends_at_the_boundary_is_not_within_it(end: str) -> None:
    low, high = (-0.3, 0.2) if end == "ci_low" else (-0.2, 0.3)
    sample = with_interval(low, high)
    boundary = abs(getattr(c3(sample), end))
    at = c3(sample, no_interest_points=boundary)
    assert (at.verdict, at.within_no_interest) == ("inconclusive", "no")
    wider = c3(sample, no_interest_points=float(np.nextafter(boundary, 1.0)))
    assert (wider.verdict, wider.within_no_interest) == ("negligible", "yes")


@pytest.mark.parametrize(
    ("value", "boundary", "verdict", "within"),
    [
        (0.0, 0.5, "negligible", "yes"),
        (0.0, 0.0, "inconclusive", "no"),
        (0.3, 0.5, "supported", "yes"),
        (-0.3, 0.5, "contradicted", "yes"),
        (0.5, 0.5, "supported", "no"),
        (-0.5, 0.5, "contradicted", "no"),
    ],
)
def test_without_spread_the_interval_is_the_point(
    value: float, boundary: float, verdict: str, within: str
) -> None:
    found = c3([value] * 4, no_interest_points=boundary)
    assert (found.ci_low, found.ci_high, found.detectable_points) == (value, value, 0.0)
    assert (found.verdict, found.within_no_interest) == (verdict, within)
    assert "could have found any effect, however small" in found.meaning
    assert "noisy" not in found.meaning


def test_every_verdict_is_what_scipy_s_interval_says() -> None:
    draws = np.random.default_rng(3)
    words: Counter[str] = Counter()
    for _ in range(150):
        sample = draws.normal(draws.normal(0, 0.4), draws.uniform(0.05, 0.6), draws.integers(3, 9))
        boundary, confidence = draws.uniform(0.1, 0.9), draws.choice([0.8, 0.95, 0.99])
        low, high = stats.ttest_1samp(sample, 0).confidence_interval(confidence)
        if low > 0:
            word = "supported"
        elif high < 0:
            word = "contradicted"
        elif max(-low, high) < boundary:
            word = "negligible"
        else:
            word = "inconclusive"
        found = c3(sample, no_interest_points=boundary, confidence=float(confidence))
        assert found.verdict == word
        assert found.within_no_interest == ("yes" if max(-low, high) < boundary else "no")
        words[word] += 1
    assert min(words[w] for w in ("supported", "contradicted", "negligible", "inconclusive")) > 9


def samples_of(effect: float) -> list[list[float]]:
    """Samples of round numbers with this mean, which floats may miss by the last bit."""
    draws = np.random.default_rng(0).integers(-99, 99, (20, 6)) / 100
    return [[effect - sum(one), *(effect + one)] for one in draws]


def test_some_of_these_means_miss_the_boundary_by_a_bit() -> None:
    means = [float(np.mean(np.round(points, 9))) for points in samples_of(2.0)]
    assert min(means) < 2.0 < max(means)


@pytest.mark.parametrize(
    ("effect", "holds"), [(2.0, "yes"), (1.999, "no"), (2.001, "yes"), (-2.5, "no")]
)
def test_much_begins_at_the_boundary(effect: float, holds: str) -> None:
    for points in samples_of(effect):
        assert c3(points).size_holds == holds, points


@pytest.mark.parametrize(
    ("effect", "holds"), [(2.0, "yes"), (2.001, "no"), (0.001, "yes"), (0.0, "no"), (-1.0, "no")]
)
def test_slightly_is_above_nothing_and_ends_at_the_boundary(effect: float, holds: str) -> None:
    for points in samples_of(effect):
        tuned = [0.5 + one / 100 for one in points]
        rows = pruned("parameter", "obd", 0.5, "fine_tune", tuned)
        rows += pruned("parameter", "obd", 0.5, "scratch", [0.5] * len(points))
        assert judged(rows)[0][C2].size_holds == holds, points


# The smallest detectable effect


@pytest.mark.parametrize("replicates", [5, 6, 20])
def test_every_verdict_and_detail_says_the_effect_that_statsmodels_could_have_found(
    replicates: int,
) -> None:
    draws = np.random.default_rng(replicates)
    accuracies = {name: draws.uniform(0.4, 0.6, (2, replicates)) for name in (*READINGS, "obd")}
    rows = []
    for name, both in accuracies.items():
        for sparsity, one in zip((0.9, 0.95), both, strict=True):
            rows += pruned("parameter", name, sparsity, "fine_tune", list(one))
    found, details = judged(rows)
    for claim, confidence in (("C1", 1 - 0.05 / len(READINGS)), ("E2", 0.95)):
        known = TTestPower().solve_power(
            nobs=replicates, alpha=1 - confidence, power=0.8, alternative="two-sided"
        )
        for reading in READINGS:
            points = 100 * (accuracies[reading] - accuracies["obd"])
            verdict = found[claim, reading, "parameter"]
            spread = np.std(points.mean(axis=0), ddof=1)
            assert verdict.detectable_points == pytest.approx(known * spread, rel=1e-5)
            assert f"{verdict.detectable_points:.2f} points (at 80 % power)" in verdict.meaning
            here = [d for d in details if (d.claim, d.part) == (claim, reading)]
            assert [d.detectable_points for d in here] == pytest.approx(
                [known * np.std(one, ddof=1) for one in points], rel=1e-5
            )


def test_a_detectable_effect_of_hardly_anything_is_not_called_nothing() -> None:
    found = c3([1.0, 1.0001, 1.0])
    assert found.detectable_points is not None
    assert 0 < found.detectable_points < 0.005
    assert "is 0.00 points" not in found.meaning
    assert f"is {found.detectable_points:.1g} points" in found.meaning


# The median over cells


def regimes(differences: dict[tuple[str, float], list[float]]) -> list[dict]:
    """Rows of fine-tuning and scratch, by criterion and sparsity, that differ by these points."""
    rows = []
    for (criterion, sparsity), points in differences.items():
        tuned = [0.5 + one / 100 for one in points]
        rows += pruned("parameter", criterion, sparsity, "fine_tune", tuned)
        rows += pruned("parameter", criterion, sparsity, "scratch", [0.5] * len(points))
    return rows


def test_the_median_is_over_cells_of_the_means_over_replicates() -> None:
    found = judged(
        regimes(
            {
                ("obd", 0.5): [0.0, 0.0, 3.0],  # mean 1, median 0
                ("obd", 0.9): [2.0, 2.0, 2.0],
                ("magnitude", 0.5): [5.0, 4.0, 0.0],  # mean 3, median 4
                ("magnitude", 0.9): [10.0, 11.0, 9.0],
                ("random", 0.5): [-90.0] * 3,
            }
        )
    )[0][C2]
    assert found.median_points == pytest.approx(2.5)
    assert found.effect_points == pytest.approx(4.0)


def test_the_median_has_no_verdict_of_its_own() -> None:
    cells = {("obd", 0.5): [-1.0] * 3, ("obd", 0.6): [-1.0] * 3, ("obd", 0.9): [9.0, 9.1, 9.2]}
    found = judged(regimes(cells))[0][C2]
    assert found.median_points == pytest.approx(-1.0)
    assert found.verdict == "supported"


def test_with_two_replicates_effect_and_median_stand_without_a_verdict() -> None:
    found, details = judged(regimes({("obd", 0.5): [1.0, 2.0], ("obd", 0.9): [5.0, 6.0]}))
    one = found[C2]
    assert (one.verdict, one.effect_points, one.median_points) == (
        "not tested",
        pytest.approx(3.5),
        pytest.approx(3.5),
    )
    empty = (one.ci_low, one.p, one.detectable_points, one.within_no_interest, one.size_holds)
    assert empty == (None,) * 5
    assert one.meaning == "Not tested: 2 replicates are fewer than 3."
    assert all(d.detectable_points is not None for d in details if d.claim == "C2")


def test_one_replicate_has_effects_and_nothing_else() -> None:
    found, details = judged(regimes({("obd", 0.5): [1.0]}))
    assert found[C2].meaning == "Not tested: 1 replicate is fewer than 3."
    (one,) = (d for d in details if d.claim == "C2")
    assert (one.effect_points, one.ci_low, one.p, one.detectable_points) == (
        pytest.approx(1.0),
        *(None,) * 3,
    )


# Budgets


def spent(rows: list[dict], regime: str, epochs: int, flops: int) -> None:
    for one in rows:
        if one["regime"] == regime:
            one |= {"epochs": epochs, "training_flops": flops}


@pytest.mark.parametrize(
    ("tuned", "fresh", "said"),
    [
        ((20, 10**9), (20, 10**9), None),
        ((60, 3 * 10**9), (20, 10**9), "60 epochs (3e+09 FLOPs) against 20 epochs (1e+09 FLOPs)"),
        ((1, 10**9), (1, 2 * 10**9), "1 epoch (1e+09 FLOPs) against 1 epoch (2e+09 FLOPs)"),
    ],
)
def test_a_claim_that_compares_unequal_budgets_says_both(
    tuned: tuple[int, int], fresh: tuple[int, int], said: str | None
) -> None:
    rows = regimes({("obd", 0.5): [1.0, 2.0, 3.0]})
    spent(rows, "fine_tune", *tuned)
    spent(rows, "scratch", *fresh)
    meaning = judged(rows)[0][C2].meaning
    assert ("unequal budgets" in meaning) == (said is not None)
    assert said is None or said in meaning


# The boundary of no interest as configuration


@pytest.mark.parametrize(
    "bad", [-0.1, 100.1, float("nan"), float("inf"), "wide", None, True, [0.5]]
)
def test_a_boundary_that_is_none_is_refused_in_one_line(tmp_path: Path, bad: object) -> None:
    line = outcome(tmp_path, changed(("claims", "no_interest_points"), bad))
    assert line.startswith("claims.no_interest_points: ")


@pytest.mark.parametrize("good", [0, 0.0, 0.25, 100])
def test_a_boundary_may_be_anything_from_none_to_all(tmp_path: Path, good: float) -> None:
    (tmp_path / "snip.py").write_text(SNIP)
    assert outcome(tmp_path, changed(("claims", "no_interest_points"), good)) == ""
