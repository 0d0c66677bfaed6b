"""Meta-analysis against a published example, and against formulas written out."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq

from ablab.stats.meta import (
    Measured,
    clusters_of,
    combined,
    correlations,
    pool,
)
from ablab.stats.meta_regression import trend

# Thirteen trials of the BCG vaccine: log relative risk, its variance, and the absolute latitude, as
# `escalc(measure="RR", data=dat.bcg)` of metafor has them (Viechtbauer 2010, section 3).
BCG = [
    (-0.8893, 0.3256, 44),
    (-1.5854, 0.1946, 55),
    (-1.3481, 0.4154, 42),
    (-1.4416, 0.0200, 52),
    (-0.2175, 0.0512, 13),
    (-0.7861, 0.0069, 44),
    (-1.6209, 0.2230, 19),
    (0.0120, 0.0040, 13),
    (-0.4694, 0.0564, 27),
    (-1.3713, 0.0730, 42),
    (-0.3394, 0.0124, 18),
    (0.4459, 0.5325, 33),
    (-0.0173, 0.0714, 33),
]
MANY = 1e9  # degrees of freedom of a variance that counts as known
TRIALS = [Measured(effect, variance, MANY) for effect, variance, _ in BCG]


def test_the_spread_between_trials_is_the_published_one():
    # Viechtbauer 2010 lists 0.3181 for the empirical Bayes estimator, which equals Paule and
    # Mandel's (1982), and an I² of 92 %.
    pooled = pool(TRIALS)
    assert pooled.tau is not None
    assert pooled.tau**2 == pytest.approx(0.3181, abs=1e-4)
    assert pooled.i2 == pytest.approx(0.92, abs=0.005)


def test_the_mean_and_the_prediction_follow_their_formulas():
    values, variances = np.array(BCG)[:, 0], np.array(BCG)[:, 1]

    def mean(tau2):
        return np.average(values, weights=1 / (variances + tau2))

    def equation(tau2):
        return ((values - mean(tau2)) ** 2 / (variances + tau2)).sum() - 12

    tau2 = brentq(equation, 0, 10)
    weights = 1 / (variances + tau2)
    factor = (weights * (values - mean(tau2)) ** 2).sum() / 12
    error = math.sqrt(factor / weights.sum())
    pooled = pool(TRIALS)
    assert pooled.estimate == pytest.approx(mean(tau2), abs=1e-6)
    assert pooled.high - pooled.low == pytest.approx(2 * stats.t.ppf(0.975, 12) * error, rel=1e-4)
    assert pooled.prediction is not None
    reach = stats.t.ppf(0.975, 12) * values.std(ddof=1) * math.sqrt(1 + 1 / 13)
    assert pooled.prediction[1] - pooled.estimate == pytest.approx(reach, rel=1e-4)


def test_the_prediction_uses_the_spread_of_settings_within_clusters():
    settings = [-0.2, 0.2, 0.0, 0.1, -0.1]
    pooled = pool([Measured(0.0, 0.01, MANY)] * 3, settings)
    assert pooled.prediction is not None
    # Their sample variance is 0.1 / 4; three clusters leave two degrees of freedom.
    reach = stats.t.ppf(0.975, 2) * math.sqrt(0.1 / 4) * math.sqrt(4 / 3)
    assert pooled.prediction[1] == pytest.approx(reach)


def test_the_unit_makes_no_difference():
    small = pool([Measured(m.estimate / 1e4, m.variance / 1e8, MANY) for m in TRIALS])
    assert small.estimate * 1e4 == pytest.approx(pool(TRIALS).estimate, rel=1e-4)
    assert small.low * 1e4 == pytest.approx(pool(TRIALS).low, rel=1e-4)


def test_estimates_that_agree_keep_an_error():
    pooled = pool([Measured(0.5, 1.0, MANY)] * 4)
    # Without a spread, the error of the mean of four estimates of variance one is one half.
    assert pooled.tau == 0
    assert pooled.high - 0.5 == pytest.approx(stats.t.ppf(0.975, 3) * 0.5, rel=1e-6)


def test_two_clusters_have_no_prediction_and_one_has_its_own_interval():
    assert pool(TRIALS[:2]).prediction is None
    alone = pool([Measured(1.0, 0.04, 5)])
    assert (alone.tau, alone.prediction) == (None, None)
    assert alone.high == pytest.approx(1 + 0.2 * stats.t.ppf(0.975, 5))


def test_latitude_explains_most_of_the_spread():
    # The slope of the published mixed-effects model is −0.0291 with REML (Viechtbauer 2010).
    found = trend(TRIALS, [latitude for _, _, latitude in BCG])
    assert found is not None
    assert found.slope == pytest.approx(-0.0291, abs=0.001)
    assert found.low < found.slope < found.high < 0
    assert found.p < 0.01


def test_a_trend_needs_four_estimates_at_three_places():
    assert trend(TRIALS[:3], [1, 2, 3]) is None
    assert trend(TRIALS[:5], [1, 1, 2, 2, 2]) is None


def test_contrasts_that_share_a_baseline_are_correlated_by_one_half():
    first = {"a1": 0.5, "a2": 0.5, "base1": -0.5, "base2": -0.5}
    second = {"b1": 0.5, "b2": 0.5, "base1": -0.5, "base2": -0.5}
    assert correlations([first, second, {}]) == pytest.approx(
        np.array([[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]])
    )


def test_clusters_join_shared_runs_and_equal_settings():
    matrix = np.eye(4)
    matrix[0, 2] = matrix[2, 0] = 0.5
    assert clusters_of(matrix, ["w", "x", "y", "x"]) == [[0, 2], [1, 3]]


def test_a_cluster_has_the_variance_of_the_mean_of_correlated_estimates():
    pair = [Measured(1.0, 4.0, 10), Measured(3.0, 4.0, 10)]
    matrix = np.array([[1.0, 0.5], [0.5, 1.0]])
    # Var((x + y) / 2) = (4 + 4 + 2 · 2) / 4
    assert combined(pair, matrix) == Measured(2.0, 3.0, 10.0)
    # Independent: Satterthwaite's degrees of freedom add up.
    assert combined(pair, np.eye(2)) == Measured(2.0, 2.0, 20.0)


@pytest.mark.parametrize(
    "bad", [[], [Measured(1.0, 0.0, 5)], [Measured(1.0, math.nan, 5)], [Measured(1.0, 1.0, 2)]]
)
def test_what_cannot_be_weighed_is_refused(bad):
    with pytest.raises(ValueError, match=r"pool|variance"):
        pool(bad)
