"""Arms of equal value in records made by hand: their runs are the same runs, and count once."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from scipy import stats

from ablab.analysis.across.across_parts import across
from ablab.analysis.across.ladder import PartResult
from ablab.analysis.costs import Costs
from ablab.analysis.effects import Findings, findings
from ablab.analysis.result_table import ResultTable
from ablab.analysis.timings import Timings
from ablab.plan.equal_arms import first_by_runs, first_by_value, merged
from ablab.records.study_content import PartContent, RunEntry
from ablab.report.costs import cost_phrases
from ablab.train.result import RunCost, RunResult
from tests.handmade import change_between, make_arm, make_content, make_part, make_study

STUDIES, SEEDS = 500, 3
AT_MOST = 0.05 + 2 * (0.05 * 0.95 / STUDIES) ** 0.5


@dataclass
class Trained:
    """A part of a study with the results of its runs, by key."""

    part: PartContent
    results: dict[str, RunResult]
    shared: tuple[RunEntry, ...] = ()
    """Runs with one recipe for all arms."""
    timings: Timings = field(default_factory=Timings)
    """The times of the arms."""

    def table(self, runs: tuple[RunEntry, ...] | None = None) -> ResultTable:
        """Return the results of the part's runs, or of `runs`."""
        arms = tuple(arm.name for arm in self.part.arms)
        runs = self.part.runs if runs is None else runs
        keys = {run.key for run in runs}
        return ResultTable(arms, runs, {k: r for k, r in self.results.items() if k in keys})

    @property
    def findings(self) -> Findings:
        """The effects of the part."""
        return findings(self.part, self.table(), self.table(self.shared) if self.shared else None)

    @property
    def costs(self) -> Costs:
        """The costs of its arms."""
        return Costs.of(self.part, self.table(), self.timings)

    def change(self, **fields):
        """Give the part other values."""
        self.part = replace(self.part, **fields)

    def change_study(self, **keys):
        """Give the study other keys."""
        study = self.part.study
        self.change(study=study.model_validate({**study.content(), **keys}))

    def diverge(self, key):
        """Let a run diverge."""
        self.results[key] = replace(self.results[key], diverged=True)


def train(values, twins=None, margin=1e-9):
    """Return a trained study.

    Args:
        values: by arm, its values by seed.
        twins: further arms, each with the arm whose runs it has.
        margin: margin of the study.

    """
    twins = twins or {}
    owners = {**dict(zip(values, values, strict=True)), **twins}
    arms = list(owners)
    part = make_part(
        make_study(seeds=SEEDS, margin=margin),
        arms=[make_arm(arm, flops_per_token=2.0) for arm in arms],
        runs=[
            RunEntry(arm, s, f"{owner}/{s}")
            for arm, owner in owners.items()
            for s in range(len(values[owner]))
        ],
        contrasts=[change_between(arm, arms[0]) for arm in arms[1:]],
    )
    results = {
        f"{arm}/{s}": result(value) for arm, own in values.items() for s, value in enumerate(own)
    }
    return Trained(part, results)


def result(value, diverged=False):
    return RunResult(
        diverged=diverged,
        steps=10,
        precision="fp32",
        device="cpu",
        threads=1,
        versions={},
        metrics={"val/bpb": value},
        cost=RunCost(
            tokens=100,
            flops=200.0,
            seconds=1.0,
            validation_seconds=0.0,
            tokens_per_second=100.0,
            parameters=5,
            peak_memory_bytes=1e6,
            decode_tokens_per_second=50.0,
            kv_cache_bytes=8,
        ),
    )


def residual(values):
    """The standard deviation about row and column means."""
    rest = values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()
    return np.sqrt((rest**2).sum() / ((values.shape[0] - 1) * (values.shape[1] - 1)))


def test_which_arms_are_equal():
    runs = [("b", "2"), ("a", "1"), ("c", "1"), ("c", "3"), ("d", "3")]
    assert first_by_runs(RunEntry(arm, 0, key) for arm, key in runs) == {
        "b": "b",
        "a": "a",
        "c": "a",
        "d": "a",
    }
    assert first_by_value({"x": 1, "y": 2, "z": 1}) == {"x": "x", "y": "y", "z": "x"}
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
        found = train(values, {"twin": "a", "third": "a"}).findings
        assert [effect.name for effect in found.effects] == ["b", "twin", "third"]
        false += found.effects[0].verdict in ("helps", "hurts")
        covered += found.effects[0].low <= 0 <= found.effects[0].high
    assert false / STUDIES <= AT_MOST
    assert covered / STUDIES >= 1 - AT_MOST


def test_a_twin_changes_no_figure_of_the_others_and_equals_its_arm():
    values = {
        arm: np.array(own)
        for arm, own in {
            "a": (2.5, 2.6, 2.55, 2.55),
            "b": (2.4, 2.51, 2.44, 2.45),
            "c": (2.6, 2.7, 2.69, 2.65),
        }.items()
    }
    found = train(values, {"twin": "b", "same": "a"}).findings
    sd = residual(np.array(list(values.values())))
    assert found.sd == pytest.approx(sd)
    assert found.dof == 6
    assert found.noise_floor == pytest.approx(np.std(values["a"], ddof=1))
    b, c, twin, same = found.effects
    assert (twin.estimate, twin.low, twin.p) == (b.estimate, b.low, b.p)
    assert b.p == pytest.approx(stats.ttest_rel(values["b"], values["a"]).pvalue)
    interval = stats.ttest_rel(values["c"], values["a"]).confidence_interval(0.95)
    assert (c.low, c.high) == pytest.approx((interval.low, interval.high))
    assert (same.estimate, same.verdict, same.missing) == (0.0, "equivalent", False)


def test_an_unfinished_arm_weighs_on_no_verdict_of_a_fixed_study():
    """Neither on the error nor on the seeds; its own effect is told without a verdict."""
    values = {
        "a": (2.5, 2.6, 2.55, 2.55),
        "b": (2.4, 2.51, 2.44, 2.45),
        "late": (9.0, 3.0, 5.0, 7.0),
    }
    trained = train({arm: np.array(own) for arm, own in values.items()})
    del trained.results["late/3"]
    found = trained.findings
    alone = np.array([values["a"], values["b"]])
    assert (found.sd, found.dof) == (pytest.approx(residual(alone)), 3)
    b, late = found.effects
    assert b.p == pytest.approx(stats.ttest_rel(values["b"], values["a"]).pvalue)
    assert b.p_holm == pytest.approx(min(1, 2 * b.p))  # it counts in Holm's procedure all the same
    assert b.verdict is not None
    assert (late.verdict, late.p_holm, late.missing, late.seeds_needed) == (None, None, True, None)
    # On the three seeds that it has in common with the baseline.
    assert late.estimate == pytest.approx(np.mean([9.0, 3.0, 5.0]) - alone[0, :3].mean())


def test_an_absolute_margin_holds_where_the_baseline_has_no_mean():
    values = {
        "a": (2.5, 2.6, 2.55, 2.55),
        "b": (2.4, 2.51, 2.44, 2.45),
        "c": (2.41, 2.50, 2.45, 2.44),
    }
    trained = train({arm: np.array(own) for arm, own in values.items()}, margin=0.2)
    trained.change(contrasts=(change_between("c", "b"),))
    trained.diverge("a/0")
    found = trained.findings
    assert (found.margin, found.effects[0].verdict) == (0.2, "equivalent")
    trained.change_study(margin="0.5 %")
    found = trained.findings
    assert found.margin is None
    assert found.effects[0].verdict == "inconclusive"


def test_equal_arms_that_diverged_are_not_equivalent():
    values = {
        "a": np.array([2.5, 2.6, 2.55, 2.55]),
        "b": np.array([2.4, 2.51, 2.44, 2.45]),
    }
    trained = train(values, {"twin": "a", "third": "b"}, margin="0.5 %")
    same = change_between("third", "b", "same")
    trained.change(contrasts=(*trained.part.contrasts, same))
    assert [effect.verdict for effect in trained.findings.effects][1:] == [
        "equivalent",
        "helps",
        "equivalent",
    ]
    trained.diverge("a/0")
    verdicts = [effect.verdict for effect in trained.findings.effects]
    assert verdicts == ["diverged"] * 3 + ["equivalent"]


def test_verdicts_of_one_recipe_and_of_each_arms_own_are_of_the_same_seeds():
    own = {"a": np.array([3.0, 3.1, 3.2, 3.3]), "b": np.array([2.92, 3.04, 3.09, 3.45])}
    once = {"a": np.array([3.4, 3.51]), "b": np.array([3.5, 3.7])}
    trained = train(own)
    results = trained.results
    trained.shared = tuple(RunEntry(arm, s, f"one/{arm}/{s}") for arm in "ab" for s in range(2))
    results |= {f"one/{arm}/{s}": result(once[arm][s]) for arm in "ab" for s in range(2)}
    (effect,) = trained.findings.effects
    assert effect.shared is not None
    assert effect.shared.seeds == 2
    first_two = {arm: own[arm][:2] for arm in "ab"}
    for found, values in ((effect.shared.one, once), (effect.shared.own, first_two)):
        expected = stats.ttest_rel(values["b"], values["a"])
        assert found.effect.estimate == pytest.approx((values["b"] - values["a"]).mean())
        assert found.effect.p == pytest.approx(expected.pvalue)
    assert effect.p == pytest.approx(
        stats.ttest_rel(own["b"], own["a"]).pvalue
    )  # the study's own: all seeds
    del results["one/b/1"]
    assert trained.findings.effects[0].shared is None
    results["one/b/1"] = result(3.7)
    del results["a/1"]
    assert trained.findings.effects[0].shared is None


def test_costs_of_equal_arms_count_once():
    speeds = {"a": (100.0, 104.0, 99.0), "b": (90.0, 97.0, 88.0)}
    trained = train({arm: np.ones(3) for arm in "ab"}, {"twin": "a", "third": "b"})
    first = {"a": "a", "twin": "a", "b": "b", "third": "b"}
    times = {(arm, r): 1 / v for arm in first for r, v in enumerate(speeds[first[arm]])}
    trained.timings = Timings({"seconds_per_token": times}, first)
    costs = trained.costs
    b, twin, third = (
        costs.ratios(contrast)["seconds_per_token"] for contrast in trained.part.contrasts
    )
    logs = np.log(speeds["a"]) - np.log(speeds["b"])  # of the time per token
    interval = stats.t.interval(0.95, 2, logs.mean(), stats.sem(logs))  # two arms: the paired t
    assert (b.value, b.low, b.high) == pytest.approx(tuple(np.exp([logs.mean(), *interval])))
    assert third == b
    assert (twin.value, twin.low, twin.high) == (1.0, 1.0, 1.0)
    assert cost_phrases({"seconds_per_token": twin}) == "no difference in cost found"
    assert costs.of_arm("twin") == costs.of_arm("a")
    unknown = trained.costs.ratios(trained.part.contrasts[1])["decode_tokens_per_second"]
    assert unknown.value is None


def ranked(values, twins=None, label="p"):
    """Return a part, and its results as the comparison across parts takes them.

    Args:
        values: by arm, its values by seed.
        twins: further arms, each with the arm whose runs it has.
        label: label of the part.

    """
    trained = train({arm: list(own.values()) for arm, own in values.items()}, twins)
    owners = {arm: (twins or {}).get(arm, arm) for arm in (*values, *(twins or {}))}
    seeds = {arm: list(values[owner]) for arm, owner in owners.items()}
    runs = [replace(run, seed=seeds[run.arm][run.seed]) for run in trained.part.runs]
    trained.change(label=label, runs=tuple(runs))
    table = trained.table()
    compute = dict.fromkeys(table.arms, 1e6)
    cells = table.values("val/bpb", equal_arms=True)
    return trained.part, PartResult(label, "a", 1e6, cells, compute, table.first)


def across_of(*parts, budgets=({"steps": 4}, {"steps": 8})):
    contents, results = zip(*parts, strict=True)
    content = make_content(*contents, study=make_study(budgets=list(budgets)))
    return across(content, results)


def test_arms_on_streams_of_their_own_rank_by_their_own_means():
    """No seed tells what the streams differ by: the means of the joint fit are arbitrary."""
    values = {"a": {1: 3.0, 2: 3.2, 3: 3.1}, "b": {1_000_001: 2.0, 1_000_002: 2.3, 1_000_003: 2.6}}
    (ranking,) = across_of(ranked(values)).rankings
    assert [row.arm for row in ranking.arms] == ["b", "a"]
    assert [row.mean for row in ranking.arms] == pytest.approx([2.3, 3.1])
    assert ranking.sd is None
    uneven = {
        "a": {1: 3.0, 2: 3.2},
        "b": {1_000_001: 2.0, 1_000_002: 2.3},
        "c": {1: 2.9},
    }  # c is 0.1 below a where both are
    (ranking,) = across_of(ranked(uneven)).rankings
    assert {row.arm: row.mean for row in ranking.arms} == pytest.approx(
        {"b": 2.15, "c": 3.0, "a": 3.1}
    )


def test_a_twin_in_a_part_counts_once_and_is_ranked():
    values = {"a": {1: 3.0, 2: 3.2, 3: 3.1}, "b": {1: 2.9, 2: 3.15, 3: 3.04}}
    plain, twinned = (
        across_of(ranked(values, twins)).rankings[0] for twins in (None, {"twin": "a"})
    )
    assert (
        twinned.sd
        == plain.sd
        == pytest.approx(residual(np.array([list(own.values()) for own in values.values()])))
    )
    assert {row.arm: row.mean for row in twinned.arms} == pytest.approx(
        {"a": 3.1, "twin": 3.1, "b": 3.03}
    )
    last = {**values, "c": {1: 3.3, 2: 3.4, 3: 3.5}}
    (ranking,) = across_of(ranked(last, {"twin": "a"})).rankings
    assert {row.arm: row.rank for row in ranking.arms} == {
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
        parts = (ranked({"a": a, "b": own}, twins, str(i)) for i, own in enumerate(b))
        changes = across_of(*parts).changes
        assert (changes[0].arms, changes[0].clear) == (("a", "b"), False)
        assert len(changes) == (2 if twins else 1)  # never a and its twin
