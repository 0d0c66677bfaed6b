"""Power against scipy's distributions, statsmodels and numerical integrals."""

import numpy as np
import pytest
from scipy import integrate, optimize, stats
from statsmodels.stats.power import TTestPower

from ablab.design.layout import Contrast
from ablab.stats.inference.forecast import detectable, equivalence, planned_noise, primary_target
from ablab.stats.inference.power import (
    Noise,
    PowerTarget,
    equivalence_power,
    finds,
    seeds_needed,
    smallest_found,
    spread,
)
from ablab.stats.inference.sequential import looks, nominal_alpha
from ablab.stats.inference.verdicts import Rules


@pytest.mark.parametrize(
    ("effect", "n", "level"), [(1.0, 3, 0.05), (0.7, 10, 0.01), (0.0, 5, 0.05), (2.5, 4, 0.05 / 7)]
)
def test_finding_is_the_power_of_a_paired_t_test(effect, n, level):
    expected = TTestPower().power(effect_size=effect, nobs=n, alpha=level, alternative="two-sided")
    assert finds(-effect, 1 / n**0.5, n - 1, level) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("effect", "seeds", "arms", "tests", "expected"),
    [
        (9.22, 2, 2, 1, 0.53),
        (9.22, 2, 2, 2, 0.28),
        (9.22, 3, 2, 1, None),
        (30, 2, 2, 6, None),
        (12, 2, 4, 3, None),
    ],
)
def test_finding_is_known_where_scipys_noncentral_t_is_not(effect, seeds, arms, tests, expected):
    """Differences of two arms with few degrees of freedom, against the integral over the estimated
    error.
    """
    dof, shift = (arms - 1) * (seeds - 1), effect / (2 / seeds) ** 0.5
    t = stats.t.isf(0.025 / tests, dof)

    def density(s):
        passes = stats.norm.cdf(shift - t * s) + stats.norm.cdf(-shift - t * s)
        return stats.chi.pdf(s * dof**0.5, dof) * dof**0.5 * passes

    integral, _ = integrate.quad(density, 0, np.inf, limit=500)
    found = finds(effect, (2 / seeds) ** 0.5, dof, 0.05 / tests)
    assert found == pytest.approx(integral, abs=1e-3)
    assert expected is None or found == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize(
    ("margin", "n", "dof"), [(1.5, 3, 6), (1.5, 3, 2), (1.0, 12, 33), (0.4, 40, 39), (0.1, 4, 9)]
)
def test_showing_nothing_is_the_integral_over_the_estimated_error(margin, n, dof):
    error, t = 1 / n**0.5, stats.t.isf(0.05, dof)

    def density(s):  # of the estimated over the true standard error
        return stats.chi.pdf(s * dof**0.5, dof) * dof**0.5

    def passes(s):
        return max(0.0, 2 * stats.norm.cdf(margin / error - t * s) - 1)

    limit = margin / error / t
    expected, _ = integrate.quad(lambda s: density(s) * passes(s), 0, limit, limit=200)
    assert equivalence_power(margin, error, dof) == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("family", [1, 6])
@pytest.mark.parametrize(
    ("arms", "sd", "margin"), [(2, 1.0, 1.0), (8, 1.0, 2.0), (8, 0.3, 0.1), (16, 0.01, 1.0)]
)
def test_seeds_needed_is_the_first_that_serves_both(arms, sd, margin, family):
    """Of the difference of two arms; against a plain search with scipy's noncentral t, and
    simulated one-sided tests.
    """
    rng = np.random.default_rng(1)

    def serves(n):
        error, dof = sd * (2 / n) ** 0.5, (arms - 1) * (n - 1)
        critical = stats.t.isf(0.025 / family, dof)
        found = stats.nct.sf(critical, dof, margin / error) + stats.nct.cdf(
            -critical, dof, margin / error
        )
        estimate, s = (
            error * rng.normal(size=100_000),
            error * np.sqrt(rng.chisquare(dof, 100_000) / dof),
        )
        return min(found, (abs(estimate) < margin - stats.t.isf(0.05 / family, dof) * s).mean())

    n = seeds_needed(Noise(2 * sd**2, arms - 1), margin, PowerTarget(family))
    assert n is not None
    assert serves(n) >= 0.795
    assert n == 4 or serves(n - 1) < 0.805


def test_seeds_that_no_study_has():
    assert seeds_needed(Noise(1.0, 3), 1e-3, PowerTarget()) is None
    assert seeds_needed(Noise(1.0, 3), 0.0, PowerTarget()) is None
    assert (
        seeds_needed(Noise(1.0, 3, draws=4, between_draws=1.0), 0.5, PowerTarget()) is None
    )  # what drawing leaves is no matter of seeds
    assert seeds_needed(Noise(0.0, 3), 0.1, PowerTarget()) == 4


def test_the_smallest_effect_found():
    error, dof, level = (2 / 5) ** 0.5, 12, 0.05 / 3
    critical = stats.t.isf(level / 2, dof)
    expected = optimize.brentq(lambda d: stats.nct.sf(critical, dof, d / error) - 0.8, 0, 20)
    assert smallest_found(Noise(2.0, 3), 5, PowerTarget(3)) == pytest.approx(expected, rel=1e-6)


def test_every_arm_of_a_comparison_is_detected_by_its_paired_t():
    questions = [Contrast(a, "change", {a: 1.0, "a": -1.0}) for a in "bcd"]
    questions.append(Contrast("x", "interaction", {"a": 4.0, "b": -4.0}))
    error, dof, level = 0.1 * (2 / 5) ** 0.5, 4, 0.05 / 3
    critical = stats.t.isf(level / 2, dof)
    expected = optimize.brentq(lambda d: stats.nct.sf(critical, dof, d / error) - 0.8, 1e-3, 2)
    target = primary_target(questions, Rules(1.0, sign=-1))
    found = detectable(planned_noise(questions, 0.1), 5, target)
    assert found == pytest.approx(expected, rel=1e-6)


def test_looks_cost_power():
    questions, planned = [Contrast("b", "change", {"b": 1.0, "a": -1.0})], looks(4, 12)
    noises = planned_noise(questions, 1.0)
    once, often = (detectable(noises, 12, PowerTarget(looks=p)) for p in ((), planned))
    critical = stats.t.isf(nominal_alpha(0.05, 12, planned) / 2, 11)
    assert stats.nct.sf(critical, 11, often / (2 / 12) ** 0.5) == pytest.approx(0.8, abs=1e-4)
    assert once < often


def test_nothing_to_detect():
    total = Contrast("t", "total", {"b": 1.0, "a": -1.0})
    assert planned_noise([total], 1.0) == []
    assert detectable([], 4, PowerTarget()) is None


def test_the_noise_in_the_spread_of_drawn_parts():
    parts = ({"a": -1.0, "b": 1.0}, {"b": -0.5, "c": 0.5}, {"a": -1.0, "c": 1.0})
    mean = {arm: sum(p.get(arm, 0.0) for p in parts) / 3 for arm in "abc"}
    values = np.random.default_rng(0).normal(size=(200_000, 3))
    drawn = np.array([[p.get(arm, 0.0) for arm in "abc"] for p in parts])
    expected = (values @ drawn.T).var(
        axis=1, ddof=1
    ).mean() / 3  # squared standard errors of the mean over draws
    assert spread(Contrast("x", "change", mean, parts=parts)) == pytest.approx(expected, rel=0.02)
    assert spread(Contrast("x", "change", mean)) == 0.0


def test_drawn_orders_add_to_the_error():
    error, dof = Noise(2.0, 3, draws=5, spread=1.0, between_draws=0.1).at(4)
    assert error**2 == pytest.approx(2 / 4 + 1 / 4 + 0.1)
    assert dof == pytest.approx(error**4 / (0.5**2 / 9 + 0.35**2 / 4))  # Satterthwaite


def tost_power(margin, error, dof, level):
    """The power of two one-sided t tests for an effect of zero, by a sum over a fine grid of the
    estimated standard error.
    """
    shares = (np.arange(200_000) + 0.5) / 200_000
    estimated = np.sqrt(stats.chi2.ppf(shares, dof) / dof)
    reach = margin / error - stats.t.isf(level, dof) * estimated
    return np.maximum(0.0, 2 * stats.norm.cdf(reach) - 1).mean()


def test_equivalence_is_foretold_for_the_least_precise_change():
    precise, least = Noise(1.0, 1.0), Noise(2.0, 1.0)
    shown = equivalence([precise, least], 8, 1.5, PowerTarget(2))
    assert shown.power == pytest.approx(tost_power(1.5, (2 / 8) ** 0.5, 7, 0.025), abs=1e-4)
    needed = next(n for n in range(4, 100) if tost_power(1.5, (2 / n) ** 0.5, n - 1, 0.025) >= 0.8)
    assert shown.seeds_needed == needed > 8
    enough = equivalence([precise, least], needed, 1.5, PowerTarget(2))
    assert enough.power >= 0.8


def test_looks_cost_the_power_of_equivalence():
    """It is that at the one-sided level of the last look."""
    planned = looks(4, 12)
    noise = Noise(2.0, 1.0)
    shown = equivalence([noise], 12, 1.5, PowerTarget(looks=planned))
    level = nominal_alpha(0.05, 12, planned, sides=1)
    assert shown.power == pytest.approx(tost_power(1.5, (2 / 12) ** 0.5, 11, level), abs=1e-4)
    fixed = equivalence([noise], 12, 1.5, PowerTarget())
    assert shown.power < fixed.power
    assert shown.seeds_needed == fixed.seeds_needed


def test_equivalence_that_no_study_shows():
    shown = equivalence([Noise(1e8, 1.0)], 4, 0.01, PowerTarget())
    assert shown.seeds_needed is None
    assert shown.power < 1e-6
