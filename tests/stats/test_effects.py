"""Effects against scipy and statsmodels called directly, and against simulated studies with known
answers.
"""

import numpy as np
import pytest
import statsmodels.formula.api as smf
from pandas import DataFrame
from scipy import stats

from ablab.stats.effects import arm_means, mean_sd
from ablab.stats.inference.error_terms import effect_of
from ablab.stats.inference.table import Table
from ablab.stats.two_way import fit

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
    result = effect_of(Table.of(cells), {"a": 1.0, "b": -1.0})
    assert result.estimate == pytest.approx((a - b).mean())
    assert result.p == pytest.approx(reference.pvalue)
    interval = reference.confidence_interval(0.95)
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high))


@pytest.mark.parametrize("missing", [[], [("b", 1), ("d", 0)]])
def test_means_are_those_of_a_two_way_model(missing):
    cells = {k: v for k, v in simulated("abcd", 4).items() if k not in missing}
    frame = DataFrame([{"arm": a, "seed": s, "y": y} for (a, s), y in cells.items()])
    model = smf.ols("y ~ 0 + C(arm) + C(seed, Sum)", frame).fit()
    assert fit(cells).dof == model.df_resid
    for arm, mean in arm_means(cells).items():
        assert mean.value == pytest.approx(model.params[f"C(arm)[{arm}]"])
        assert mean.interval() == pytest.approx(tuple(model.conf_int().loc[f"C(arm)[{arm}]"]))


def test_means_of_complete_arms_are_their_averages():
    cells = simulated("abc", 3)
    for arm, mean in fit(cells).means.items():
        assert mean == pytest.approx(np.mean([cells[arm, s] for s in range(3)]))


def test_one_seed_gives_estimates_without_intervals():
    result = effect_of(Table.of({("a", 0): 1.0, ("b", 0): 3.0}), {"b": 1.0, "a": -1.0})
    assert result.estimate == pytest.approx(2.0)
    assert (result.low, result.high, result.p) == (None, None, None)


def test_an_effect_of_an_arm_without_results_is_not_estimable():
    table = Table.of(simulated("ab", 3))
    assert effect_of(table, {"a": 1.0, "c": -1.0}).estimate is None


def test_means_of_arms_that_share_no_seed_are_not_adjusted_for_each_other():
    cells = {(a, s): v for (a, s), v in simulated("abcd", 4).items() if (a in "ab") == (s < 2)}
    apart = [arm_means({k: v for k, v in cells.items() if k[0] in arms}) for arms in ("ab", "cd")]
    assert arm_means(cells) == apart[0] | apart[1]


def test_intervals_cover_and_null_effects_are_rarely_found():
    rng = np.random.default_rng(1)
    covered = found = 0
    for _ in range(2000):
        table = Table.of(simulated("abcdefgh", 3, {"b": 0.7}, rng))
        planted = effect_of(table, {"b": 1.0, "a": -1.0})
        null = effect_of(table, {"c": 1.0, "a": -1.0})
        assert planted.low is not None
        assert planted.high is not None
        assert null.p is not None
        covered += planted.low <= 0.7 <= planted.high
        found += null.p < 0.05
    assert 0.935 <= covered / 2000 <= 0.965
    assert found / 2000 <= 0.05 + 2 * (0.05 * 0.95 / 2000) ** 0.5


def test_mean_and_sd():
    assert mean_sd([]) == (None, None)
    assert mean_sd([2.0]) == (2.0, None)
    assert mean_sd([1.0, 3.0]) == (2.0, pytest.approx(2**0.5))
