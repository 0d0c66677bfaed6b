"""The dependence of effects on nuisance factors against statsmodels, and in simulated studies."""

import numpy as np
import pytest
import statsmodels.api as sm

from ablab.design.layout import Contrast
from ablab.design.nuisance import combinations
from ablab.stats.inference.dependence import dependences, judge_dependence
from ablab.stats.inference.forecast import detectable_dependence, planned_noise
from ablab.stats.inference.power import PowerTarget
from ablab.stats.inference.table import Table
from benchmarks.dependence import shares
from benchmarks.simulated_studies import designs

EFFECT = Contrast("b", "change", {"b": 1.0, "a": -1.0})


def codes_of(seeds, factors):
    return 2 * combinations(seeds, factors) - 1


def test_a_dependence_is_the_slope_of_a_regression_on_the_codes():
    rng = np.random.default_rng(0)
    codes = codes_of(8, 2)
    values = rng.normal(size=(1, 2, 8))
    values[0, 1] += 0.3 + codes @ [1.0, 0.2]
    table = Table(["a", "b"], values, np.ones((2, 8), bool))
    found = dependences(table, [EFFECT], dict(enumerate(codes.tolist())))
    model = sm.OLS(values[0, 1] - values[0, 0], sm.add_constant(codes)).fit()
    assert found.mean[0, 0] == pytest.approx(model.params[0])
    np.testing.assert_allclose(found.slope[0, 0], model.params[1:])
    np.testing.assert_allclose(found.error[0, 0], model.bse[1:])
    np.testing.assert_allclose(found.p[0, 0], model.pvalues[1:])
    at = model.params[0] - model.params[1], model.params[0] + model.params[1]
    assert (found.at_level(0)[0, 0, 0], found.at_level(1)[0, 0, 0]) == pytest.approx(at)


def test_a_verdict_depends_only_if_the_effect_is_read_otherwise():
    codes = codes_of(8, 1)
    rng = np.random.default_rng(1)

    def judged(first, second):
        effects = np.where(codes[:, 0] < 0, first, second)
        cells = {("a", s + 1): 0.0 for s in range(8)}
        cells |= {("b", s + 1): effects[s] + 0.01 * rng.normal() for s in range(8)}
        by_seed = {s + 1: codes[s].tolist() for s in range(8)}
        ((found,),) = judge_dependence(cells, [EFFECT], by_seed, 0.5)
        assert found is not None
        assert found.p_holm < 0.05
        return found.depends

    assert judged(-1.0, 1.0)
    assert judged(-1.0, 0.2)
    assert not judged(-1.0, -3.0)
    assert not judged(-0.2, 0.2)  # both within the margin


@pytest.mark.parametrize(("seeds", "factors"), [(2, 1), (3, 2)])
def test_too_few_seeds_leave_a_dependence_unknown(seeds, factors):
    cells = {(arm, s): float(s) for arm in "ab" for s in range(seeds)}
    by_seed = dict(enumerate(codes_of(seeds, factors).tolist()))
    (found,) = judge_dependence(cells, [EFFECT], by_seed, 0.5)
    assert set(found) == {None}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["compare 4", "2^(6-2)"])
def test_dependences_are_found_and_seldom_said_without_a_reason(name):
    found = shares(designs()[name], 8, 4000)
    assert found.without <= 0.06
    if name == "2^(6-2)":
        assert found.found[0] >= 0.80


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [8, 12])
def test_the_dependence_that_a_plan_names_is_found_in_four_of_five_studies(seeds):
    noises = planned_noise([EFFECT], 1.0)
    difference = detectable_dependence(noises, seeds, 2, PowerTarget())
    codes = codes_of(seeds, 2)
    values = np.random.default_rng(2).normal(size=(4000, 2, seeds))
    values[:, 1] += difference / 2 * codes[:, 0]
    table = Table(["a", "b"], values, np.ones((2, seeds), bool))
    found = dependences(table, [EFFECT], dict(enumerate(codes.tolist())))
    assert (found.adjusted()[:, 0, 0] < 0.05).mean() == pytest.approx(0.8, abs=0.03)
