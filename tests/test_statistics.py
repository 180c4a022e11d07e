"""The statistics against scipy, and where scipy gives NaN, against the definition."""

import math

import numpy as np
import pytest
from scipy import stats

from minified.analysis.statistics import holm, interval

SAMPLES = [
    [0.1, 0.4, -0.2, 0.3, 0.05],
    [1e-9, 2e-9, -3e-9],
    [12.0, 11.0],
    list(np.random.default_rng(0).normal(0.3, 1.0, 40)),
]


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("confidence", [0.95, 1 - 0.05 / 3])
def test_the_interval_and_p_are_those_of_the_paired_t_test(
    sample: list[float], confidence: float
) -> None:
    first = np.arange(len(sample), dtype=float)
    known = stats.ttest_rel(first + np.array(sample), first)
    low, high = known.confidence_interval(confidence)
    found = interval(list(first + np.array(sample) - first), confidence)
    assert found.replicates == len(sample)
    np.testing.assert_allclose(
        [found.mean, found.low, found.high, found.p],
        [np.mean(first + np.array(sample) - first), low, high, known.pvalue],
        rtol=1e-9,
    )


@pytest.mark.parametrize(("value", "p"), [(0.0, 1.0), (0.3, 0.0), (-2.0, 0.0)])
def test_with_zero_spread_the_interval_is_the_point(value: float, p: float) -> None:
    found = interval([value] * 4)
    assert (found.mean, found.low, found.high, found.p) == (value, value, value, p)


def test_one_replicate_has_a_mean_and_no_interval() -> None:
    found = interval([3.0])
    assert found.mean == 3.0
    assert math.isnan(found.low)
    assert math.isnan(found.p)


@pytest.mark.parametrize("bad", [[], [1.0, math.nan], [math.inf]])
def test_what_is_no_sample_is_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        interval(bad)


def test_holm_multiplies_by_the_hypotheses_left_and_never_falls() -> None:
    # By hand: 0.01 x 4, 0.02 x 3, 0.03 x 2 -> 0.06, 0.5 x 1.
    assert holm([0.02, 0.5, 0.01, 0.03]) == pytest.approx([0.06, 0.5, 0.04, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_leaves_what_was_not_tested_out_of_the_family() -> None:
    found = holm([math.nan, 0.01])
    assert math.isnan(found[0])
    assert found[1] == 0.01
