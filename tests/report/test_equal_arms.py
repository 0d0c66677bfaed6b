"""Arms of equal value in records made by hand: their runs are the same runs, and count once."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from ablab.analysis.across_parts import across
from ablab.analysis.costs import Costs
from ablab.analysis.effects import findings
from ablab.plan.equal_arms import first_by_runs, first_of, merged
from ablab.report.costs import told

STUDIES, SEEDS = 500, 3
AT_MOST = 0.05 + 2 * (0.05 * 0.95 / STUDIES) ** 0.5


def study(values, twins=None, margin=1e-9):
    """A record and its results: `values` (arms, seeds) by name; `twins`: further arms, by the arm
    whose runs are theirs.
    """
    twins = twins or {}
    runs = [
        {"arm": arm, "seed": s, "key": f"{arm}/{s}"}
        for arm, own in values.items()
        for s in range(len(own))
    ]
    runs += [
        {"arm": arm, "seed": s, "key": f"{of}/{s}"}
        for arm, of in twins.items()
        for s in range(len(values[of]))
    ]
    arms = [*values, *twins]
    contrasts = [
        {"name": arm, "kind": "change", "weights": {arm: 1.0, arms[0]: -1.0}} for arm in arms[1:]
    ]
    content = {
        "config": {"metric": "val/bpb", "margin": margin, "seeds": SEEDS},
        "arms": [
            {"name": arm, "expression": arm, "parameters": 5, "flops_per_token": 2.0}
            for arm in arms
        ],
        "baseline": arms[0],
        "runs": runs,
        "contrasts": contrasts,
    }
    results = {
        f"{arm}/{s}": result(value) for arm, own in values.items() for s, value in enumerate(own)
    }
    return content, results


def result(value, speed=100.0, decode=50.0, diverged=False):
    cost = {
        "tokens": 100,
        "seconds": 1.0,
        "tokens_per_second": speed,
        "decode_tokens_per_second": decode,
    }
    return {
        "diverged": diverged,
        "device": "cpu",
        "threads": 1,
        "cost": {**cost, "peak_memory_bytes": 1e6, "kv_cache_bytes": 8},
        "metrics": {"val/bpb": value},
    }


def residual(values):
    """The standard deviation about row and column means."""
    rest = values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()
    return np.sqrt((rest**2).sum() / ((values.shape[0] - 1) * (values.shape[1] - 1)))


def test_which_arms_are_equal():
    runs = [
        {"arm": "b", "key": "2"},
        {"arm": "a", "key": "1"},
        {"arm": "c", "key": "1"},
        {"arm": "c", "key": "3"},
    ]
    assert first_by_runs([*runs, {"arm": "d", "key": "3"}]) == {
        "b": "b",
        "a": "a",
        "c": "a",
        "d": "a",
    }
    assert first_of({"x": 1, "y": 2, "z": 1}) == {"x": "x", "y": "y", "z": "x"}
    assert merged({"c": 1.0, "a": -1.0}, {"c": "a"}) == {}
    assert merged({"c": 1.0, "a": 0.5, "b": -1.5}, {"c": "a"}) == {"a": 1.5, "b": -1.5}


def test_a_duplicate_arm_makes_no_finding_out_of_noise():
    """With it twice in the error the residual has twice the degrees of freedom and half the spread
    that the runs warrant.
    """
    rng, false, covered = np.random.default_rng(11), 0, 0
    for _ in range(STUDIES):
        seeds = rng.normal(size=SEEDS)
        values = {arm: 3 + seeds + 0.1 * rng.normal(size=SEEDS) for arm in "ab"}
        found = findings(*study(values, {"twin": "a", "third": "a"}))
        assert [effect.name for effect in found.effects] == ["b", "twin", "third"]
        false += found.effects[0].verdict in ("helps", "hurts")
        covered += found.effects[0].low <= 0 <= found.effects[0].high
    assert false / STUDIES <= AT_MOST
    assert covered / STUDIES >= 1 - AT_MOST


def test_a_twin_changes_no_figure_of_the_others_and_equals_its_arm():
    values = {
        arm: np.array(own)
        for arm, own in {
            "a": (2.5, 2.6, 2.55),
            "b": (2.4, 2.51, 2.44),
            "c": (2.6, 2.7, 2.69),
        }.items()
    }
    found = findings(*study(values, {"twin": "b", "same": "a"}))
    sd = residual(np.array(list(values.values())))
    assert found.sd == pytest.approx(sd)
    assert found.dof == 4
    assert found.noise_floor == pytest.approx(np.std(values["a"], ddof=1))
    b, c, twin, same = found.effects
    assert (twin.estimate, twin.low, twin.p) == (b.estimate, b.low, b.p)
    t = (values["b"] - values["a"]).mean() / (sd * np.sqrt(2 / 3))
    assert b.p == pytest.approx(2 * stats.t.sf(abs(t), 4))
    half = stats.t.isf(0.025, 4) * sd * np.sqrt(2 / 3)
    assert (c.low, c.high) == pytest.approx(
        tuple((values["c"] - values["a"]).mean() + half * np.array([-1, 1]))
    )
    assert (same.estimate, same.verdict, same.missing) == (0.0, "equivalent", False)


def test_an_unfinished_arm_weighs_on_no_verdict_of_a_fixed_study():
    """Neither on the error nor on the seeds; its own effect is told without a verdict."""
    values = {"a": (2.5, 2.6, 2.55), "b": (2.4, 2.51, 2.44), "late": (9.0, 3.0, 5.0)}
    content, results = study({arm: np.array(own) for arm, own in values.items()})
    del results["late/2"]
    found = findings(content, results)
    alone = np.array([values["a"], values["b"]])
    assert (found.sd, found.dof) == (pytest.approx(residual(alone)), 2)
    b, late = found.effects
    assert b.p == pytest.approx(stats.ttest_rel(values["b"], values["a"]).pvalue)
    assert b.p_holm == pytest.approx(min(1, 2 * b.p))  # it counts in Holm's procedure all the same
    assert b.verdict is not None
    assert (late.verdict, late.p_holm, late.missing, late.seeds_needed) == (None, None, True, None)
    # On the two seeds that it has, adjusted for them by what the complete arms say of the seeds.
    assert late.estimate == pytest.approx(
        np.mean([9.0, 3.0]) - alone[:, :2].mean() + alone.mean() - np.mean(values["a"])
    )


def test_an_absolute_margin_holds_where_the_baseline_has_no_mean():
    values = {"a": (2.5, 2.6, 2.55), "b": (2.4, 2.51, 2.44), "c": (2.41, 2.50, 2.45)}
    content, results = study({arm: np.array(own) for arm, own in values.items()}, margin=0.2)
    content["contrasts"] = [{"name": "c", "kind": "change", "weights": {"c": 1.0, "b": -1.0}}]
    results["a/0"]["diverged"] = True
    found = findings(content, results)
    assert (found.margin, found.effects[0].verdict) == (0.2, "equivalent")
    content["config"]["margin"] = "0.5 %"
    found = findings(content, results)
    assert found.margin is None
    assert found.effects[0].verdict == "inconclusive"


def test_equal_arms_that_diverged_are_not_equivalent():
    values = {
        arm: np.array(own) for arm, own in {"a": (2.5, 2.6, 2.55), "b": (2.4, 2.51, 2.44)}.items()
    }
    content, results = study(values, {"twin": "a", "third": "b"}, margin="0.5 %")
    content["contrasts"].append(
        {"name": "same", "kind": "change", "weights": {"third": 1.0, "b": -1.0}}
    )
    assert [effect.verdict for effect in findings(content, results).effects][1:] == [
        "equivalent",
        "helps",
        "equivalent",
    ]
    results["a/0"]["diverged"] = True
    assert [effect.verdict for effect in findings(content, results).effects] == ["diverged"] * 3 + [
        "equivalent"
    ]


def test_verdicts_of_one_recipe_and_of_each_arms_own_are_of_the_same_seeds():
    own = {"a": np.array([3.0, 3.1, 3.2, 3.3]), "b": np.array([2.92, 3.04, 3.09, 3.45])}
    once = {"a": np.array([3.4, 3.51]), "b": np.array([3.5, 3.7])}
    content, results = study(own)
    runs = [{"arm": arm, "seed": s, "key": f"one/{arm}/{s}"} for arm in "ab" for s in range(2)]
    content["shared"] = {"params": {"lr": 1e-3}, "runs": runs}
    results |= {f"one/{arm}/{s}": result(once[arm][s]) for arm in "ab" for s in range(2)}
    (effect,) = findings(content, results).effects
    assert effect.shared["seeds"] == 2
    for name, values in (("one", once), ("own", {arm: own[arm][:2] for arm in "ab"})):
        expected = stats.ttest_rel(values["b"], values["a"])
        assert effect.shared[name]["estimate"] == pytest.approx((values["b"] - values["a"]).mean())
        assert effect.shared[name]["p"] == pytest.approx(expected.pvalue)
    assert effect.p == pytest.approx(
        stats.ttest_rel(own["b"], own["a"]).pvalue
    )  # the study's own: all seeds
    del results["one/b/1"]
    assert findings(content, results).effects[0].shared is None
    results["one/b/1"] = result(3.7)
    del results["a/1"]
    assert findings(content, results).effects[0].shared is None


def test_costs_of_equal_arms_count_once():
    speeds = {"a": (100.0, 104.0, 99.0), "b": (90.0, 97.0, 88.0)}
    content, results = study({arm: np.ones(3) for arm in "ab"}, {"twin": "a", "third": "b"})
    for arm, own in speeds.items():
        for s, speed in enumerate(own):
            results[f"{arm}/{s}"]["cost"]["tokens_per_second"] = speed
    costs = Costs.of(content, results)
    b, twin, third = (
        costs.ratios(contrast)["seconds_per_token"] for contrast in content["contrasts"]
    )
    logs = np.log(speeds["a"]) - np.log(speeds["b"])  # of the time per token
    interval = stats.t.interval(0.95, 2, logs.mean(), stats.sem(logs))  # two arms: the paired t
    assert (b.value, b.low, b.high) == pytest.approx(tuple(np.exp([logs.mean(), *interval])))
    assert third == b
    assert (twin.value, twin.low, twin.high) == (1.0, 1.0, 1.0)
    assert told({"seconds_per_token": twin}) == "no difference in cost found"
    assert costs.of_arm("twin") == costs.of_arm("a")
    for s in range(3):
        results[f"a/{s}"]["cost"]["decode_tokens_per_second"] = None
    unknown = Costs.of(content, results).ratios(content["contrasts"][1])["decode_tokens_per_second"]
    assert unknown.value is None


def part(values, twins=None, label="p"):
    """A part's record, and what `across` reads of its summary."""
    content, _ = study({arm: np.array(list(own.values())) for arm, own in values.items()}, twins)
    seeds = {arm: list(own) for arm, own in values.items()}
    content["runs"] = [
        {**run, "seed": seeds.get(run["arm"], seeds["a"])[run["seed"]]} for run in content["runs"]
    ]
    every = {**values, **{twin: values[of] for twin, of in (twins or {}).items()}}
    arms = [
        SimpleNamespace(
            name=arm,
            diverged=[],
            flops=1e6,
            values=[{"seed": s, "value": v} for s, v in own.items()],
        )
        for arm, own in every.items()
    ]
    return {**content, "label": label}, SimpleNamespace(part=label, arms=arms, metric="val/bpb")


def of_parts(*parts, budgets=({"steps": 4}, {"steps": 8})):
    records, summaries = zip(*parts, strict=True)
    return across({"config": {"budgets": list(budgets)}, "parts": list(records)}, list(summaries))


def test_arms_on_streams_of_their_own_rank_by_their_own_means():
    """No seed tells what the streams differ by: the means of the joint fit are arbitrary."""
    values = {"a": {1: 3.0, 2: 3.2, 3: 3.1}, "b": {1_000_001: 2.0, 1_000_002: 2.3, 1_000_003: 2.6}}
    (ranking,) = of_parts(part(values))["rankings"]
    assert [row["arm"] for row in ranking["arms"]] == ["b", "a"]
    assert [row["mean"] for row in ranking["arms"]] == pytest.approx([2.3, 3.1])
    assert ranking["sd"] is None
    uneven = {
        "a": {1: 3.0, 2: 3.2},
        "b": {1_000_001: 2.0, 1_000_002: 2.3},
        "c": {1: 2.9},
    }  # c is 0.1 below a where both are
    (ranking,) = of_parts(part(uneven))["rankings"]
    assert {row["arm"]: row["mean"] for row in ranking["arms"]} == pytest.approx(
        {"b": 2.15, "c": 3.0, "a": 3.1}
    )


def test_a_twin_in_a_part_counts_once_and_is_ranked():
    values = {"a": {1: 3.0, 2: 3.2, 3: 3.1}, "b": {1: 2.9, 2: 3.15, 3: 3.04}}
    plain, twinned = (
        of_parts(part(values, twins))["rankings"][0] for twins in (None, {"twin": "a"})
    )
    assert (
        twinned["sd"]
        == plain["sd"]
        == pytest.approx(residual(np.array([list(own.values()) for own in values.values()])))
    )
    assert {row["arm"]: row["mean"] for row in twinned["arms"]} == pytest.approx(
        {"a": 3.1, "twin": 3.1, "b": 3.03}
    )
    last = {**values, "c": {1: 3.3, 2: 3.4, 3: 3.5}}
    (ranking,) = of_parts(part(last, {"twin": "a"}))["rankings"]
    assert {row["arm"]: row["rank"] for row in ranking["arms"]} == {
        "b": 1,
        "a": 2,
        "twin": 2,
        "c": 4,
    }


def test_a_twin_lends_no_certainty_to_a_change_of_places():
    """b is ahead of a, then behind, each time just within the interval of two arms, and beyond that
    of a twin's error.
    """
    noise = np.array([-1.0, 0.2, 0.8])
    shift = 0.8 * stats.t.isf(0.025, 2) * stats.sem(noise)
    a = dict.fromkeys(range(3), 3.0)
    b = [{s: 3.0 + sign * shift + noise[s] for s in range(3)} for sign in (1, -1)]
    for twins in (None, {"twin": "a"}):
        changes = of_parts(*(part({"a": a, "b": own}, twins, str(i)) for i, own in enumerate(b)))[
            "changes"
        ]
        assert (changes[0]["arms"], changes[0]["clear"]) == (["a", "b"], False)
        assert len(changes) == (2 if twins else 1)  # never a and its twin
