"""The rules of studies that look several times, on tables whose answers are worked out by
statsmodels and by hand.
"""

import numpy as np
import pytest
from scipy import stats

from ablab.design.layout import Contrast
from ablab.stats.inference.sequential import nominal_alpha, overall_p
from ablab.stats.inference.verdicts import Rules, judge
from tests.stats.studies import change, column, first, table

LOOKS = (4, 5, 7)


def test_looks_see_the_first_seeds_and_correct_for_all_looks():
    cells = table({"a": 10, "b": 10.4, "c": 10}, 5, seed=5)
    judgement = judge(cells, [change("b"), change("c")], Rules(0.1, LOOKS, sign=-1))
    assert judgement.open == {"a", "b", "c"}
    for own, arm in zip(judgement.effects, "bc", strict=True):
        overall = []
        for n in (4, 5):
            part = first(cells, dict.fromkeys("abc", n))
            reference = stats.ttest_rel(column(part, arm), column(part, "a"))
            overall.append(overall_p(np.array(reference.pvalue), n, LOOKS))
        assert own.effect.p == pytest.approx(min(overall), abs=1e-5)
        interval = reference.confidence_interval(1 - nominal_alpha(0.05, 5, LOOKS))
        assert (own.effect.low, own.effect.high) == pytest.approx((interval.low, interval.high))
        assert (own.verdict, own.seeds) == (None, 5)


def test_a_study_goes_on_with_the_arms_of_open_questions_and_their_baseline():
    whole = table({"a": 10, "b": 30, "c": 10.5, "d": 10}, 7, seed=6)
    questions = [change("b"), change("c"), Contrast("c × b", "interaction", {"b": 1.0, "c": -1.0})]
    start = judge(first(whole, dict.fromkeys("abcd", 4)), questions, Rules(0.2, LOOKS, sign=-1))
    assert [own.verdict for own in start.effects] == ["hurts", None, "hurts"]
    assert start.open == {"a", "c"}
    cells = first(whole, {"a": 7, "b": 4, "c": 7, "d": 4})
    end = judge(cells, questions, Rules(0.2, LOOKS, sign=-1))
    assert end.open == frozenset()
    assert [own.seeds for own in end.effects] == [4, 7, 4]
    assert end.effects[0].effect == start.effects[0].effect
    assert end.effects[1].verdict in ("inconclusive", "hurts")
    assert end.effects[2].effect == start.effects[2].effect
    differences = column(cells, "c") - column(cells, "a")
    assert end.effects[1].effect.estimate == pytest.approx(differences.mean())


def test_a_decided_question_shows_the_figures_of_all_seeds_trained():
    """In a factorial, an open change has seeds added to all arms."""
    whole = table({"o": 10, "b": 30, "c": 10.3, "bc": 30.3}, 7, seed=6)
    questions = [
        Contrast("b", "change", {"b": 0.5, "bc": 0.5, "o": -0.5, "c": -0.5}),
        Contrast("c", "change", {"c": 0.5, "bc": 0.5, "o": -0.5, "b": -0.5}),
    ]
    at_four = first(whole, dict.fromkeys(("o", "b", "c", "bc"), 4))
    start = judge(at_four, questions, Rules(0.1, LOOKS, sign=-1)).effects[0]
    end = judge(whole, questions, Rules(0.1, LOOKS, sign=-1)).effects[0]
    assert (start.verdict, start.seeds, end.verdict, end.seeds) == ("hurts", 4, "hurts", 7)
    by_seed = sum(w * column(whole, arm) for arm, w in questions[0].weights.items())
    interval = stats.ttest_1samp(by_seed, 0).confidence_interval(1 - nominal_alpha(0.05, 7, LOOKS))
    assert (end.effect.low, end.effect.high) == pytest.approx((interval.low, interval.high))
    assert end.effect.p <= start.effect.p


def test_a_look_waits_for_all_that_it_needs():
    whole = table({"a": 10, "b": 10.5, "c": 10.2}, 7, seed=7)
    rules, questions = Rules(0.1, LOOKS, sign=-1), [change("b"), change("c")]
    at_four = judge(first(whole, dict.fromkeys("abc", 4)), questions, rules)
    late = judge(first(whole, {"a": 7, "b": 7, "c": 4}), questions, rules)
    assert (late.effects, late.open) == (at_four.effects, at_four.open)
    gap = {
        key: value for key, value in whole.items() if key != ("b", 2)
    }  # counts enough, but not these
    assert all(
        own.effect.p is None and own.verdict is None for own in judge(gap, questions, rules).effects
    )


def test_later_runs_do_not_change_what_was_decided():
    whole = table({"a": 10, "b": 30, "c": 10.1}, 7, seed=8)
    questions, rules = [change("b"), change("c")], Rules(0.1, LOOKS, sign=-1)
    ends = [judge(first(whole, dict.fromkeys("abc", n)), questions, rules) for n in LOOKS]
    assert {end.effects[0].verdict for end in ends} == {"hurts"}
    assert len({end.effects[0].effect for end in ends}) == 1  # b alone gets no more seeds
    assert ends[0].effects[1].effect.p >= ends[1].effects[1].effect.p >= ends[2].effects[1].effect.p


def test_a_diverged_arm_keeps_no_study_going():
    cells = {
        key: value for key, value in table({"a": 10, "b": 30, "c": 5}, 4).items() if key[0] != "c"
    }
    judgement = judge(cells, [change("b"), change("c")], Rules(0.1, LOOKS, sign=-1), {"c"})
    assert [own.verdict for own in judgement.effects] == ["hurts", "diverged"]
    assert judgement.open == frozenset()
    assert judge({}, [change("c")], Rules(0.1, LOOKS, sign=-1), {"c"}).open == frozenset()


def test_no_study_goes_on_for_an_interaction():
    cells = table({"a": 10, "b": 40, "c": 40.1}, 4, seed=1)
    open_one = Contrast("c × b", "interaction", {"b": 1.0, "c": -1.0})
    judgement = judge(cells, [change("b"), change("c"), open_one], Rules(0.01, LOOKS, sign=-1))
    assert [own.verdict for own in judgement.effects] == ["hurts", "hurts", "inconclusive"]
    assert judgement.open == frozenset()


def test_a_difference_that_turned_round_is_not_claimed():
    """b and c are alike at the first look, neither found by Holm. At the second c is, so that b is
    tested at the whole level: its first p would do, but by then its estimate has the other sign.
    """
    rules, questions, d = Rules(1e-3, (4, 12), sign=-1), [change("b"), change("c")], 2.6
    cells = {("a", s): 0.0 for s in range(1, 13)}
    cells |= {("b", s): d + n for s, n in zip(range(1, 5), (1, -1, 1, -1), strict=True)}
    cells |= {("c", s): d + n for s, n in zip(range(1, 5), (1, 1, -1, -1), strict=True)}
    early = judge({key: value for key, value in cells.items() if key[1] <= 4}, questions, rules)
    assert all(0.025 < own.effect.p < 0.05 and own.verdict is None for own in early.effects)
    cells |= {(arm, s): value for arm, value in (("b", -0.6 * d), ("c", d)) for s in range(5, 13)}
    b, c = judge(cells, questions, rules).effects
    assert (c.verdict, b.verdict) == ("hurts", "inconclusive")
    assert b.effect.estimate < 0
    assert b.effect.p == early.effects[0].effect.p  # the smallest so far
    assert b.p_holm < 0.05
