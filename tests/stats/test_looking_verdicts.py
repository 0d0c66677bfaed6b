"""The rules of studies that look several times, on tables whose answers are worked out by
statsmodels and by hand.
"""

import pytest
import statsmodels.formula.api as smf
from pandas import DataFrame
from scipy import stats

from ablab.design.layout import Contrast
from ablab.stats.sequential import nominal_alpha, overall_p
from ablab.stats.verdicts import Rules, judge
from tests.stats.studies import change, column, first, table

LOOKS = (3, 4, 6)


def test_looks_see_the_first_seeds_and_correct_for_all_looks():
    cells = table({"a": 10, "b": 10.4, "c": 10}, 4, seed=5)
    judgement = judge(cells, [change("b"), change("c")], Rules(0.1, LOOKS, sign=-1))
    assert judgement.open == {"a", "b", "c"}
    for own, arm in zip(judgement.effects, "bc", strict=True):
        nominals, looked = [], {}
        for n in (3, 4):
            part = first(cells, dict.fromkeys("abc", n))
            frame = DataFrame([{"arm": a, "seed": s, "y": y} for (a, s), y in part.items()])
            model = smf.ols("y ~ C(arm) + C(seed)", frame).fit()
            looked = {
                "value": model.params[f"C(arm)[T.{arm}]"],
                "se": model.bse[f"C(arm)[T.{arm}]"],
                "dof": model.df_resid,
            }
            nominals.append(model.pvalues[f"C(arm)[T.{arm}]"])
        assert own.effect.p == pytest.approx(
            min(overall_p(p, 3, LOOKS) for p in nominals), abs=1e-5
        )
        half = stats.t.isf(nominal_alpha(0.05, 3, LOOKS) / 2, looked["dof"]) * looked["se"]
        assert (own.effect.low, own.effect.high) == pytest.approx(
            (looked["value"] - half, looked["value"] + half)
        )
        assert (own.verdict, own.seeds) == (None, 4)


def test_a_study_goes_on_with_the_arms_of_open_questions_and_their_baseline():
    whole = table({"a": 10, "b": 20, "c": 10.5, "d": 10}, 6, seed=6)
    questions = [change("b"), change("c"), Contrast("c × b", "interaction", {"b": 1.0, "c": -1.0})]
    start = judge(first(whole, dict.fromkeys("abcd", 3)), questions, Rules(0.2, LOOKS, sign=-1))
    assert [own.verdict for own in start.effects] == ["hurts", None, "hurts"]
    assert start.open == {"a", "c"}
    cells = first(whole, {"a": 6, "b": 3, "c": 6, "d": 3})
    end = judge(cells, questions, Rules(0.2, LOOKS, sign=-1))
    assert end.open == frozenset()
    assert end.effects[0].effect == start.effects[0].effect  # a decision stays with its figures
    assert [own.seeds for own in end.effects] == [3, 6, 3]
    assert end.effects[1].verdict in ("inconclusive", "hurts")
    assert end.effects[2] == start.effects[2]
    differences = column(cells, "c") - column(cells, "a")
    assert end.effects[1].effect.estimate == pytest.approx(
        differences.mean()
    )  # equal seeds: as if paired
    frame = DataFrame([{"arm": a, "seed": s, "y": y} for (a, s), y in cells.items()])
    model = smf.ols("y ~ C(arm) + C(seed)", frame).fit()
    assert (end.sd, end.dof) == (pytest.approx(model.mse_resid**0.5), model.df_resid)


def test_a_look_waits_for_all_that_it_needs():
    whole = table({"a": 10, "b": 10.5, "c": 10.2}, 6, seed=7)
    rules, questions = Rules(0.1, LOOKS, sign=-1), [change("b"), change("c")]
    at_three = judge(first(whole, dict.fromkeys("abc", 3)), questions, rules)
    late = judge(first(whole, {"a": 6, "b": 6, "c": 3}), questions, rules)
    assert late == at_three
    gap = {
        key: value for key, value in whole.items() if key != ("b", 2)
    }  # counts enough, but not these
    assert all(
        own.effect.p is None and own.verdict is None for own in judge(gap, questions, rules).effects
    )


def test_later_runs_do_not_change_what_was_decided():
    whole = table({"a": 10, "b": 20, "c": 10.1}, 6, seed=8)
    questions, rules = [change("b"), change("c")], Rules(0.1, LOOKS, sign=-1)
    ends = [judge(first(whole, dict.fromkeys("abc", n)), questions, rules) for n in (3, 4, 6)]
    assert len({end.effects[0].effect for end in ends}) == 1
    assert ends[0].effects[1].effect.p >= ends[1].effects[1].effect.p >= ends[2].effects[1].effect.p


def test_a_diverged_arm_keeps_no_study_going():
    cells = {
        key: value for key, value in table({"a": 10, "b": 20, "c": 5}, 3).items() if key[0] != "c"
    }
    judgement = judge(cells, [change("b"), change("c")], Rules(0.1, LOOKS, sign=-1), {"c"})
    assert [own.verdict for own in judgement.effects] == ["hurts", "diverged"]
    assert judgement.open == frozenset()
    assert judge({}, [change("c")], Rules(0.1, LOOKS, sign=-1), {"c"}).open == frozenset()


def test_no_study_goes_on_for_an_interaction():
    cells = table({"a": 10, "b": 20, "c": 20.1}, 3, seed=1)
    open_one = Contrast("c × b", "interaction", {"b": 1.0, "c": -1.0})
    judgement = judge(cells, [change("b"), change("c"), open_one], Rules(0.01, LOOKS, sign=-1))
    assert [own.verdict for own in judgement.effects] == ["hurts", "hurts", "inconclusive"]
    assert judgement.open == frozenset()


def test_a_difference_that_turned_round_is_not_claimed():
    """b and c are alike at the first look, neither found by Holm. At the second c is, so that b is
    tested at the whole level: its first p would do, but by then its estimate has the other sign.
    """
    rules, questions, d = Rules(1e-3, (4, 12), sign=-1), [change("b"), change("c")], 2.2
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
