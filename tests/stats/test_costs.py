"""Ratios of costs, by hand, against scipy called directly, and on simulated timings."""

import numpy as np
import pytest
from scipy import stats

from ablab.stats.costs import Ratio, log_table, measured_ratio, ratio


def test_a_ratio_of_two_arms():
    assert ratio({"mqa": 3.0, "base": 24.0}, {"mqa": 1.0, "base": -1.0}) == Ratio(
        pytest.approx(1 / 8)
    )


def test_a_main_effect_is_a_ratio_of_geometric_means():
    # rope costs 5 % and swiglu 20 %, and costs multiply: the factorial gives both back.
    costs = {"base": 10.0, "rope": 10.5, "swiglu": 12.0, "both": 12.6}
    assert ratio(
        costs, {"rope": 0.5, "both": 0.5, "base": -0.5, "swiglu": -0.5}
    ).value == pytest.approx(1.05)
    assert ratio(
        costs, {"swiglu": 0.5, "both": 0.5, "base": -0.5, "rope": -0.5}
    ).value == pytest.approx(1.2)


@pytest.mark.parametrize("base", [None, 0.0, -1.0, float("nan")])
def test_a_cost_that_is_missing_or_not_positive_has_no_ratio(base):
    costs = {"a": 1.0, "base": base, "c": 2.0}
    assert ratio(costs, {"a": 1.0, "base": -1.0}).value is None
    assert ratio(costs, {"a": 1.0, "unknown": -1.0}).value is None
    assert ratio(costs, {"a": 1.0, "c": -1.0, "base": 0.0}).value == 0.5
    if base is not None:
        cells = {(arm, seed): cost for arm, cost in costs.items() for seed in range(2)}
        assert measured_ratio(log_table(cells), {"a": 1.0, "base": -1.0}).value is None
        assert measured_ratio(log_table(cells), {"a": 1.0, "c": -1.0}).value == pytest.approx(0.5)


def test_nothing_measured_has_no_ratio():
    assert log_table({}) is None
    assert log_table({("a", 0): 0.0}) is None
    assert measured_ratio(None, {"a": 1.0, "b": -1.0}) == Ratio(None)


def test_the_interval_of_two_arms_is_that_of_a_paired_t_test_of_logarithms():
    a, b = np.array([1.1, 1.3, 1.05, 1.2]), np.array([1.0, 1.1, 1.0, 1.12])
    cells = {
        (arm, seed): cost for arm, costs in (("a", a), ("b", b)) for seed, cost in enumerate(costs)
    }
    found = measured_ratio(log_table(cells), {"a": 1.0, "b": -1.0})
    interval = stats.ttest_rel(np.log(a), np.log(b)).confidence_interval(0.95)
    assert found.value == pytest.approx(stats.gmean(a) / stats.gmean(b))
    assert (found.low, found.high) == pytest.approx((np.exp(interval.low), np.exp(interval.high)))
    assert found.differs == (interval.low > 0)


def test_one_seed_gives_a_ratio_that_nothing_is_said_of():
    found = measured_ratio(log_table({("a", 0): 3.0, ("b", 0): 2.0}), {"a": 1.0, "b": -1.0})
    assert found.value == pytest.approx(1.5)
    assert (found.low, found.high, found.differs) == (None, None, False)


@pytest.mark.parametrize("true", [1.0, 1.2])
def test_intervals_of_simulated_timings_cover_the_ratio(true):
    """2,000 studies of three arms and three seeds with 5 % of noise; the standard error of the
    coverage is 0.5 %.
    """
    rng, covered = np.random.default_rng(7), 0
    for _ in range(2000):
        times = rng.lognormal(0.0, 0.05, (3, 3)) * rng.lognormal(
            0.0, 0.1, 3
        )  # a seed's runs share a slow hour
        times[1] *= true
        cells = {("abc"[i], seed): times[i, seed] for i in range(3) for seed in range(3)}
        found = measured_ratio(log_table(cells), {"b": 1.0, "a": -1.0})
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= true <= found.high
    assert covered / 2000 == pytest.approx(0.95, abs=0.015)
