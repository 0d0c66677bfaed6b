"""The response surface of tuning, against plain least squares and simulated tunings."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from ablab.stats.tuning.response_surface import Excess, Trials, fit_surface

OPTIMA = np.array([0.3, 0.7, -0.2])
GRID = np.array([-1.0, 0.0, 1.0, 2.0])
ARM = np.repeat(np.arange(3), 4)
X = np.tile(GRID, 3)


def losses(curvature=0.15, optima=OPTIMA):
    """Exact bowls whose minima are 2, 3 and 4."""
    return 2.0 + ARM + curvature * (X - optima[ARM]) ** 2


def test_exact_bowls_are_recovered():
    surface = fit_surface(Trials(ARM, X, losses(), 1.0))
    assert_allclose(surface.optimum, OPTIMA, atol=1e-6)
    assert_allclose(surface.curvature, 0.15, atol=1e-6)
    assert_allclose(surface.minimum, [2, 3, 4], atol=1e-6)
    assert_allclose(surface.sd, 0, atol=1e-6)
    assert_allclose(surface.excess(np.array([1.0, -1.0, 0.0])).variance, 0, atol=1e-12)
    assert_allclose(surface.loss(np.array([1.3]))[0], 2.15, atol=1e-6)
    assert not surface.at_edge.any()


def test_the_fit_is_weighted_least_squares_about_the_optimum():
    noisy = losses() + 0.02 * np.random.default_rng(1).standard_normal(12)
    surface = fit_surface(Trials(ARM, X, noisy, 1.0))
    # The weights written out, and a fit by numpy's least squares in absolute coordinates.
    near = np.clip(1 - ((X - surface.optimum[ARM]) / 2.5) ** 2, 0, None) ** 2
    excess = noisy - np.array([noisy[arm == ARM].min() for arm in ARM])
    weight = near / (1 + (excess / (4 * np.median(excess))) ** 4)
    columns = [ARM == 0, ARM == 1, ARM == 2]
    design = np.column_stack([*columns, *(c * X for c in columns), X**2]).astype(float)
    root = np.sqrt(weight)
    values = np.linalg.lstsq(design * root[:, None], noisy * root, rcond=None)[0]
    assert_allclose(surface.curvature, values[6], rtol=1e-3)
    assert_allclose(surface.optimum, -values[3:6] / (2 * values[6]), atol=2e-3)


def test_studies_in_a_batch_are_independent():
    noisy = losses() + 0.05 * np.random.default_rng(2).standard_normal((5, 12))
    batch = fit_surface(Trials(ARM, X, noisy, 1.0))
    for i in range(5):
        single = fit_surface(Trials(ARM, X, noisy[i], 1.0))
        assert_allclose(batch.optimum[i], single.optimum, atol=1e-9)
        assert_allclose(batch.covariance[i], single.covariance, atol=1e-9)


def test_the_stated_error_is_the_spread_of_the_optima():
    noisy = losses() + 0.02 * np.random.default_rng(3).standard_normal((4000, 12))
    surface = fit_surface(Trials(ARM, X, noisy, 1.0))
    spread = surface.optimum.std(0)
    assert_allclose(np.sqrt((surface.error**2).mean(0)), spread, rtol=0.15)
    assert_allclose(np.sqrt((surface.sd**2).mean()), 0.02, rtol=0.1)


@pytest.mark.parametrize("last", [np.nan, np.inf, 9.0])
def test_a_diverged_or_exploding_trial_does_not_move_the_optimum(last):
    values = losses()
    values[3] = last
    surface = fit_surface(Trials(ARM, X, values, 1.0))
    assert_allclose(surface.optimum, OPTIMA, atol=0.06)


def test_an_arm_whose_trials_near_the_optimum_diverged_is_fitted_from_the_others():
    values = losses()
    values[[1, 2]] = np.nan
    surface = fit_surface(Trials(ARM, X, values, 1.0))
    assert_allclose(surface.optimum, OPTIMA, atol=1e-4)


def test_an_optimum_beyond_the_trials_is_their_edge():
    surface = fit_surface(Trials(ARM, X, losses(optima=np.array([3.5, 0.5, -4.0])), 1.0))
    assert_allclose(surface.optimum, [2, 0.5, -1], atol=1e-5)
    assert surface.at_edge.tolist() == [True, False, True]


def test_a_hollow_surface_still_has_an_optimum_within_the_trials():
    surface = fit_surface(Trials(ARM, X, losses(curvature=-0.1), 1.0))
    assert surface.curvature > 0
    assert (np.abs(surface.optimum - 0.5) <= 1.5).all()


def test_seeds_are_blocks():
    seed = np.tile([0, 0, 1, 1], 3)
    shifted = losses() + 0.5 * seed
    surface = fit_surface(Trials(ARM, X, shifted, 1.0, seed))
    assert_allclose(surface.optimum, OPTIMA, atol=1e-4)


def test_an_arm_without_a_finite_trial_is_refused():
    values = losses()
    values[:4] = np.nan
    with pytest.raises(ValueError, match="no finite trial"):
        fit_surface(Trials(ARM, X, values, 1.0))


def test_satterthwaites_degrees_of_freedom():
    excess = Excess(np.array(3.0), np.array(2.0))
    variance, dof = excess.added_to(np.array(1.0), np.array(5.0))
    assert variance == 4
    assert dof == pytest.approx(16 / (1 / 5 + 9 / 2))
    _, capped = Excess(np.array(0.1), np.array(2.0)).added_to(np.array(1.0), np.array(5.0))
    assert capped == 5  # the formula alone gives 5.9
    _, none = Excess(np.array(0.0), np.array(2.0)).added_to(np.array(0.0), np.array(5.0))
    assert none == 5
