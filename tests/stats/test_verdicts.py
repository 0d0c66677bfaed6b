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
from ablab.stats.verdicts import Rules, holm, judge
from tests.stats.studies import change, column, table

LOOKS = (3, 4, 6)


def test_a_design_is_judged_as_statsmodels_would():
    cells = table({"a": 10, "b": 7, "c": 10.2, "d": 11.5, "e": 10}, 5, seed=3)
    frame = DataFrame([{"arm": a, "seed": s, "y": y} for (a, s), y in cells.items()])
    model = smf.ols("y ~ C(arm) + C(seed)", frame).fit()
    together = Contrast("d with e", "interaction", {"d": 1.0, "e": -1.0, "b": -0.5, "a": 0.5})
    second = Contrast("d over b", "interaction", {"d": 1.0, "b": -1.0})
    judgement = judge(
        cells,
        [change("b"), together, change("c"), second, change("d"), change("e")],
        Rules(2.5, sign=-1),
    )
    assert judgement.sd == pytest.approx(model.mse_resid**0.5)
    assert judgement.dof == model.df_resid
    changes = [model.t_test(f"C(arm)[T.{arm}] = 0") for arm in "bcde"]
    pairs = [
        model.t_test(f"C(arm)[T.d] - {t} = 0")
        for t in ("C(arm)[T.e] - 0.5*C(arm)[T.b]", "C(arm)[T.b]")
    ]
    by_place = dict(zip([0, 2, 4, 5], changes, strict=True)) | dict(zip([1, 3], pairs, strict=True))
    adjusted: dict = {}
    for places in ([0, 2, 4, 5], [1, 3]):
        found = multipletests([float(by_place[i].pvalue) for i in places], method="holm")[1]
        adjusted |= dict(zip(places, found, strict=True))
    for i, reference in by_place.items():
        own, estimate, error = (
            judgement.effects[i],
            float(reference.effect[0]),
            float(reference.sd[0, 0]),
        )
        assert own.effect.estimate == pytest.approx(estimate)
        assert own.effect.p == pytest.approx(float(reference.pvalue))
        assert (own.effect.low, own.effect.high) == pytest.approx(tuple(reference.conf_int()[0]))
        assert own.p_holm == pytest.approx(adjusted[i])
        assert own.real == (adjusted[i] < 0.05)
        tost = max(
            stats.t.sf((estimate + 2.5) / error, model.df_resid),
            stats.t.cdf((estimate - 2.5) / error, model.df_resid),
        )
        expected = (
            "equivalent"
            if tost < 0.05
            else ("hurts" if estimate > 0 else "helps")
            if adjusted[i] < 0.05
            else "inconclusive"
        )
        assert own.verdict == expected
    assert {own.verdict for own in judgement.effects} == {
        "helps",
        "hurts",
        "equivalent",
        "inconclusive",
    }


def test_two_arms_are_judged_by_the_paired_tests():
    for seed in range(20):
        cells = table({"a": 10, "b": 10.5}, 5, seed)
        (own,) = judge(cells, [change("b")], Rules(1.5, sign=-1)).effects
        b, a = column(cells, "b"), column(cells, "a")
        assert own.effect.p == pytest.approx(stats.ttest_rel(b, a).pvalue)
        assert (own.verdict == "equivalent") == (ttost_paired(b, a, -1.5, 1.5)[0] < 0.05)


def test_the_paired_t_stands_beside_the_pooled():
    cells = table({"a": 10, "b": 10.5, "c": 9}, 5)
    own = judge(
        cells, [Contrast("x", "change", {"b": 0.5, "a": -0.5})], Rules(1.0, sign=-1)
    ).effects[0]
    assert own.paired is not None
    reference = stats.ttest_rel(column(cells, "b") / 2, column(cells, "a") / 2)
    interval = reference.confidence_interval(0.95)
    assert own.paired.p == pytest.approx(reference.pvalue)
    assert (own.paired.low, own.paired.high) == pytest.approx((interval.low, interval.high))
    assert own.effect.p != pytest.approx(own.paired.p)
    three = judge(
        cells, [Contrast("x", "change", {"b": 1.0, "a": -0.5, "c": -0.5})], Rules(1.0, sign=-1)
    ).effects[0]
    assert three.paired is None


def test_arms_without_a_common_seed_are_compared_unpaired():
    cells = table({"a": 10, "b": 12}, 5) | {
        ("again", 1000 + s): v for (_, s), v in table({"again": 10}, 4, 1, 3.0).items()
    }
    judgement = judge(cells, [change("again"), change("b")], Rules(1.0, sign=-1))
    reference = stats.ttest_ind(column(cells, "again"), column(cells, "a"), equal_var=False)
    interval = reference.confidence_interval(0.95)
    own, within = judgement.effects
    assert own.effect.p == pytest.approx(reference.pvalue)
    assert (own.effect.low, own.effect.high) == pytest.approx((interval.low, interval.high))
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
    assert own.effect.p == pytest.approx(
        stats.ttest_ind(column(cells, "b"), column(cells, "a2"), equal_var=False).pvalue
    )
    weights = {"a": 1.0, "b": 1.0, "a2": -1.0, "b2": -1.0}
    own = judge(cells, [Contrast("x", "change", weights)], Rules(1.0, sign=-1)).effects[0]
    one, other = (
        column(cells, "a") + column(cells, "b"),
        column(cells, "a2")[:4] + column(cells, "b2"),
    )
    assert own.effect.p == pytest.approx(stats.ttest_ind(one, other, equal_var=False).pvalue)


def test_holm_is_statsmodels():
    rng = np.random.default_rng(0)
    for size in (1, 2, 5, 12):
        ps = [*rng.uniform(0, 0.1, size), 0.04, 0.04]
        assert holm(ps) == pytest.approx(list(multipletests(ps, method="holm")[1]))
    assert holm([0.01, None, 0.02]) == [
        pytest.approx(0.03),
        None,
        pytest.approx(0.04),
    ]  # as if the second were 1
    assert holm([]) == []


def test_real_but_below_the_margin():
    own = judge(
        table({"a": 10, "b": 10.5}, 8, sd=0.05), [change("b")], Rules(1.0, sign=-1)
    ).effects[0]
    assert (own.verdict, own.real, own.seeds_needed) == ("equivalent", True, None)


def test_an_arm_that_diverged_takes_its_questions_along_and_leaves_the_error():
    cells = table({"a": 10, "b": 5, "c": 10}, 3)
    cells |= {("c", 1): 900.0, ("c", 2): float("nan")}
    questions = [change("b"), change("c"), Contrast("b × c", "interaction", {"b": 1.0, "c": -1.0})]
    judgement = judge(cells, questions, Rules(1.0, sign=-1), {"c"})
    assert [own.verdict for own in judgement.effects] == ["helps", "diverged", "diverged"]
    assert judgement.effects[1].effect.estimate is None
    alone = judge(
        {k: v for k, v in cells.items() if k[0] != "c"}, questions[:1], Rules(1.0, sign=-1)
    )
    assert judgement.effects[0] == alone.effects[0]
    assert (judgement.sd, judgement.dof) == (alone.sd, 2)


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


def test_no_runs_at_all():
    for looks in ((), LOOKS):
        judgement = judge({}, [change("b")], Rules(1.0, looks, sign=-1))
        assert judgement.effects[0].verdict is None
        assert judgement.open == (frozenset("ab") if looks else frozenset())


def test_inconclusive_says_how_many_seeds_would_settle_it():
    judgement = judge(
        table({"a": 10, "b": 10.5, "c": 10.4}, 3, seed=2),
        [change("b"), change("c")],
        Rules(1.0, sign=-1),
    )
    own = judgement.effects[0]
    assert own.verdict == "inconclusive"
    assert own.seeds_needed is not None
    assert judgement.sd is not None

    def power(n):
        dof, shift = 2 * (n - 1), 1.0 / (judgement.sd * (2 / n) ** 0.5)
        return stats.nct.sf(stats.t.isf(0.0125, dof), dof, shift)

    assert power(own.seeds_needed) >= 0.8 > power(own.seeds_needed - 1)
    wide = judge(table({"a": 10, "b": 11}, 3, seed=4), [change("b")], Rules(1e-4, sign=-1)).effects[
        0
    ]
    assert (wide.verdict, wide.seeds_needed) == ("inconclusive", None)  # more than 10,000


@dataclass(frozen=True)
class Plain:
    """A question of a stranger's own."""

    name: str
    kind: str
    weights: dict
    parts: tuple = ()


def test_any_question_of_that_form_will_do():
    cells = table({"a": 10, "b": 12}, 4)
    assert judge(
        cells, [Plain("b", "change", {"b": 1.0, "a": -1.0})], Rules(1.0, sign=-1)
    ) == judge(cells, [change("b")], Rules(1.0, sign=-1))
