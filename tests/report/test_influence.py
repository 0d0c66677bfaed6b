"""Verdicts that turn when a seed is left out."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from ablab.report.checks import check_lines
from ablab.report.sentences import sentence
from ablab.stats.inference.influence import Turn
from tests.handmade import make_summary
from tests.report.test_equal_arms import train


def study(differences, margin=1e-9):
    base = np.linspace(3, 4, len(differences))
    return train({"a": base, "b": base + differences}, margin=margin)


def p_without(differences, seed):
    return stats.ttest_1samp(np.delete(differences, seed), 0).pvalue


def test_a_verdict_names_the_seeds_that_it_depends_on():
    rng = np.random.default_rng(0)
    named = 0
    for _ in range(60):
        differences = rng.normal(-1.3, 1, 6)
        (effect,) = study(differences).findings.effects
        p = {seed: p_without(differences, seed) for seed in range(6)}
        lost = [seed for seed in p if p[seed] > 0.1 and effect.verdict != "inconclusive"]
        assert [turn.seed for turn in effect.turns] == lost
        for turn in effect.turns:
            assert turn.verdict == "inconclusive"
            assert turn.p_holm == pytest.approx(p[turn.seed])
        named += len(lost)
    assert named > 0


def test_equivalence_turns_only_into_an_effect():
    # Seed 0 varies most. It keeps the mean within the margin, and other seeds keep its weight low.
    differences = np.array([-0.60, -0.90, -0.91, -0.89, -0.90, -0.92])
    (effect,) = study(differences, margin=0.96).findings.effects
    t = (0.96 + np.mean(differences)) / stats.sem(differences)
    assert stats.t.sf(t, 5) < 0.05
    assert effect.verdict == "equivalent"
    expected = []
    for seed in range(6):
        rest = np.delete(differences, seed)
        within = stats.t.sf((0.96 + rest.mean()) / stats.sem(rest), 4)
        if within >= 0.05:
            expected.append(seed)
    assert expected
    assert [turn.seed for turn in effect.turns] == expected
    assert {turn.verdict for turn in effect.turns} == {"helps"}


@pytest.mark.parametrize("count", [2, 4])
def test_four_seeds_or_fewer_leave_too_few(count):
    (effect,) = study(np.array([-1.0, -1.1, -0.9, -1.05])[:count]).findings.effects
    assert effect.turns == ()


def test_an_adaptive_study_is_judged_again_as_a_fixed_one():
    rng = np.random.default_rng(3)
    for _ in range(30):
        differences = rng.normal(-2, 1, 6)
        trained = study(differences)
        trained.change_study(seeds={"start": 4, "max": 6})
        (effect,) = trained.findings.effects
        p = {seed: p_without(differences, seed) for seed in range(6)}
        lost = [seed for seed in p if p[seed] > 0.1 and effect.verdict != "inconclusive"]
        assert [turn.seed for turn in effect.turns] == lost


def test_sentences_say_so():
    (effect,) = study(np.array([-1.0, -1.1, -0.9, -1.05, -1.0])).findings.effects
    assert "single seeds" not in sentence(effect, "val/bpb")
    turned = replace(effect, turns=(Turn(3, "inconclusive", 0.1234), Turn(7, "hurts", 0.0001)))
    assert sentence(turned, "val/bpb").endswith(
        "This verdict depends on single seeds: inconclusive (p = 0.123) without seed 3, hurts (p < "
        "0.001) without seed 7."
    )
    assert check_lines(make_summary(effects=[turned])) == []
    pair = replace(turned, name="a × b", kind="interaction")
    (line,) = check_lines(make_summary(effects=[pair]))
    assert line.startswith("a × b: This verdict depends on single seeds: inconclusive")
