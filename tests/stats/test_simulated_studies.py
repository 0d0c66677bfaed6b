"""Whole simulated studies, with known answers, through the layouts of the real designs: how often
verdicts err, intervals cover and effects are found. 2,000 studies each; a share of 5 % is then
known to ± 1 % (two standard errors).
"""

from itertools import combinations
from math import factorial

import numpy as np
import pytest

from ablab.stats.sequential import looks
from ablab.stats.verdicts import Rules, detectable, judge
from tests.stats.studies import (
    DESIGNS,
    SEVEN,
    adaptively,
    arm_means,
    declared,
    layout,
    mean_of,
    run,
    truth,
)

pytestmark = pytest.mark.slow

STUDIES = 2000
AT_MOST = 0.05 + 2 * (0.05 * 0.95 / STUDIES) ** 0.5
EXACT = [name for name in DESIGNS if name != "shapley_sampled"]
ADAPTIVE = Rules(1.5, looks(3, 9), sign=-1)


@pytest.fixture(scope="module")
def laid(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layouts")
    return {name: layout(name, folder) for name in DESIGNS}


def asked(design):
    """The number of the question after the first change, rope's."""
    return next(i for i, c in enumerate(design.contrasts) if c.name in ("b", "rope", "rope (in)"))


def judged(design, means, seeds, rules, seed, studies=STUDIES):
    rng = np.random.default_rng(seed)
    return [judge(run(rng, means, seeds), design.contrasts, rules) for _ in range(studies)]


def differ(design, judgements):
    """The share of studies that claim a difference in the primary family."""
    primary = [i for i, c in enumerate(design.contrasts) if c.kind != "interaction"]
    return np.mean([any(declared(j.effects[i]) for i in primary) for j in judgements])


def coverage(judgements, true):
    """By question, how often the interval holds the truth."""
    lows, highs = (
        np.array([[getattr(e.effect, end) for e in j.effects] for j in judgements])
        for end in ("low", "high")
    )
    return ((lows <= true) & (true <= highs)).mean(0)


@pytest.mark.parametrize("name", DESIGNS)
def test_equal_arms_are_rarely_told_apart(laid, name):
    design = laid[name]
    judgements = judged(design, dict.fromkeys(design.arms, 10.0), 3, Rules(1.0, sign=-1), 1)
    assert differ(design, judgements) <= AT_MOST


@pytest.mark.parametrize("name", EXACT)
def test_planted_effects_lie_in_their_intervals_and_one_at_the_margin_is_not_equivalent(laid, name):
    """Interactions of every order are there too. The margin is the planted effect of one change,
    about 4 standard errors.
    """
    design = laid[name]
    means = arm_means(design, {"rope": -3.0, "swiglu": -0.5, "no_bias": 0.3}, together=0.3)
    true = [truth(c, means) for c in design.contrasts]
    judgements = judged(design, means, 4, Rules(abs(true[asked(design)]), sign=-1), 2)
    share = coverage(judgements, true)
    assert share.min() >= 0.93
    assert share.max() <= 0.97
    assert (
        np.mean([j.effects[asked(design)].verdict == "equivalent" for j in judgements]) <= AT_MOST
    )


def test_intervals_of_drawn_orders_cover_the_value_over_all_orders(tmp_path):
    """Over draws: one draw's error stays the same in all its studies. They are conservative, since
    the runs' own noise counts twice.
    """
    names = SEVEN.strip("[]").split(", ")
    effects, covered = {"rope": -1.0, "swiglu": -0.5}, []
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
        covered.append(
            coverage(judged(design, means, 3, Rules(1.0, sign=-1), 100 + draw, studies=100), true)
        )
    share = np.mean(covered, axis=0)
    assert np.mean(share[:-1]) >= 0.93
    assert 0.93 <= share[-1] <= 0.97  # the total is no average over orders


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


@pytest.mark.parametrize("name", DESIGNS)
def test_what_is_detectable_is_found_in_four_of_five_studies(laid, name):
    design, question = laid[name], asked(laid[name])
    smallest = detectable(design.contrasts, len(design.arms), 4, 1.0, Rules(1e-6, sign=-1))
    means = arm_means(design, {"rope": -smallest})
    assert truth(design.contrasts[question], means) == pytest.approx(-smallest)
    judgements = judged(design, means, 4, Rules(1e-6, sign=-1), 3)
    assert np.mean([j.effects[question].verdict == "helps" for j in judgements]) == pytest.approx(
        0.8, abs=0.05
    )
    # What the report says is that of the study's own noise.
    own = np.mean([j.detectable for j in judgements])
    assert own == pytest.approx(smallest, rel=0.1) or name == "shapley_sampled"


@pytest.mark.parametrize("name", DESIGNS)
def test_the_seeds_that_are_named_settle_a_question(laid, name):
    """Named by a study of one standard deviation; then an effect of the margin is found, and a nil
    one shown.
    """
    design, question = laid[name], asked(laid[name])
    weights = design.contrasts[question].weights.values()
    rules = Rules(1.3 * sum(w**2 for w in weights) ** 0.5, sign=-1)
    nil, shifted = dict.fromkeys(design.arms, 10.0), arm_means(design, {"rope": -rules.margin})
    needed = [
        j.effects[question].seeds_needed for j in judged(design, nil, 3, rules, 4, studies=300)
    ]
    seeds = int(np.median([n for n in needed if n is not None]))
    found = judged(design, shifted, seeds, rules, 5, STUDIES // 2)
    shown = judged(design, nil, seeds, rules, 6, STUDIES // 2)
    assert np.mean([j.effects[question].real for j in found]) >= 0.75
    assert np.mean([j.effects[question].verdict == "equivalent" for j in shown]) >= 0.75


@pytest.mark.parametrize("name", ["compare", "factorial"])
def test_an_adaptive_study_errs_no_more_for_its_looks(laid, name):
    design, rng = laid[name], np.random.default_rng(7)
    means = dict.fromkeys(design.arms, 10.0)
    judgements = [adaptively(rng, means, design.contrasts, ADAPTIVE)[1] for _ in range(STUDIES)]
    assert differ(design, judgements) <= AT_MOST
    assert coverage(judgements, 0.0).min() >= 0.94
    stopped = [j.effects[0].seeds for j in judgements]
    assert min(stopped) == 3
    assert np.mean(stopped) < 8.5  # it does stop


@pytest.mark.parametrize("name", ["compare", "factorial"])
def test_an_adaptive_study_covers_what_was_planted_and_keeps_to_the_margin(laid, name):
    design, rng, question = laid[name], np.random.default_rng(8), asked(laid[name])
    effects = {"rope": -1.5, "swiglu": -4.0}
    means = arm_means(design, effects)
    judgements = [adaptively(rng, means, design.contrasts, ADAPTIVE)[1] for _ in range(STUDIES)]
    true = [truth(c, means) for c in design.contrasts]
    assert true[question] == pytest.approx(-ADAPTIVE.margin)
    assert coverage(judgements, true).min() >= 0.94
    assert np.mean([j.effects[question].verdict == "equivalent" for j in judgements]) <= AT_MOST
    swiglu = next(i for i, t in enumerate(true) if t == pytest.approx(-4.0))
    assert np.mean([j.effects[swiglu].verdict == "helps" for j in judgements]) >= 0.8


@pytest.mark.parametrize(
    "rules", [Rules(1.0, sign=-1), Rules(1.0, (3, 4, 5), sign=-1)], ids=["fixed", "adaptive"]
)
@pytest.mark.parametrize("sds", [(1.0, 1.0), (1.0, 3.0)])
def test_one_arm_on_two_streams_of_seeds_is_rarely_told_apart(laid, rules, sds):
    """An A/A replicate, compared unpaired; beside it the arms of `compare`. Seeds' effects are in
    its noise.
    """
    question = type(laid["compare"].contrasts[0])("replicate", "change", {"again": 1.0, "a": -1.0})
    rng, found = np.random.default_rng(9), 0
    for _ in range(STUDIES):
        cells = run(rng, dict.fromkeys("abc", 10.0), 5, sds[0])
        again = 10 + 3 * rng.normal(size=5) + sds[1] * rng.normal(size=5)
        cells |= {("again", 1001 + s): again[s] for s in range(5)}
        found += declared(judge(cells, [question], rules).effects[0])
    assert found / STUDIES <= AT_MOST
