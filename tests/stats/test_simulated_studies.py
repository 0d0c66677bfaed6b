"""Simulated studies with known answers: how often verdicts err, intervals cover and effects are
found. `python -m benchmarks.error_rates` prints the whole table.
"""

from itertools import combinations
from math import factorial

import numpy as np
import pytest

from ablab.stats.inference.forecast import detectable, planned_noise, primary_target
from ablab.stats.inference.procedure import DIFFERENT, EQUIVALENT, Procedure
from ablab.stats.inference.table import Table
from ablab.stats.inference.verdicts import Rules, judge
from benchmarks.error_rates import Cell, power, rates
from benchmarks.simulated_studies import NOISES, Noise, designs
from tests.stats.studies import SEVEN, arm_means, layout, mean_of, truth

pytestmark = pytest.mark.slow

STUDIES = 10_000


@pytest.fixture(scope="module")
def simulated():
    return designs()


@pytest.mark.parametrize(
    ("design", "seeds", "noise"),
    [
        ("compare 4", 4, "baseline × 4"),
        ("compare 7, disjoint seeds", 6, "four sds"),
        ("compare 4", (4, 12), "last arm × 4"),
        ("2^(6-2)", 4, "seed × one factor"),
        ("2^3", (4, 6), "10 % of runs +5 sd"),
        ("shapley 4", 8, "sds .010 to .093"),
    ],
)
def test_verdicts_err_and_intervals_cover_as_stated(design, seeds, noise):
    measured = rates(Cell(design, seeds, noise), STUDIES)
    assert measured.passes, measured


def test_the_power_that_a_moderated_error_term_keeps(simulated):
    assert power(simulated["2^(6-2)"], 6, STUDIES)[1] >= 0.75
    assert power(simulated["2^3"], 8, STUDIES)[1] >= 0.80
    assert power(simulated["compare 4"], 6, STUDIES)[1] >= 0.70


@pytest.mark.parametrize("name", ["compare 4", "2^3", "2^(6-2)"])
def test_what_is_detectable_is_found_in_four_of_five_studies(simulated, name):
    design = simulated[name]
    rules = Rules(1e-6, sign=-1)
    target = primary_target(design.contrasts, rules)
    smallest = detectable(planned_noise(design.contrasts, 1.0), 6, target)
    noise = NOISES[0].draw(np.random.default_rng(3), design, 4000, 6)
    # One change only, so that Holm's procedure is at its first step.
    has = np.array(["rope" in changes for changes in design.changes.values()])
    procedure = Procedure(design.contrasts, rules, 4000)
    procedure.look(design.table(noise - smallest * has[:, None]))
    place = next(i for i, c in enumerate(design.contrasts) if c.name == "rope")
    found = procedure.readings.decision[:, place] == DIFFERENT
    assert found.mean() == pytest.approx(0.8, abs=0.04)


def test_six_effects_at_the_margin_are_rarely_called_equivalent(simulated):
    design = simulated["compare 7"]
    noise = NOISES[0].draw(np.random.default_rng(4), design, 4000, 8)
    procedure = Procedure(design.contrasts, Rules(4.0, sign=-1), 4000)
    procedure.look(design.table(noise + 4.0 * design.means(1.0)[:, None]))
    false = (procedure.readings.decision == EQUIVALENT).any(1).mean()
    assert 0.01 < false <= 0.06


def test_one_study_is_judged_as_many_are(simulated):
    """The procedure of `judge` and that of the simulations are one."""
    design = simulated["2^(6-2)"]
    noise = NOISES[2].draw(np.random.default_rng(5), design, 20, 6) + design.means(1.0)[:, None]
    many = Procedure(design.contrasts, Rules(1.0, sign=-1), 20)
    many.look(design.table(noise))
    for study in range(20):
        cells = {
            (arm, seed): noise[study, i, seed]
            for i, arm in enumerate(design.arms)
            for seed in range(6)
        }
        effects = judge(cells, design.contrasts, Rules(1.0, sign=-1)).effects
        for i, own in enumerate(effects):
            assert own.effect.low == pytest.approx(many.readings.low[study, i])
            assert own.p_holm == pytest.approx(many.adjusted()[study, i])


def test_noise_that_breaks_an_error_term_is_seen():
    """The pooled error term of all arms, which holds under equal variances, fails here."""
    design = designs()["2^(6-2)"]
    last = next(noise for noise in NOISES if noise.name == "last arm × 4")
    assert isinstance(last, Noise)
    values = last.draw(np.random.default_rng(6), design, 4000, 6)
    residual = values - values.mean(2, keepdims=True) - values.mean(1, keepdims=True)
    residual += values.mean((1, 2), keepdims=True)
    sd = np.sqrt((residual**2).sum((1, 2)) / 75)
    total = values[:, -1].mean(1) - values[:, 0].mean(1)
    assert (np.abs(total) > 1.992 * sd * np.sqrt(2 / 6)).mean() > 0.15


def test_intervals_of_drawn_orders_cover_the_value_over_all_orders(tmp_path):
    """Over draws: the error of one draw is the same in all its studies. The intervals are
    conservative, since the noise of the runs counts twice.
    """
    names = SEVEN.strip("[]").split(", ")
    effects = {"rope": -1.0, "swiglu": -0.5}
    covered = []
    rng = np.random.default_rng(100)
    for draw in range(20):
        design = layout("shapley_sampled", tmp_path, more=f", seed: {draw}")
        base = set(next(iter(design.arms.values())).uses)
        values = {
            frozenset(s): mean_of(base | set(s), effects, together=0.5)
            for n in range(8)
            for s in combinations(names, n)
        }
        means = arm_means(design, effects, together=0.5)
        true = [
            shapley_value(values, names, c.name) if c.kind == "change" else truth(c, means)
            for c in design.contrasts
        ]
        assert true[-1] == pytest.approx(sum(true[:-1]))
        covered.append(_coverage(design, means, true, rng))
    share = np.mean(covered, axis=0)
    assert np.mean(share[:-1]) >= 0.93
    assert 0.93 <= share[-1] <= 0.97  # the total is no average over orders


def _coverage(design, means, true, rng):
    """By contrast, how often the interval of 4 seeds holds the truth in 400 studies."""
    runs = np.array(list(means.values()))[:, None] + rng.normal(size=(400, len(means), 4))
    procedure = Procedure(design.contrasts, Rules(1.0, sign=-1), 400)
    procedure.look(Table(list(means), runs, np.ones(runs.shape[1:], bool)))
    readings = procedure.readings
    return ((readings.low <= true) & (true <= readings.high)).mean(0)


def shapley_value(values, names, change):
    """The textbook's sum over subsets without the change."""
    rest, n = [name for name in names if name != change], len(names)
    return sum(
        factorial(k)
        * factorial(n - k - 1)
        / factorial(n)
        * (values[frozenset({*s, change})] - values[frozenset(s)])
        for k in range(n)
        for s in combinations(rest, k)
    )
