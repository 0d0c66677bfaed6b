"""Effects against scipy and statsmodels called directly, and against simulated studies with known
answers.
"""

import numpy as np
import pytest
import statsmodels.formula.api as smf
from pandas import DataFrame
from scipy import stats

from ablab.stats.effects import effect, fit, mean_sd

RNG = np.random.default_rng(0)


def simulated(arms, seeds, effects=None, rng=RNG):
    of_seed = rng.normal(0, 3, seeds)
    return {
        (a, s): 10 + (effects or {}).get(a, 0.0) + of_seed[s] + rng.normal(0, 1)
        for a in arms
        for s in range(seeds)
    }


def test_two_arms_are_a_paired_t_test():
    cells = simulated("ab", 5)
    a, b = (np.array([cells[arm, s] for s in range(5)]) for arm in "ab")
    reference = stats.ttest_rel(a, b)
    result = effect(fit(cells), {"a": 1.0, "b": -1.0})
    assert result.estimate == pytest.approx((a - b).mean())
    assert result.p == pytest.approx(reference.pvalue)
    interval = reference.confidence_interval(0.95)
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high))


@pytest.mark.parametrize("missing", [[], [("b", 1), ("d", 0)]])
def test_contrasts_are_those_of_a_two_way_model(missing):
    cells = {k: v for k, v in simulated("abcd", 4).items() if k not in missing}
    frame = DataFrame([{"arm": a, "seed": s, "y": y} for (a, s), y in cells.items()])
    model = smf.ols("y ~ C(arm) + C(seed)", frame).fit()
    fitted = fit(cells)
    assert fitted.dof == model.df_resid
    for arm in "bcd":
        result = effect(fitted, {arm: 1.0, "a": -1.0})
        assert result.estimate == pytest.approx(model.params[f"C(arm)[T.{arm}]"])
        assert result.p == pytest.approx(model.pvalues[f"C(arm)[T.{arm}]"])
        assert (result.low, result.high) == pytest.approx(
            tuple(model.conf_int().loc[f"C(arm)[T.{arm}]"])
        )


def test_means_of_complete_arms_are_their_averages():
    cells = simulated("abc", 3)
    for arm, mean in fit(cells).means.items():
        assert mean == pytest.approx(np.mean([cells[arm, s] for s in range(3)]))


def test_one_seed_gives_estimates_without_intervals():
    result = effect(fit({("a", 0): 1.0, ("b", 0): 3.0}), {"b": 1.0, "a": -1.0})
    assert result.estimate == pytest.approx(2.0)
    assert (result.low, result.high, result.p) == (None, None, None)


def test_an_effect_of_an_arm_without_results_is_not_estimable():
    assert effect(fit(simulated("ab", 3)), {"a": 1.0, "c": -1.0}).estimate is None


def test_arms_that_share_no_seed_cannot_be_compared():
    cells = simulated("abcd", 4)
    kept = {(a, s): v for (a, s), v in cells.items() if (a in "ab") == (s < 2)}
    fitted = fit(kept)
    assert effect(fitted, {"a": 1.0, "c": -1.0}).estimate is None
    assert effect(fitted, {"a": 1.0, "b": -1.0}).estimate is not None


def test_intervals_cover_and_null_effects_are_rarely_found():
    rng = np.random.default_rng(1)
    covered = found = 0
    for _ in range(2000):
        fitted = fit(simulated("abcdefgh", 3, {"b": 0.7}, rng))
        planted, null = effect(fitted, {"b": 1.0, "a": -1.0}), effect(fitted, {"c": 1.0, "a": -1.0})
        assert planted.low is not None
        assert planted.high is not None
        assert null.p is not None
        covered += planted.low <= 0.7 <= planted.high
        found += null.p < 0.05
    assert 0.935 <= covered / 2000 <= 0.965
    assert found / 2000 <= 0.05 + 2 * (0.05 * 0.95 / 2000) ** 0.5


def test_an_average_over_draws_carries_what_drawing_leaves():
    cells = {
        (arm, seed): value + 0.1 * seed
        for arm, value in {"a": 0.0, "b": 1.0, "c": 5.0}.items()
        for seed in range(3)
    }
    cells |= {("a", 0): 0.02, ("b", 1): 1.15}
    parts = [{"b": 1.0, "a": -1.0}, {"c": 1.0, "b": -1.0}, {"c": 0.5, "a": -0.5}]
    weights = {"a": -0.5, "b": 0.0, "c": 0.5}
    plain, drawn = effect(fit(cells), weights), effect(fit(cells), weights, parts=parts)
    means = fit(cells).means
    own = [means["b"] - means["a"], means["c"] - means["b"], (means["c"] - means["a"]) / 2]
    sampling = stats.sem(own)
    error = (plain.high - plain.low) / 2 / stats.t.ppf(0.975, 4)
    both = error**2 + sampling**2
    dof = both**2 / (error**4 / 4 + sampling**4 / 2)  # Satterthwaite
    assert plain.sampling_se is None
    assert drawn.estimate == plain.estimate
    assert drawn.sampling_se == pytest.approx(sampling)
    half = stats.t.ppf(0.975, dof) * both**0.5
    assert (drawn.low, drawn.high) == pytest.approx((drawn.estimate - half, drawn.estimate + half))
    assert drawn.p == pytest.approx(2 * stats.t.sf(drawn.estimate / both**0.5, dof))


def test_mean_and_sd():
    assert mean_sd([]) == (None, None)
    assert mean_sd([2.0]) == (2.0, None)
    assert mean_sd([1.0, 3.0]) == (2.0, pytest.approx(2**0.5))
