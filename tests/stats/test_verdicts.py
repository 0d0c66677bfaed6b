"""Verdicts against statsmodels and scipy called directly, and the rules of an answer."""

from dataclasses import dataclass

import numpy as np
import pytest
import statsmodels.formula.api as smf
from pandas import DataFrame
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from ablab.design.layout import Contrast
from ablab.stats.inference.procedure import holm
from ablab.stats.inference.verdicts import Rules, judge
from ablab.stats.tuning.response_surface import Excess
from tests.stats.studies import change, column, table

LOOKS = (4, 5, 7)


def test_arms_are_judged_by_paired_tests_and_holm_over_each_family():
    """Arms of unequal variance: the error of each comparison is its own."""
    cells = table({"a": 10, "b": 4, "c": 10.2, "d": 16, "e": 10}, 6, seed=3)
    noisy = 8 * np.random.default_rng(1).normal(size=6)
    cells |= {("e", s + 1): 10 + noisy[s] for s in range(6)}
    second = Contrast("d over b", "interaction", {"d": 1.0, "b": -1.0})
    third = Contrast("d over c", "interaction", {"d": 1.0, "c": -1.0})
    questions = [change("b"), second, change("c"), change("d"), third, change("e")]
    judgement = judge(cells, questions, Rules(3.0, sign=-1))
    frame = DataFrame([{"arm": a, "seed": s, "y": y} for (a, s), y in cells.items()])
    model = smf.ols("y ~ C(arm) + C(seed)", frame).fit()
    assert (judgement.sd, judgement.dof) == (pytest.approx(model.mse_resid**0.5), model.df_resid)
    references, shown = {}, {}
    for i, question in enumerate(questions):
        plus, minus = sorted(question.weights, key=question.weights.get, reverse=True)
        x, y = column(cells, plus), column(cells, minus)
        references[i] = stats.ttest_rel(x, y)
        shown[i] = ttost_paired(x, y, -3.0, 3.0)[0]
    for places in ([0, 2, 3, 5], [1, 4]):
        adjusted = multipletests([references[i].pvalue for i in places], method="holm")[1]
        within = multipletests([shown[i] for i in places], method="holm")[1]
        for i, p, p_equivalence in zip(places, adjusted, within, strict=True):
            own, interval = judgement.effects[i], references[i].confidence_interval(0.95)
            assert own.effect.p == pytest.approx(references[i].pvalue)
            assert (own.effect.low, own.effect.high) == pytest.approx((interval.low, interval.high))
            assert own.p_holm == pytest.approx(p)
            assert own.real == (p < 0.05)
            hurts = own.effect.estimate > 0
            expected = "inconclusive"
            if p_equivalence < 0.05:
                expected = "equivalent"
            elif p < 0.05:
                expected = "hurts" if hurts else "helps"
            assert own.verdict == expected
    verdicts = {own.verdict for own in judgement.effects}
    assert verdicts == {"helps", "hurts", "equivalent", "inconclusive"}


def test_two_arms_are_judged_by_the_paired_tests():
    for seed in range(20):
        cells = table({"a": 10, "b": 10.5}, 5, seed)
        (own,) = judge(cells, [change("b")], Rules(1.5, sign=-1)).effects
        b, a = column(cells, "b"), column(cells, "a")
        assert own.effect.p == pytest.approx(stats.ttest_rel(b, a).pvalue)
        assert (own.verdict == "equivalent") == (ttost_paired(b, a, -1.5, 1.5)[0] < 0.05)


def test_the_paired_t_stands_beside_a_moderated_error():
    signs = {"a": (-1, -1, -1), "b": (1, -1, 1), "c": (-1, 1, 1), "d": (1, 1, -1)}
    questions = [
        Contrast(str(i), "change", {arm: code[i] / 2 for arm, code in signs.items()})
        for i in range(3)
    ]
    cells = table({"a": 10, "b": 10.5, "c": 9, "d": 10}, 6)
    effects = judge(cells, questions, Rules(1.0, sign=-1)).effects
    for question, own in zip(questions, effects, strict=True):
        by_seed = sum(w * column(cells, arm) for arm, w in question.weights.items())
        reference = stats.ttest_1samp(by_seed, 0)
        interval = reference.confidence_interval(0.95)
        assert own.paired is not None
        assert own.paired.p == pytest.approx(reference.pvalue)
        assert (own.paired.low, own.paired.high) == pytest.approx((interval.low, interval.high))
    assert any(
        own.effect != own.paired for own in judge(cells, questions, Rules(1.0, sign=-1)).effects
    )


def test_the_paired_t_of_an_adaptive_study_covers_all_looks():
    cells = table({"a": 10, "b": 14}, 4)
    rules = Rules(1.5, looks=(4, 5, 7), sign=-1)
    (own,) = judge(cells, [change("b")], rules).effects
    plain = stats.ttest_rel(column(cells, "b"), column(cells, "a")).pvalue
    assert own.paired is not None
    assert own.paired.p is not None
    assert own.paired.p > plain
    assert own.paired.p == own.effect.p


def welch(x, y):
    """Welch's t test with a tenth fewer degrees of freedom above the fewest: p, interval."""
    reference = stats.ttest_ind(x, y, equal_var=False)
    difference, fewest = x.mean() - y.mean(), min(len(x), len(y)) - 1
    dof = fewest + 0.9 * (reference.df - fewest)
    half = stats.t.isf(0.025, dof) * abs(difference / reference.statistic)
    p = 2 * stats.t.sf(abs(reference.statistic), dof)
    return p, (difference - half, difference + half)


def test_arms_without_a_common_seed_are_compared_unpaired():
    cells = table({"a": 10, "b": 12}, 5) | {
        ("again", 1000 + s): v for (_, s), v in table({"again": 10}, 4, 1, 3.0).items()
    }
    judgement = judge(cells, [change("again"), change("b")], Rules(1.0, sign=-1))
    p, interval = welch(column(cells, "again"), column(cells, "a"))
    own, within = judgement.effects
    assert own.effect.p == pytest.approx(p)
    assert (own.effect.low, own.effect.high) == pytest.approx(interval)
    assert (own.seeds, own.paired) == (4, None)
    b, a = column(cells, "b"), column(cells, "a")
    assert within.effect.p == pytest.approx(stats.ttest_rel(b, a).pvalue)  # within blocks as before


def test_sums_over_streams_are_compared_by_seed():
    """Two arms on each of two streams: the difference of their differences, by each stream's
    own.
    """
    cells = table({"a": 10, "b": 12}, 5) | {
        (f"{n}2", 99 + s): v for (n, s), v in table({"a": 10, "b": 12}, 4, 1).items()
    }
    cells |= {("a2", 500): 3.0}  # a seed that its partner has not
    own = judge(
        cells, [Contrast("x", "change", {"b": 1.0, "a2": -1.0})], Rules(1.0, sign=-1)
    ).effects[0]
    assert own.effect.p == pytest.approx(welch(column(cells, "b"), column(cells, "a2"))[0])
    weights = {"a": 1.0, "b": 1.0, "a2": -1.0, "b2": -1.0}
    own = judge(cells, [Contrast("x", "change", weights)], Rules(1.0, sign=-1)).effects[0]
    one, other = (
        column(cells, "a") + column(cells, "b"),
        column(cells, "a2")[:4] + column(cells, "b2"),
    )
    assert own.effect.p == pytest.approx(welch(one, other)[0])


def test_holm_is_statsmodels(monkeypatch):
    # Each call of the reference collects garbage, which takes seconds in a process of many tests.
    monkeypatch.setattr("gc.collect", lambda: 0)
    rng = np.random.default_rng(0)
    for size in (1, 2, 5, 12):
        p = np.array([[*rng.uniform(0, 0.1, size), 0.04, 0.04] for _ in range(3)])
        for ours, values in zip(holm(p), p, strict=True):
            assert ours == pytest.approx(multipletests(values, method="holm")[1])
    adjusted = holm(np.array([[0.01, np.nan, 0.02]]))
    assert adjusted == pytest.approx(np.array([[0.03, np.nan, 0.04]]), nan_ok=True)


def test_real_but_below_the_margin():
    own = judge(
        table({"a": 10, "b": 10.5}, 8, sd=0.05), [change("b")], Rules(1.0, sign=-1)
    ).effects[0]
    assert (own.verdict, own.real, own.seeds_needed) == ("equivalent", True, None)


def test_an_arm_that_diverged_takes_its_questions_along_and_leaves_the_error():
    cells = table({"a": 10, "b": 0, "c": 10}, 4)
    cells |= {("c", 1): 900.0, ("c", 2): float("nan")}
    questions = [change("b"), change("c"), Contrast("b × c", "interaction", {"b": 1.0, "c": -1.0})]
    judgement = judge(cells, questions, Rules(1.0, sign=-1), {"c"})
    assert [own.verdict for own in judgement.effects] == ["helps", "diverged", "diverged"]
    assert judgement.effects[1].effect.estimate is None
    alone = judge(
        {k: v for k, v in cells.items() if k[0] != "c"}, questions[:1], Rules(1.0, sign=-1)
    )
    assert judgement.effects[0] == alone.effects[0]
    assert (judgement.sd, judgement.dof) == (alone.sd, 3)


def test_a_value_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="arm 'b', seed 2: the value is inf"):
        judge(
            table({"a": 10, "b": 5}, 3) | {("b", 2): float("inf")},
            [change("b")],
            Rules(1.0, sign=-1),
        )


@pytest.mark.parametrize("looks", [(), LOOKS])
def test_one_seed_gives_estimates_and_no_verdict(looks):
    judgement = judge(
        {("a", 1): 1.0, ("b", 1): 3.0}, [change("b"), change("c")], Rules(1.0, looks, sign=-1)
    )
    own, missing = judgement.effects
    assert own.effect.estimate == pytest.approx(2.0)
    assert (own.effect.low, own.effect.p, own.p_holm, own.verdict, own.seeds) == (
        None,
        None,
        None,
        None,
        1,
    )
    assert (missing.effect.estimate, missing.verdict, missing.seeds) == (None, None, 0)
    assert (judgement.detectable, judgement.open) == (
        None,
        frozenset("abc") if looks else frozenset(),
    )


@pytest.mark.parametrize("seeds", [2, 3])
def test_few_seeds_give_intervals_and_no_verdict(seeds):
    judgement = judge(table({"a": 10, "b": 90}, seeds), [change("b")], Rules(1.0, sign=-1))
    own = judgement.effects[0]
    reference = stats.ttest_rel(*(column(table({"a": 10, "b": 90}, seeds), arm) for arm in "ba"))
    assert own.effect.p == pytest.approx(reference.pvalue)
    assert own.real
    assert (own.verdict, own.seeds_needed) == (None, None)


def test_no_runs_at_all():
    for looks in ((), LOOKS):
        judgement = judge({}, [change("b")], Rules(1.0, looks, sign=-1))
        assert judgement.effects[0].verdict is None
        assert judgement.open == (frozenset("ab") if looks else frozenset())


def test_inconclusive_says_how_many_seeds_would_settle_it():
    cells = table({"a": 10, "b": 10.5, "c": 10.4}, 4, seed=2)
    judgement = judge(cells, [change("b"), change("c")], Rules(1.0, sign=-1))
    own = judgement.effects[0]
    sd = (column(cells, "b") - column(cells, "a")).std(ddof=1)
    assert own.verdict == "inconclusive"
    draws = np.random.default_rng(0).normal(size=200_000), np.random.default_rng(1)

    def settles(n):
        """The power at a level of 0.05 / 2, for the first step of Holm's procedure."""
        error, dof = sd / n**0.5, n - 1
        found = stats.nct.sf(stats.t.isf(0.0125, dof), dof, 1.0 / error)
        s = error * np.sqrt(draws[1].chisquare(dof, 200_000) / dof)
        shown = (abs(error * draws[0]) < 1.0 - stats.t.isf(0.025, dof) * s).mean()
        return min(found, shown)

    assert own.seeds_needed > 4
    assert settles(own.seeds_needed) >= 0.795
    assert settles(own.seeds_needed - 1) < 0.805
    wide = judge(table({"a": 10, "b": 10.1}, 4, seed=4), [change("b")], Rules(1e-4, sign=-1))
    assert (wide.effects[0].verdict, wide.effects[0].seeds_needed) == ("inconclusive", None)


@dataclass(frozen=True)
class Plain:
    """A question of a stranger's own."""

    name: str
    kind: str
    weights: dict
    parts: tuple = ()


class Tuned:
    """Tuning error of a known size."""

    def excess(self, weights):
        return Excess(np.array(0.04 * sum(w**2 for w in weights.values())), np.array(3.0))


def test_intervals_include_the_error_of_tuning():
    cells = table({"a": 10, "b": 11}, 6)
    plain, tuned = (
        judge(cells, [change("b")], Rules(0.5, sign=-1), tuning=tuning)
        for tuning in (None, Tuned())
    )
    differences = column(cells, "b") - column(cells, "a")
    mean = differences.mean()
    variance = differences.var(ddof=1) / 6
    total = variance + 0.08
    dof = min(5, total**2 / (variance**2 / 5 + 0.08**2 / 3))
    half = stats.t.isf(0.025, dof) * total**0.5
    own = tuned.effects[0].effect
    assert (own.low, own.high) == pytest.approx((mean - half, mean + half))
    assert own.p == pytest.approx(2 * stats.t.sf(abs(mean) / total**0.5, dof))
    assert tuned.detectable > plain.detectable


def test_any_question_of_that_form_will_do():
    cells = table({"a": 10, "b": 12}, 4)
    assert judge(
        cells, [Plain("b", "change", {"b": 1.0, "a": -1.0})], Rules(1.0, sign=-1)
    ) == judge(cells, [change("b")], Rules(1.0, sign=-1))


@pytest.mark.parametrize("margin", [float("nan"), float("inf"), -0.1])
def test_a_margin_that_is_none_is_refused(margin):
    with pytest.raises(ValueError, match="a margin is a finite number, zero or above, not "):
        Rules(margin, sign=-1)


@pytest.mark.parametrize("cells", [{}, table({"a": 10, "b": 12}, 4)])
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "question 'x': no arm has a weight other than zero"),
        ({"a": 0.0, "b": 0.0}, "question 'x': no arm has a weight other than zero"),
        ({"a": float("nan"), "b": 1.0}, "question 'x': a weight is not finite"),
        ({"a": float("-inf"), "b": 1.0}, "question 'x': a weight is not finite"),
    ],
)
def test_weights_that_ask_nothing_are_refused(cells, weights, message):
    with pytest.raises(ValueError, match=message):
        judge(cells, [change("b"), Contrast("x", "change", weights)], Rules(1.0, sign=-1))


def test_the_weights_of_draws_are_finite_and_may_be_zero():
    cells = table({"a": 10, "b": 12}, 4)
    weights = {"b": 0.5, "a": -0.5}
    drawn = Contrast("x", "change", weights, parts=({"b": 1.0, "a": -1.0}, {}))
    (own,) = judge(cells, [drawn], Rules(1.0, sign=-1)).effects
    differences = column(cells, "b") - column(cells, "a")
    assert own.effect.estimate == pytest.approx(differences.mean() / 2)
    # The draws are the mean difference and 0, of which this is the standard error.
    assert own.effect.sampling_se == pytest.approx(abs(differences.mean()) / 2)
    bad = Contrast("x", "change", weights, parts=({"b": float("nan")}, {}))
    with pytest.raises(ValueError, match="question 'x': a weight is not finite"):
        judge(cells, [bad], Rules(1.0, sign=-1))


def test_a_level_of_its_own_for_what_helps():
    """p is between the two levels for both changes, one of which helps and one hurts."""
    steps = np.array([0.0, 0.3, -0.2, 0.1, -0.1, 0.05])
    cells = {("a", seed): 10.0 for seed in range(1, 7)}
    cells |= {("b", seed + 1): 9.75 + steps[seed] for seed in range(6)}
    cells |= {("c", seed + 1): 10.25 - steps[seed] for seed in range(6)}
    p = stats.ttest_1samp(steps - 0.25, 0).pvalue
    assert 0.001 < p < 0.1
    for name, sign in (("b", -1), ("c", 1)):
        pair = {key: value for key, value in cells.items() if key[0] in ("a", name)}
        for helps_level, level in ((0.99 * p, 1.01 * p), (1.01 * p, 1.01 * p)):
            rules = Rules(0.0, level=level, helps_level=helps_level, sign=sign)
            (effect,) = judge(pair, [change(name)], rules).effects
            assert effect.verdict == ("helps" if helps_level > p else "inconclusive")
            rules = Rules(0.0, level=level, helps_level=helps_level, sign=-sign)
            (effect,) = judge(pair, [change(name)], rules).effects
            assert effect.verdict == "hurts"


@pytest.mark.parametrize("level", [0.0, 0.06])
def test_levels_of_what_helps_are_bounded(level):
    with pytest.raises(ValueError, match="helps_level"):
        Rules(1.0, helps_level=level, sign=-1)
