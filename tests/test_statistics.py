"""The statistics against scipy, and where scipy gives NaN, against the definition."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from minified.analysis.statistics import POWER, holm, interval, smallest_detectable

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


def sample(replicates: int, spread: float = 1.0) -> list[float]:
    """Values with exactly this standard deviation (ddof 1)."""
    x = np.random.default_rng(replicates).normal(size=replicates)
    return list(spread * (x - x.mean()) / x.std(ddof=1))


def power_of(effect: float, replicates: int, confidence: float) -> float:
    """The power of the two-sided t test at a standardised effect, from scipy's distribution."""
    limit = stats.t.ppf((1 + confidence) / 2, replicates - 1)
    shifted = stats.nct(replicates - 1, effect * math.sqrt(replicates))
    # Of the far tail scipy says NaN where it is next to nothing.
    return float(shifted.sf(limit) + np.nan_to_num(shifted.cdf(-limit)))


def power_by_quadrature(effect: float, replicates: int, confidence: float) -> float:
    """The same as an integral over the spread that a study of these replicates happens to see."""
    limit = stats.t.ppf((1 + confidence) / 2, replicates - 1)
    shift = effect * math.sqrt(replicates)
    seen = stats.chi(replicates - 1, scale=1 / math.sqrt(replicates - 1))

    def density(s: float) -> float:
        found = stats.norm.sf(limit * s - shift) + stats.norm.cdf(-limit * s - shift)
        return float(found * seen.pdf(s))

    return float(integrate.quad(density, 0, 10, limit=500)[0])


@pytest.mark.parametrize("replicates", [2, 3, 5, 10, 20, 100, 10_000])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 1 - 0.05 / 3, 1 - 0.05 / 4])
@pytest.mark.parametrize("power", [POWER, 0.95])
def test_an_effect_that_can_just_be_found_is_found_with_the_power_asked_for(
    replicates: int, confidence: float, power: float
) -> None:
    spread = 1.7
    found = smallest_detectable(sample(replicates, spread), confidence, power)
    assert power_of(found / spread, replicates, confidence) == pytest.approx(power, abs=1e-6)
    if replicates <= 20:
        known = power_by_quadrature(found / spread, replicates, confidence)
        assert known == pytest.approx(power, abs=1e-6)


# With 3 replicates and 98.75 % it finds no solution: scipy's tail is NaN there.
@pytest.mark.parametrize("replicates", [5, 10, 20])
@pytest.mark.parametrize("confidence", [0.95, 1 - 0.05 / 4])
def test_the_smallest_detectable_effect_is_that_of_statsmodels(
    replicates: int, confidence: float
) -> None:
    from statsmodels.stats.power import TTestPower

    known = TTestPower().solve_power(
        nobs=replicates, alpha=1 - confidence, power=0.8, alternative="two-sided"
    )
    assert smallest_detectable(sample(replicates), confidence) == pytest.approx(known, rel=1e-5)


@pytest.mark.parametrize("replicates", [3, 5, 20])
def test_in_simulated_studies_the_test_finds_it_four_times_in_five(replicates: int) -> None:
    # The effect is that of the true spread.
    effect = smallest_detectable(sample(replicates))
    studies = np.random.default_rng(7).normal(effect, 1.0, (40_000, replicates))
    found = np.mean(stats.ttest_1samp(studies, 0.0, axis=1).pvalue < 0.05)
    assert found == pytest.approx(0.8, abs=0.008)


def test_it_is_of_use_even_with_two_replicates_and_a_confidence_next_to_certainty() -> None:
    # With one degree of freedom and an enormous limit, the power is P(|Z'| < effect / limit).
    confidence = 0.999_999_999
    limit = stats.t.isf((1 - confidence) / 2, 1)
    known = stats.norm.ppf(0.9) * limit / math.sqrt(2)
    assert smallest_detectable(sample(2), confidence) == pytest.approx(known, rel=1e-6)
    # With many replicates it is the normal distribution's.
    found = smallest_detectable(sample(10_000)) * 100
    assert found == pytest.approx(stats.norm.ppf(0.975) + stats.norm.ppf(0.8), rel=1e-3)


def test_without_spread_any_effect_is_found_and_one_replicate_says_nothing() -> None:
    assert smallest_detectable([0.3] * 5) == 0.0
    assert math.isnan(smallest_detectable([0.3]))
    # A test that is wrong more often than the power asked for finds whatever it likes.
    assert smallest_detectable(sample(5), confidence=0.1) == 0.0


def test_more_replicates_less_spread_and_less_confidence_find_smaller_effects() -> None:
    base = smallest_detectable(sample(5))
    assert smallest_detectable(sample(20)) < base / 2
    assert smallest_detectable(sample(5, 0.5)) == pytest.approx(base / 2)
    assert smallest_detectable(sample(5), 1 - 0.05 / 4) > base
    assert smallest_detectable(sample(5), power=0.9) > base


@pytest.mark.parametrize("bad", [[], [1.0, math.nan], [math.inf]])
def test_no_smallest_effect_of_what_is_no_sample(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        smallest_detectable(bad)
    with pytest.raises(ValueError, match="power"):
        smallest_detectable([1.0, 2.0], power=1.0)
