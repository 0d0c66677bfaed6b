"""What is said of noise and of verdicts, on studies whose figures are known."""

from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestIndPower

from ablab.analysis.effects import EffectSummary, findings
from ablab.report.costs import told
from ablab.report.sentences import changed_by_tuning, noise, sentence
from ablab.stats.costs import Ratio
from tests.report.test_equal_arms import study


def summary(found, **more):
    """What the sentences read of a summary."""
    figures = {
        "sd": found.sd,
        "dof": found.dof,
        "noise_floor": found.noise_floor,
        "detectable_effect": found.detectable,
    }
    known = {
        "effects": found.effects,
        "margin": found.margin,
        "baseline": found.baseline,
        **figures,
    }
    return SimpleNamespace(**{"metric": "val/bpb", "looks": [], "spared": None, **known, **more})


@pytest.fixture
def apart():
    """An A/A study: two arms, each on four seeds of its own; its values, record and results."""
    values = {"a": np.array([3.0, 3.2, 3.1, 3.25]), "b": np.array([3.1, 3.05, 3.3, 3.2])}
    content, results = study(values, margin=0.5)
    content["runs"] = [
        {**run, "seed": run["seed"] + 1_000_000 * (run["arm"] == "b")} for run in content["runs"]
    ]
    content["config"]["arms"] = {
        "a": {"model": "gpt2", "replicate": 0},
        "b": {"model": "gpt2", "replicate": 1},
    }
    return values, content, results


def test_a_study_on_streams_apart_tells_its_noise(apart):
    values, content, results = apart
    found = findings(content, results)
    assert found.sd is None
    floor = np.std(values["a"], ddof=1)
    # Two samples as large, of the mean of the two variances, with Satterthwaite's degrees of
    # freedom.
    variances = [np.var(own, ddof=1) for own in values.values()]
    dof = sum(variances) ** 2 / sum(v**2 / 3 for v in variances)
    critical, error = stats.t.isf(0.025, dof), (sum(variances) / 4) ** 0.5
    assert stats.nct.sf(critical, dof, found.detectable / error) == pytest.approx(0.8, abs=1e-4)
    alike = (
        TTestIndPower().solve_power(nobs1=4, alpha=0.05, power=0.8) * (sum(variances) / 2) ** 0.5
    )
    assert found.detectable == pytest.approx(alike, rel=0.02)
    assert noise(summary(found)) == [
        f"noise floor: sd {floor:.2g} over the seeds of a",
        f"a change of {found.detectable:.2g} val/bpb or more is detected with 80 % power",
        "margin: effects within ±0.5 val/bpb count as none",
        "p is adjusted by Holm over the changes (interactions: over the interactions)",
    ]


def test_looks_are_told_there_too(apart):
    _, content, results = apart
    content["config"]["seeds"] = {"start": 2, "max": 8}
    lines = noise(summary(findings(content, results), looks=[2, 4, 8], spared=9))
    assert any(line.startswith("noise floor") for line in lines)
    assert lines[-2].startswith("looks at 2, 4, 8 seeds")
    assert (
        lines[-1]
        == "seeds added where verdicts were open: 9 runs fewer than 8 seeds of every arm would take"
    )
    assert not any(
        "seeds added" in line
        for line in noise(summary(findings(content, results), looks=[2, 4, 8]))
    )


def test_the_test_of_the_looks_is_that_of_the_effects(apart):
    _, content, results = apart
    content["config"]["seeds"] = {"start": 2, "max": 8}
    content["contrasts"].append({"name": "c", "kind": "change", "weights": {"c": 1.0, "a": -1.0}})
    content["arms"].append({**content["arms"][0], "name": "c"})
    content["config"]["arms"]["c"] = "gpt2 + rope"
    unpaired, paired = findings(content, results).effects
    for effects, test in (
        ([unpaired], "for Welch's t of unpaired arms, and"),
        ([paired], "for the pooled t, and"),
        ([unpaired, paired], "for the pooled t and Welch's t of unpaired arms, and"),
    ):
        found = replace(findings(content, results), effects=effects)
        (line,) = [
            line for line in noise(summary(found, looks=[2, 4, 8])) if line.startswith("looks at")
        ]
        assert test in line


def test_arms_that_are_the_same_need_no_margin():
    effect = EffectSummary("b", "change", 0.0, 0.0, 0.0, 1.0, verdict="equivalent")
    assert sentence(effect, "val/bpb") == "b makes no difference: its arms are the same."


def test_a_study_without_effects_tells_none():
    content, results = study({"a": np.array([3.0, 3.1])})
    assert noise(summary(findings(content, results))) == []


def test_one_seed_is_said_of_one_seed_alone(apart):
    one = findings(*study({"a": np.array([3.0]), "b": np.array([3.1])})).effects[0]
    assert (
        sentence(one, "val/bpb")
        == "b: +0.1000 val/bpb, without a verdict: one seed tells no noise."
    )
    content, results = study({"a": np.array([3.0, 3.2]), "b": np.array([3.1, 3.3])})
    del results["b/1"]
    missing = findings(content, results).effects[0]
    assert "one seed" not in sentence(missing, "val/bpb")
    assert sentence(missing, "val/bpb").endswith("so far, without a verdict: runs are missing.")
    _, content, results = apart  # two streams, one of which has a single run yet
    for seed in (1, 2, 3):
        del results[f"b/{seed}"]
    assert "runs are missing" in sentence(findings(content, results).effects[0], "val/bpb")


def both(one, own, estimates=(-0.2, 0.1)):
    verdicts = [{"verdict": v, "estimate": e} for v, e in zip((one, own), estimates, strict=True)]
    return EffectSummary(
        "b",
        "change",
        0.1,
        0.0,
        0.2,
        0.04,
        shared={"seeds": 2, "one": verdicts[0], "own": verdicts[1]},
    )


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
    found = changed_by_tuning(
        SimpleNamespace(effects=[both(*pair) for pair in pairs], shared={"lr": 0.001})
    )
    assert len(found) == len(lines)
    for line, expected in zip(found, lines, strict=True):
        assert expected in line
    assert not found or "on the same 2 seeds," in found[0]


def test_interactions_and_studies_without_a_common_recipe_are_not_compared():
    interaction = EffectSummary(**{**asdict(both("helps", "hurts")), "kind": "interaction"})
    assert changed_by_tuning(SimpleNamespace(effects=[interaction], shared={"lr": 0.001})) == []
    assert changed_by_tuning(SimpleNamespace(effects=[both("helps", "hurts")], shared=None)) == []


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
    assert told({"seconds_per_token": times, "kv_cache_bytes": Ratio(1 / 8)}) == words
