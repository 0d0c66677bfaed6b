"""The error terms of contrasts against scipy and a plain version of Smyth's moments."""

import numpy as np
import pytest
from scipy import optimize, special, stats

from ablab.design.layout import Contrast
from ablab.stats.inference.error_terms import (
    Estimates,
    effect_of,
    estimate_all,
    own,
    planning_dof,
)
from ablab.stats.inference.table import Table

CODES = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1], indexing="ij")).reshape(3, -1).T
ARMS = ["".join("+" if c > 0 else "-" for c in code) for code in CODES]
MAIN = [
    Contrast(name, "change", {arm: c / 4 for arm, c in zip(ARMS, CODES[:, i], strict=True)})
    for i, name in enumerate("abc")
]


def whole(values):
    """A table without gaps, from values `(studies, arms, seeds)` of the arms of 2³."""
    return Table(ARMS, values, np.ones(values.shape[1:], bool))


def estimates(table, questions) -> list[Estimates]:
    """The estimates of questions that the runs can answer."""
    results = [result for result in estimate_all(table, questions) if result is not None]
    assert len(results) == len(questions)
    return results


def alone(table, question) -> Estimates:
    """The estimate of a question with its own error term."""
    result = own(table, question.weights, question.parts)
    assert result is not None
    return result


def smyth(variances, dof):
    """The moderated variances of one study and their degrees of freedom, by root finding."""
    logs = np.log(variances) - special.digamma(dof / 2) + np.log(dof / 2)
    excess = logs.var(ddof=1) - special.polygamma(1, dof / 2)
    if excess <= special.polygamma(1, 500):
        half = 500.0
    else:
        half = optimize.brentq(lambda x: special.polygamma(1, x) - excess, 0.05, 500)
    prior = np.exp(logs.mean() + special.digamma(half) - np.log(half))
    moderated = (2 * half * prior + dof * variances) / (2 * half + dof)
    degrees = np.full(len(variances), min(2 * half + dof, len(variances) * dof))
    for i, variance in enumerate(variances):
        others = np.delete(variances, i).mean()
        if stats.f.sf(variance / others, dof, dof * (len(variances) - 1)) < 0.25:
            moderated[i], degrees[i] = variance, dof
    return moderated, degrees


def test_main_effects_are_moderated_and_one_that_stands_out_is_not():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(300, 8, 6))
    values[:100] += rng.normal(size=(100, 1, 6)) * (CODES[:, 0] > 0)[:, None]
    results = estimates(whole(values), MAIN)
    kept = 0
    for study in range(300):
        by_seed = np.array([CODES[:, i] / 4 @ values[study] for i in range(3)])
        variance, dof = smyth(by_seed.var(1, ddof=1), 5)
        for i, result in enumerate(results):
            assert result.value[study] == pytest.approx(by_seed[i].mean())
            assert result.error[study] ** 2 == pytest.approx(variance[i] / 6, rel=1e-3)
            assert result.dof[study] == pytest.approx(dof[i], rel=1e-2)
            kept += dof[i] == 5
    assert 100 < kept < 700  # both kinds occur


def test_other_contrasts_keep_their_own_error_term():
    values = np.random.default_rng(1).normal(size=(1, 8, 5))
    total = Contrast("t", "total", {ARMS[-1]: 1.0, ARMS[0]: -1.0})
    one_in = [Contrast(a, "change", {a: 1.0, ARMS[0]: -1.0}) for a in ARMS[1:4]]
    for question in (total, *one_in):
        (result,) = [
            r
            for q, r in zip(
                (*MAIN, total, *one_in),
                estimates(whole(values), (*MAIN, total, *one_in)),
                strict=True,
            )
            if q is question
        ]
        arm = next(a for a, w in question.weights.items() if w > 0)
        reference = stats.ttest_rel(values[0, ARMS.index(arm)], values[0, 0])
        assert result.p()[0] == pytest.approx(reference.pvalue)
        assert result.dof[0] == 4


def test_two_changes_are_too_few_to_moderate():
    values = np.random.default_rng(2).normal(size=(1, 8, 5))
    for question, result in zip(MAIN[:2], estimates(whole(values), MAIN[:2]), strict=True):
        assert result.dof[0] == 4
        assert result.error == alone(whole(values), question).error


def test_equal_runs_have_no_error_and_raise_no_warning():
    values = np.zeros((1, 8, 4))
    values[:, CODES[:, 0] > 0] = 1.0
    effect, none, _ = estimates(whole(values), MAIN)
    assert (effect.value[0], effect.error[0], effect.p()[0]) == (1.0, 0.0, 0.0)
    assert (none.value[0], none.p()[0]) == (0.0, 1.0)
    assert none.p_equivalence(0.1)[0] == 0.0
    assert effect.p_equivalence(0.1)[0] == 1.0


def test_two_one_sided_tests():
    values = np.random.default_rng(3).normal(size=(1, 8, 6))
    result = alone(whole(values), MAIN[0])
    by_seed = CODES[:, 0] / 4 @ values[0]
    for margin in (0.2, 1.0, 3.0):
        above = stats.ttest_1samp(by_seed, -margin, alternative="greater").pvalue
        below = stats.ttest_1samp(by_seed, margin, alternative="less").pvalue
        assert result.p_equivalence(margin)[0] == pytest.approx(max(above, below))


def test_only_seeds_that_all_arms_have_count():
    values = np.random.default_rng(4).normal(size=(1, 3, 6))
    present = np.ones((3, 6), bool)
    present[1, 5] = present[2, 0] = False
    table = Table(["a", "b", "c"], values, present)
    result = alone(table, Contrast("b", "change", {"b": 1.0, "a": -1.0}))
    reference = stats.ttest_rel(values[0, 1, :5], values[0, 0, :5])
    assert (result.seeds, result.p()[0]) == (5, pytest.approx(reference.pvalue))
    assert not table.complete("c", 1)
    assert table.complete("b", 5)
    assert own(table, {"d": 1.0, "a": -1.0}) is None


def test_streams_are_found_through_other_arms():
    present = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]], bool)
    table = Table(["a", "b", "c"], np.zeros((1, 3, 4)), present)
    assert table.streams[0] == table.streams[1] != table.streams[2]
    assert table.spans_streams(Contrast("c", "change", {"c": 1.0, "a": -1.0}))
    assert not table.spans_streams(Contrast("b", "change", {"b": 1.0, "a": -1.0}))


def test_degrees_of_freedom_for_planning():
    total = Contrast("t", "total", {ARMS[-1]: 1.0, ARMS[0]: -1.0})
    assert planning_dof([*MAIN, total]) == [1.2, 1.2, 1.2, 1.0]
    assert planning_dof(MAIN[:2]) == [1.0, 1.0]


def test_an_average_over_draws_carries_what_drawing_leaves():
    rng = np.random.default_rng(6)
    values = np.array([0.0, 1.0, 5.0])[:, None] + rng.normal(size=(3, 4))
    table = Table(list("abc"), values[None], np.ones((3, 4), bool))
    parts = [{"b": 1.0, "a": -1.0}, {"c": 1.0, "b": -1.0}, {"c": 0.5, "a": -0.5}]
    weights = {"a": -0.5, "b": 0.0, "c": 0.5}
    a, b, c = values.mean(1)
    sampling = stats.sem([b - a, c - b, (c - a) / 2])
    runs = stats.sem((values[2] - values[0]) / 2)
    plain, drawn = effect_of(table, weights), effect_of(table, weights, parts)
    assert plain.sampling_se is None
    assert drawn.estimate == plain.estimate == pytest.approx((c - a) / 2)
    assert drawn.sampling_se == pytest.approx(sampling)
    both = own(table, weights, parts)
    assert both is not None
    assert both.error[0] == pytest.approx(np.hypot(runs, sampling))
    dof = both.error[0] ** 4 / (runs**4 / 3 + sampling**4 / 2)  # Satterthwaite
    assert both.dof[0] == pytest.approx(2 + 0.9 * (dof - 2))
