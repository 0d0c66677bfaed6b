"""What is said of noise and of verdicts, on studies whose figures are known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestIndPower

from ablab.analysis.effect_summary import EffectSummary, RecipeComparison, RecipeEffect
from ablab.records.study_content import SharedRuns
from ablab.report.costs import cost_phrases
from ablab.report.sentences import changed_by_tuning, noise, sentence
from ablab.stats.costs import Ratio
from ablab.stats.effects import Effect
from tests.handmade import make_arm, make_part, make_study, make_summary
from tests.report.test_equal_arms import train


def summary_of(trained, **fields):
    """Return the summary of a trained part; `fields` replace those of its findings."""
    found = trained.findings
    figures = {
        "effects": found.effects,
        "sd": found.sd,
        "dof": found.dof,
        "noise_floor": found.noise_floor,
        "detectable_effect": found.detectable,
        "margin": found.margin,
    }
    return make_summary(trained.part, **{**figures, **fields})


REPLICATES = {"a": {"model": "gpt2", "replicate": 0}, "b": {"model": "gpt2", "replicate": 1}}


@pytest.fixture
def apart():
    """An A/A study: two arms, each on four seeds of its own; its values, and the trained study."""
    values = {"a": np.array([3.0, 3.2, 3.1, 3.25]), "b": np.array([3.1, 3.05, 3.3, 3.2])}
    trained = train(values, margin=0.5)
    runs = [replace(run, seed=run.seed + 1_000_000 * (run.arm == "b")) for run in trained.part.runs]
    trained.change(runs=tuple(runs))
    trained.change_study(arms=REPLICATES)
    return values, trained


def test_a_study_on_streams_apart_tells_its_noise(apart):
    values, trained = apart
    found = trained.findings
    assert found.sd is None
    floor = np.std(values["a"], ddof=1)
    # Two samples as large, of the mean of the two variances, with Satterthwaite's degrees of
    # freedom.
    variances = [np.var(own, ddof=1) for own in values.values()]
    dof = 3 + 0.9 * (sum(variances) ** 2 / sum(v**2 / 3 for v in variances) - 3)
    critical, error = stats.t.isf(0.025, dof), (sum(variances) / 4) ** 0.5
    assert stats.nct.sf(critical, dof, found.detectable / error) == pytest.approx(0.8, abs=1e-4)
    alike = (
        TTestIndPower().solve_power(nobs1=4, alpha=0.05, power=0.8) * (sum(variances) / 2) ** 0.5
    )
    assert found.detectable == pytest.approx(alike, rel=0.1)
    assert noise(summary_of(trained)) == [
        "error terms: the spread of each effect over seeds; main effects of a factorial share "
        "theirs, unless one stands out",
        f"noise floor: sd {floor:.2g} over the seeds of a",
        f"a change of {found.detectable:.2g} val/bpb or more is detected with 80 % power",
        "margin: effects within ±0.5 val/bpb count as none",
        "p is adjusted by Holm over the changes (interactions: over the interactions)",
    ]


def test_looks_are_told_there_too(apart):
    _, trained = apart
    trained.change_study(seeds={"start": 4, "max": 8})
    lines = noise(summary_of(trained, looks=(4, 6, 8), spared=9))
    assert any(line.startswith("noise floor") for line in lines)
    assert lines[-2].startswith("looks at 4, 6, 8 seeds")
    assert (
        lines[-1]
        == "seeds added where verdicts were open: 9 runs fewer than 8 seeds of every arm would take"
    )
    lines = noise(summary_of(trained, looks=(4, 6, 8)))
    assert not any("seeds added" in line for line in lines)


def test_arms_that_are_the_same_need_no_margin():
    effect = EffectSummary("b", "change", 0.0, 0.0, 0.0, 1.0, verdict="equivalent")
    assert sentence(effect, "val/bpb") == "b makes no difference: its arms are the same."


def test_a_study_without_effects_tells_none():
    assert noise(summary_of(train({"a": np.array([3.0, 3.1])}))) == []


def test_few_seeds_give_no_verdict(apart):
    one = train({"a": np.array([3.0]), "b": np.array([3.1])}).findings.effects[0]
    assert (
        sentence(one, "val/bpb")
        == "b: +0.1000 val/bpb, without a verdict: that needs 4 seeds or more."
    )
    trained = train({"a": np.array([3.0, 3.2]), "b": np.array([3.1, 3.3])})
    del trained.results["b/1"]
    missing = trained.findings.effects[0]
    assert "one seed" not in sentence(missing, "val/bpb")
    assert sentence(missing, "val/bpb").endswith("so far, without a verdict: runs are missing.")
    _, trained = apart  # two streams, one of which has a single run yet
    for seed in (1, 2, 3):
        del trained.results[f"b/{seed}"]
    assert "runs are missing" in sentence(trained.findings.effects[0], "val/bpb")


def both(one, own, estimates=(-0.2, 0.1)):
    pairs = zip((one, own), estimates, strict=True)
    effects = [
        RecipeEffect(Effect(estimate, None, None, None), None, verdict)
        for verdict, estimate in pairs
    ]
    return EffectSummary("b", "change", 0.1, 0.0, 0.2, 0.04, shared=RecipeComparison(2, *effects))


def tuned(effects, shared):
    """Return the summary of a part with such effects, and with `shared` as the common recipe."""
    part = make_part(make_study(), [make_arm("gpt2")], [], [], shared=shared)
    return make_summary(part, effects=effects)


ONE_RECIPE = SharedRuns({"lr": 0.001}, ())


@pytest.mark.parametrize(
    ("pairs", "lines"),
    [
        (
            [("helps", "helps"), ("inconclusive", "inconclusive")],
            ["every verdict would be the same"],
        ),
        (
            [("helps", "hurts"), ("inconclusive", "inconclusive")],
            [
                "1 of 2 verdicts would differ:",
                "  b: helps (-0.20) with one recipe, hurts (+0.10) with each arm's own",
            ],
        ),
        (
            [(None, "hurts"), ("helps", "helps")],
            ["every verdict would be the same"],
        ),  # one has none: not compared
        (
            [("helps", None), ("helps", "hurts")],
            ["1 of 1 verdicts would differ:", "  b: helps (-0.20) with one recipe, hurts"],
        ),
        ([(None, None)], []),
        ([(None, "helps")], []),
    ],
)
def test_tuning_changes_verdicts_where_both_are_there(pairs, lines):
    found = changed_by_tuning(tuned([both(*pair) for pair in pairs], ONE_RECIPE))
    assert len(found) == len(lines)
    for line, expected in zip(found, lines, strict=True):
        assert expected in line
    assert not found or "on the same 2 seeds," in found[0]


def test_interactions_and_studies_without_a_common_recipe_are_not_compared():
    change = both("helps", "hurts")
    interaction = replace(change, kind="interaction")
    assert changed_by_tuning(tuned([interaction], ONE_RECIPE)) == []
    assert changed_by_tuning(tuned([change], None)) == []


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (Ratio(1.05), "KV cache 1/8, times not compared"),  # one seed
        (Ratio(None), "KV cache 1/8, times not compared"),
        (Ratio(1.05, 0.98, 1.12), "KV cache 1/8"),
        (Ratio(1.1, 1.05, 1.15), "10 % slower per token, KV cache 1/8"),
    ],
)
def test_times_that_are_not_compared_are_not_passed_over(times, words):
    assert cost_phrases({"seconds_per_token": times, "kv_cache_bytes": Ratio(1 / 8)}) == words
