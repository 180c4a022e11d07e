"""The claims on hand-made results whose verdicts can be seen by eye."""

from dataclasses import asdict

import numpy as np
import pytest
from scipy import stats

from hand_made import judged, pruned, row
from minified.analysis.records import Detail, Verdict

READINGS = ("obd_sd", "obd_signed", "obd_absolute")


def test_c2_averages_over_cells_within_a_replicate_and_leaves_random_out() -> None:
    tuned = {"obd": [0.90, 0.92, 0.94], "magnitude": [0.80, 0.81, 0.85], "random": [0.1] * 3}
    fresh = {"obd": [0.89, 0.90, 0.93], "magnitude": [0.79, 0.80, 0.83], "random": [0.9] * 3}
    rows = []
    for criterion in tuned:
        rows += pruned("parameter", criterion, 0.9, "fine_tune", tuned[criterion])
        rows += pruned("parameter", criterion, 0.9, "scratch", fresh[criterion])
    found, _ = judged(rows)
    verdict = found["C2", "fine_tune - scratch", "parameter"]
    differences = np.array([[1, 2, 1], [1, 1, 2]]).mean(axis=0)
    known = stats.ttest_1samp(differences, 0)
    low, high = known.confidence_interval(0.95)
    assert verdict.cells == 2
    assert verdict.replicates == 3
    assert verdict.effect_points == pytest.approx(differences.mean())
    assert (verdict.ci_low, verdict.ci_high) == pytest.approx((low, high))
    assert verdict.p == pytest.approx(known.pvalue)
    assert verdict.verdict == "supported"
    assert verdict.size_holds == "yes"


@pytest.mark.parametrize(
    ("scratch", "verdict", "much"),
    [
        ([0.95, 0.96, 0.95], "supported", "yes"),
        ([0.91, 0.915, 0.91], "supported", "no"),
        ([0.85, 0.85, 0.86], "contradicted", "no"),
        ([0.95, 0.80, 0.91], "inconclusive", "no"),
        ([0.90, 0.90, 0.90], "negligible", "no"),
    ],
)
def test_the_verdict_follows_from_the_interval_alone(
    scratch: list[float], verdict: str, much: str
) -> None:
    rows = pruned("neuron", "obd", 0.5, "fine_tune", [0.9] * 3)
    rows += pruned("neuron", "obd", 0.5, "scratch", scratch)
    found, _ = judged(rows)
    c3 = found["C3", "scratch - fine_tune", "neuron"]
    assert (c3.verdict, c3.size_holds) == (verdict, much)


def test_fewer_than_three_replicates_or_no_cell_is_not_tested() -> None:
    rows = pruned("neuron", "obd", 0.5, "fine_tune", [0.9] * 2)
    rows += pruned("neuron", "obd", 0.5, "scratch", [0.8] * 2)
    found, _ = judged(rows)
    assert found["C3", "scratch - fine_tune", "neuron"].verdict == "not tested"
    assert found["C2", "fine_tune - scratch", "parameter"].verdict == "not tested"
    assert found["C2", "fine_tune - scratch", "parameter"].cells == 0
    assert {claim for claim, _, _ in found} == {"C1", "C2", "C3", "C4", "E1", "E2"}
    assert all(v.meaning for v in found.values())


def c1_rows() -> list[dict]:
    """`magnitude` has the better validation, `obd` the better test accuracy at 0.9; below the
    boundary everything is reversed, and must not matter."""
    rows = pruned("parameter", "magnitude", 0.9, "fine_tune", [0.80, 0.81, 0.82], validation=0.9)
    rows += pruned("parameter", "obd", 0.9, "fine_tune", [0.95] * 3, validation=0.8)
    for reading in READINGS:
        rows += pruned("parameter", reading, 0.9, "fine_tune", [0.83, 0.85, 0.84], validation=1.0)
        rows += pruned("parameter", reading, 0.5, "fine_tune", [0.1] * 3, validation=1.0)
    rows += pruned("parameter", "magnitude", 0.5, "fine_tune", [0.99] * 3, validation=0.9)
    rows += pruned("parameter", "obd", 0.5, "fine_tune", [0.99] * 3, validation=0.9)
    return rows


def test_c1_takes_the_other_that_validation_accuracy_names_and_no_reading_as_other() -> None:
    found, details = judged(c1_rows())
    verdict = found["C1", "obd_sd", "parameter"]
    assert verdict.cells == 1
    assert verdict.effect_points == pytest.approx(np.mean([3, 4, 2]))
    detail = next(d for d in details if d.claim == "C1" and d.part == "obd_sd")
    assert detail.second == "magnitude"
    assert detail.place == "0.9"


def test_c1_shares_the_error_rate_among_its_three_readings() -> None:
    found, _ = judged(c1_rows())
    low, high = stats.ttest_1samp([3, 4, 2], 0).confidence_interval(1 - 0.05 / 3)
    c1, e2 = found["C1", "obd_signed", "parameter"], found["E2", "obd_signed", "parameter"]
    assert c1.confidence == pytest.approx(1 - 0.05 / 3)
    assert (c1.ci_low, c1.ci_high) == pytest.approx((low, high))
    assert e2.confidence == 0.95
    assert e2.effect_points == pytest.approx(np.mean([83, 85, 84]) - 95)


def test_c1_moves_with_the_configured_boundary() -> None:
    found, _ = judged(c1_rows(), substantial_parameter_sparsity=0.5)
    assert found["C1", "obd_sd", "parameter"].cells == 2


def test_c4_compares_with_the_best_pruned_network_that_is_no_larger() -> None:
    rows = pruned("parameter", "obd", 0.9, "fine_tune", [0.9] * 3, 0.9, bytes_stored=500)
    rows += pruned("parameter", "obd", 0.5, "fine_tune", [0.99] * 3, 0.99, bytes_stored=501)
    rows += pruned("neuron", "obd", 0.9, "scratch", [0.7, 0.72, 0.71], 0.95, bytes_stored=499)
    rows += [
        row(method="quantization", bits=b, regime="none", replicate=r, accuracy_test=0.8)
        | {"bytes_stored": size}
        for b, size in ((8, 500), (2, 10))
        for r in range(3)
    ]
    found, _ = judged(rows)
    best = found["C4", "8 bits, none", None]
    assert best.difference.startswith("90 % of neurons removed by obd, retrained from scratch")
    assert best.effect_points == pytest.approx(-9)
    assert best.verdict == "reported"
    assert found["C4", "2 bits, none", None].verdict == "not tested"


def test_details_are_holm_adjusted_within_one_comparison() -> None:
    rows = []
    for sparsity, gain in ((0.5, 0.01), (0.9, 0.05)):
        base = np.array([0.8, 0.81, 0.85, 0.79])
        rows += pruned("neuron", "obd", sparsity, "fine_tune", list(base))
        fresh = base + gain + np.array([0, 0.01, -0.01, 0.005])
        rows += pruned("neuron", "obd", sparsity, "scratch", list(fresh))
    _, details = judged(rows)
    one, other = (d for d in details if d.claim == "C3")
    low, high = sorted([one, other], key=lambda d: d.p or 0)
    assert low.p_holm == pytest.approx(min(1.0, 2 * (low.p or 0)))
    assert high.p_holm == pytest.approx(max(low.p_holm or 0, high.p or 0))
    assert not hasattr(one, "verdict")


def test_a_tie_in_validation_goes_to_the_first_criterion_of_the_grid() -> None:
    rows = pruned("parameter", "obd", 0.9, "fine_tune", [0.8] * 3)
    rows += pruned("parameter", "magnitude", 0.9, "fine_tune", [0.7] * 3)
    rows += pruned("parameter", "obd_sd", 0.9, "fine_tune", [0.8] * 3)
    _, details = judged(rows)
    assert next(d for d in details if d.claim == "C1").second == "obd"


def test_every_column_of_a_verdict_is_a_plain_value() -> None:
    found, details = judged(c1_rows())
    for record in [*found.values(), *details]:
        assert isinstance(record, Verdict | Detail)
        for value in asdict(record).values():
            assert value is None or type(value) in (str, int, float)


def test_equal_counts_of_right_answers_are_a_tie_whatever_their_last_bits() -> None:
    # 0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 differ in the last bit.
    rows = pruned("parameter", "magnitude", 0.9, "fine_tune", [0.8] * 3)
    rows += pruned("parameter", "obd", 0.9, "fine_tune", [0.7] * 3)
    rows += pruned("parameter", "obd_sd", 0.9, "fine_tune", [0.8] * 3)
    for r, (one, other) in enumerate(zip((0.1, 0.2, 0.3), (0.3, 0.2, 0.1), strict=True)):
        rows[r]["accuracy_validation"] = other
        rows[3 + r]["accuracy_validation"] = one
    _, details = judged(rows)
    assert next(d for d in details if d.claim == "C1").second == "magnitude"


def test_a_difference_that_is_nothing_but_rounding_is_no_difference() -> None:
    rows = []
    for criterion, tuned in (("obd", [0.1, 0.2, 0.3]), ("magnitude", [0.3, 0.2, 0.1])):
        rows += pruned("neuron", criterion, 0.5, "fine_tune", tuned)
        rows += pruned("neuron", criterion, 0.5, "scratch", [0.4 - a for a in tuned])
    found, _ = judged(rows)
    verdict = found["C3", "scratch - fine_tune", "neuron"]
    assert (verdict.effect_points, verdict.p, verdict.verdict) == (0.0, 1.0, "negligible")
