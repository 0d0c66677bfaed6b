"""Runs and arms that stand out, and the test of equal variances."""

import numpy as np
import pytest
from scipy import stats

from ablab.stats.checks.equal_variances import compare_variances
from ablab.stats.checks.outliers import find_outliers, without_seed_effects
from ablab.stats.inference.table import Table
from benchmarks.outlier_rates import outlier_rates
from benchmarks.simulated_studies import designs

ARMS = ["a", "b", "c", "d"]


def table_of(values):
    return Table(ARMS[: values.shape[1]], values, np.ones(values.shape[1:], bool))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["compare 4", "2^(6-2)"])
@pytest.mark.parametrize("seeds", [4, 6, 8, 12])
def test_unlucky_arms_are_flagged_and_equal_ones_seldom(name, seeds):
    flagged, false_flags = outlier_rates(designs()[name], seeds, 4000)
    assert flagged >= 0.90
    assert false_flags <= 0.055  # 5 % and two standard errors of 4000 studies


@pytest.mark.slow
def test_false_flags_stay_rare_with_seed_effects_and_missing_runs():
    rng = np.random.default_rng(1)
    runs = rng.standard_normal((4000, 4, 8)) + 3 * rng.standard_normal((4000, 1, 8))
    present = np.ones((4, 8), bool)
    present[0, 4:] = present[2, 6:] = False
    table = Table(ARMS, np.where(present, runs, np.nan), present)
    assert find_outliers(table).any.mean() <= 0.055


def test_the_run_far_from_its_arm_is_named_with_its_distance():
    rng = np.random.default_rng(2)
    values = 0.1 * rng.standard_normal((1, 4, 8))
    values += rng.normal(3, 1, (1, 4, 1)) + rng.normal(0, 1, (1, 1, 8))
    values[0, 2, 5] += 2.0
    found = find_outliers(table_of(values))
    assert list(zip(*np.nonzero(found.runs[0]), strict=True)) == [(2, 5)]
    assert found.distance[0, 2, 5] == pytest.approx(20, rel=0.3)
    assert found.arms[0].tolist() == [False, False, True, False]


def test_figures_depend_on_no_arm_mean_and_no_seed_effect_and_no_unit():
    rng = np.random.default_rng(3)
    values = rng.standard_normal((5, 4, 6))
    moved = 7 * values + rng.normal(0, 50, (5, 4, 1))
    seeds = rng.normal(0, 50, (5, 1, 6))
    found, again, other = (find_outliers(table_of(v)) for v in (values, moved, moved + seeds))
    np.testing.assert_allclose(again.distance, found.distance, atol=1e-9)
    np.testing.assert_allclose(again.ratio, found.ratio)
    np.testing.assert_allclose(other.distance, found.distance, atol=1e-9)


def test_residuals_are_those_of_a_regression_on_arms_and_seeds():
    rng = np.random.default_rng(4)
    values = rng.standard_normal((1, 3, 5))
    present = np.ones((3, 5), bool)
    present[1, 3:] = False
    table = Table(ARMS[:3], np.where(present, values, np.nan), present)
    cells = [(a, s) for a in range(3) for s in range(5) if present[a, s]]
    design = np.array(
        [[*(a == i for i in range(3)), *(s == j for j in range(5))] for a, s in cells]
    )
    y = np.array([values[0, a, s] for a, s in cells])
    fitted = design @ np.linalg.lstsq(design, y, rcond=None)[0]
    np.testing.assert_allclose(without_seed_effects(table)[0][present], y - fitted, atol=1e-12)


def test_rounding_errors_do_not_stand_out():
    """Without noise, residuals are rounding errors, which depend on the CPU."""
    rng = np.random.default_rng(0)
    for shape in ((3, 2), (4, 6), (16, 6)):
        values = 3.0 + rng.normal(size=(200, shape[0], 1)) + rng.normal(size=(200, 1, shape[1]))
        assert not (np.abs(find_outliers(table_of(values)).distance) > 0).any()
        assert not without_seed_effects(table_of(values)).any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (2, 1), (2, 2), (3, 2)])
def test_small_and_constant_studies_are_taken(shape):
    for values in (np.zeros((1, *shape)), np.arange(np.prod(shape), dtype=float)[None]):
        found = find_outliers(table_of(values.reshape(1, *shape)))
        assert not found.any[0]
        compare_variances(table_of(values.reshape(1, *shape)))


def test_variances_are_compared_as_by_hand():
    rng = np.random.default_rng(5)
    values = rng.standard_normal((1, 4, 6)) * np.array([1, 1, 0.5, 6])[:, None]
    v = values[0]
    residuals = v - v.mean(0) - v.mean(1, keepdims=True) + v.mean()
    apart = [np.abs(row - np.median(row)) for row in residuals]
    expected = stats.f_oneway(*apart).pvalue
    found = compare_variances(table_of(values))
    assert found is not None
    assert found.p == pytest.approx(expected)
    assert found.highest_arm == "d"
    assert found.highest_sd == pytest.approx(residuals[3].std(ddof=1))
    assert found.lowest_sd == pytest.approx(min(row.std(ddof=1) for row in residuals))


def test_equal_variances_are_seldom_called_unequal():
    rng = np.random.default_rng(6)
    found = [compare_variances(table_of(rng.standard_normal((1, 4, 6)))) for _ in range(600)]
    assert np.mean([result is not None and result.p < 0.05 for result in found]) <= 0.07
