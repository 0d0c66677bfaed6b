"""Tuning, with a stand-in trainer whose answers are known and with real processes."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest

from ablab.analysis.summarise import summarise
from ablab.errors import UserError
from ablab.execute.session import Request, Session, planned
from ablab.records.home import make_home
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_record import Record
from ablab.records.run_state import RunState
from ablab.schedule.initial_points import even_points
from ablab.schedule.trial_notes import duplicate_notes
from ablab.spec.tune import Range
from ablab.tracking.optuna.study import Interval, Proposer
from ablab.tracking.trackers import Trackers
from tests.conftest import ROOT
from tests.standin import Silent, StandIn, result
from tests.standin import carry_out as driven

BEST = {"gpt2": 1e-3, "llama": 4e-3}


def response(spec):
    """A bowl over the logarithm of the learning rate, whose bottom each arm has elsewhere; llama is
    better by 0.2.
    """
    arm = "llama" if "rope" in dict(spec.plugins) else "gpt2"
    return (
        2.5
        - 0.2 * (arm == "llama")
        + 0.1 * math.log2(spec.recipe["lr"] / BEST[arm]) ** 2
        + 0.001 * spec.seed % 3
    )


@pytest.fixture
def carry_out(tmp_path, study_text):
    """Plans and carries out a tuned comparison of gpt2 and llama in a home of its own, as often as
    it is called; each arm with its own best recipe only.
    """

    def call(tune, response=response, trainer=StandIn):
        if "share:" not in tune:
            tune = tune.removesuffix("}") + ", share: 1.0}"
        tune = tune.removesuffix("}") + ", shared: false}"
        file = tmp_path / "x.yaml"
        file.write_text(study_text.replace("leave_one_out", "compare") + f"tune: {tune}\n")
        return driven(file, tmp_path / "home", response, trainer)

    return call


def test_every_arm_has_as_many_trials_and_its_runs_take_the_best(carry_out):
    session, executor, _ = carry_out("{lr: [5.0e-4, 1.0e-3, 2.0e-3, 4.0e-3, 8.0e-3], trials: 5}")
    trials = [spec for spec in executor.trained if spec.trial is not None]
    runs = [spec for spec in executor.trained if spec.trial is None]
    # A step of an octave costs 0.1, more than the margin, so that three quarters of a step either
    # side of the optimum are tried as well.
    more = {"gpt2": [5.95e-4, 1.68e-3], "llama": [2.38e-3, 6.73e-3]}
    for arm in ("gpt2", "llama"):
        tried = [s.recipe["lr"] for s in trials if s.arm == arm]
        assert tried == [5e-4, 1e-3, 2e-3, 4e-3, 8e-3, *more[arm]]
        assert {s.recipe["lr"] for s in runs if s.arm == arm} == {BEST[arm]}
        assert sorted(s.seed for s in runs if s.arm == arm) == [1, 2]
    assert {spec.seed for spec in trials} == {10_001}
    whole = summarise(session.record)
    assert whole.progress.complete
    (summary,) = whole.parts
    assert [arm.best for arm in summary.tuning] == [{"lr": 1e-3}, {"lr": 4e-3}]
    assert [arm.edges for arm in summary.tuning] == [[], []]
    (effect,) = summary.effects
    assert effect.estimate == pytest.approx(-0.2)


def test_a_best_value_at_the_edge_is_said(carry_out):
    session, _, _ = carry_out("{lr: [2.0e-3, 4.0e-3, 8.0e-3], trials: 3}")
    assert [arm.edges for arm in summarise(session.record).parts[0].tuning] == [["lr"], []]


def test_a_trial_spends_its_share_of_the_budget(carry_out):
    _, executor, _ = carry_out("{lr: [1.0e-3, 2.0e-3], trials: 2, share: 0.5}")
    steps = {spec.trial is None: spec.batches.steps for spec in executor.trained}
    assert steps == {True: 4, False: 2}


@pytest.mark.slow
def test_the_sampler_goes_where_the_even_trials_point(carry_out):
    _, executor, _ = carry_out("{lr: {low: 1.0e-4, high: 0.2}, clip: [0.5, 1.0], trials: 24}")
    for arm in ("gpt2", "llama"):
        tried = [s.recipe["lr"] for s in executor.trained if s.arm == arm and s.trial is not None]
        distance = [abs(math.log2(lr / BEST[arm])) for lr in tried]
        assert len(tried) == 24
        assert sum(distance[10:]) / 14 < sum(distance[:10]) / 10
        best = next(s.recipe["lr"] for s in executor.trained if s.arm == arm and s.trial is None)
        assert abs(math.log2(best / BEST[arm])) == min(distance)


def test_the_optimum_is_read_between_the_points_and_on_the_arms_together(carry_out):
    """No point of the grid is an optimum, and one trial of llama misleads: the lowest of its trials
    is two steps off.
    """

    def misled(spec):
        arm = "llama" if "rope" in dict(spec.plugins) else "gpt2"
        best = {"gpt2": 1.5e-3, "llama": 1.9e-3}[arm]
        lucky = arm == "llama" and spec.trial is not None and spec.recipe["lr"] == 4e-3
        return 2.5 + 0.14 * math.log2(spec.recipe["lr"] / best) ** 2 - 0.16 * lucky

    _, executor, _ = carry_out("{lr: [5.0e-4, 1.0e-3, 2.0e-3, 4.0e-3], trials: 4}", misled)
    chosen = {s.arm: s.recipe["lr"] for s in executor.trained if s.trial is None}
    assert abs(math.log2(chosen["gpt2"] / 1.5e-3)) < 0.1
    assert abs(math.log2(chosen["llama"] / 1.9e-3)) < 0.4  # 1.07 is the lowest trial's


def test_where_a_step_costs_less_than_the_margin_nothing_is_refined(carry_out):
    _, executor, _ = carry_out(
        "{lr: [5.0e-4, 1.0e-3, 2.0e-3], trials: 3}",
        lambda spec: 2.5 + 0.01 * math.log2(spec.recipe["lr"] / 1e-3) ** 2,  # the margin is 0.0125
    )
    assert len([s for s in executor.trained if s.trial is not None]) == 6


def test_all_trials_together_take_a_quarter_of_the_compute_at_most(tmp_path, study_text):
    text = study_text.replace("leave_one_out", "compare").replace("steps: 4", "steps: 120")
    file = tmp_path / "x.yaml"

    def plan(tune):
        file.write_text(text.replace("seeds: 2", "seeds: 6") + f"tune: {tune}\n")
        return planned(Request(file, None, (), ()), tmp_path / "home").plan

    # Six trials at most for six runs, or for twelve with one recipe for all arms as well.
    for shared, steps in (("false", 40), ("true", 80)):
        decided = plan(f"{{lr: [1.0e-3, 2.0e-3, 4.0e-3, 8.0e-3], trials: 4, shared: {shared}}}")
        assert {trial.arm.steps for trial in decided.trials} <= {steps, steps - 1}
        assert not any("more than a quarter" in note for note in decided.notes)
    given = plan("{lr: [1.0e-3, 2.0e-3, 4.0e-3, 8.0e-3], trials: 4, shared: false, share: 1.0}")
    assert any("trials may take 50 % of the study's compute" in note for note in given.notes)


def test_refining_trials_stay_within_a_range(carry_out):
    session, executor, _ = carry_out("{lr: {low: 1.0e-3, high: 4.0e-3}, trials: 3, prune: asha}")
    tried = [s.recipe["lr"] for s in executor.trained if s.trial is not None]
    assert min(tried) == 1e-3
    assert max(tried) == 4e-3
    assert summarise(session.record).progress.complete


@pytest.mark.slow
def test_a_study_that_was_cut_off_anywhere_decides_the_same(carry_out, tmp_path):
    tune = "{lr: {low: 1.0e-4, high: 1.0e-1}, trials: 12}"
    _, whole, _ = carry_out(tune)
    keys = [spec.key for spec in whole.trained]
    for lost in (3, 17, 25, len(keys) - 1):
        for key in keys[lost:]:
            (tmp_path / "home" / "runs" / key / "result.json").unlink()
        _, again, tally = carry_out(tune)
        assert sorted(spec.key for spec in again.trained) == sorted(keys[lost:])
        assert tally.trained == len(keys) - lost
    _, nothing, _ = carry_out(tune)
    assert nothing.trained == []


def test_trials_that_diverge_decide_nothing(carry_out):
    def diverging(spec):
        return replace(result(9.9), diverged=True) if spec.recipe["lr"] > 1e-3 else response(spec)

    session, executor, _ = carry_out("{lr: [1.0e-3, 4.0e-3], trials: 2}", diverging)
    assert {spec.recipe["lr"] for spec in executor.trained if spec.trial is None} == {1e-3}
    (part,) = summarise(session.record).parts
    states = [trial.status for arm in part.tuning for trial in arm.trials]
    assert states == ["finished", "diverged"] * 2
    shown = part.as_json()
    assert [trial["state"] for trial in shown["trials"]] == states
    assert [trial["state"] for arm in shown["tuning"] for trial in arm["trials"]] == states


def test_where_no_trial_has_a_value_the_studys_recipe_stands(carry_out):
    _, executor, _ = carry_out(
        "{lr: [2.0e-3, 4.0e-3], trials: 2}", lambda spec: replace(result(9.9), diverged=True)
    )
    assert {spec.recipe["lr"] for spec in executor.trained if spec.trial is None} == {1e-3}


def test_several_options_at_once(carry_out):
    _, executor, _ = carry_out("{lr: [1.0e-3, 4.0e-3], optimizer: [adamw, muon], trials: 4}")
    tried = {
        (s.recipe["lr"], s.recipe["optimizer"])
        for s in executor.trained
        if s.trial is not None and s.arm == "gpt2"
    }
    assert tried == {(lr, name) for lr in (1e-3, 4e-3) for name in ("adamw", "muon")}


def test_points_are_spread_evenly():
    assert [p["lr"] for p in even_points({"lr": Range(low=1.0, high=100.0)}, 3)] == pytest.approx(
        [1, 10, 100]
    )
    assert [p["w"] for p in even_points({"w": Range(low=0.0, high=1.0, log=False)}, 3)] == [
        0,
        0.5,
        1,
    ]
    many = even_points({"lr": Range(low=1e-4, high=1e-2), "clip": [0.5, 1.0]}, 8)
    assert (
        sorted(p["clip"] for p in many) == [0.5] * 4 + [1.0] * 4
    )  # a Latin hypercube: as many in each half
    assert sorted(int(4 * math.log10(p["lr"] / 1e-4)) for p in many) == list(range(8))


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        (
            "{lr: [1.0e-3, 2.0e-3], trials: 2, seed: 2}",
            "x.yaml:11:41: tune.seed: seed 2 is used by the trials",
        ),
        (
            "{lr: [1.0e-3, 2.0e-3], trials: 3}",
            "x.yaml:11:1: tune: its lists have 2 combinations, fewer than 3 trials",
        ),
        ("{trials: 3}", "x.yaml:11:1: tune: it names no option of the recipe"),
        (
            "{lr: {low: 1.0e-2, high: 1.0e-3}, trials: 3}",
            "x.yaml:11:8: tune.lr: low 0.01 is not below high 0.001",
        ),
        ("{lr: [1.0e-3, 2.0e-3], trials: 2, share: 0.1}", "below one step"),
        (
            "{lr: [1.0e-3, -2.0e-3], trials: 2}",
            "x.yaml:11:21: tune.lr.1: Input should be greater than 0",
        ),
        ("{rate: [1.0e-3], trials: 2}", "tune.rate: no key named 'rate'"),
        ("{optimizer: [adamw, sdg], trials: 2}", "no optimizer named 'sdg'"),
    ],
)
def test_what_cannot_be_tuned_is_refused_with_its_place(carry_out, tmp_path, tune, message):
    with pytest.raises(UserError) as error:
        carry_out(tune)
    assert message in str(error.value)
    assert not (tmp_path / "home").exists()


@pytest.mark.system
def test_pruning_and_resuming_with_real_processes(ablab, tmp_path, study_text):
    text = (
        study_text.replace("leave_one_out", "compare")
        .replace("steps: 4", "steps: 60")
        .replace("[0.5]", "[0.2, 0.4, 0.8]")
    )
    (tmp_path / "x.yaml").write_text(
        text + "tune: {lr: [3.0, 1.0e-3, 3.0e-3, 1.0e-2], clip: [1.0], trials: 4, share: 1.0, "
        "prune: asha}\n"
    )
    first = ablab("run", "x.yaml", "--workers", 2)
    assert first.returncode == 0, first.stderr
    told = ablab("report", "x").stdout
    assert "each arm was tuned alike: 4 trials over lr" in " ".join(told.split())
    content = json.loads(ablab("report", "x", "--json").stdout)
    assert content["runs"] == content["finished"] == 12
    (part,) = content["parts"]
    states = {t["state"] for arm in part["tuning"] for t in arm["trials"]}
    assert states <= {"finished", "pruned", "diverged"}
    for arm in part["tuning"]:
        values = {
            t["params"]["lr"]: t["values"][0] for t in arm["trials"] if t["values"] is not None
        }
        assert arm["best"]["lr"] == min(values, key=values.get)
    again = ablab("run", "x.yaml")
    assert "nothing to train" in again.stdout


@pytest.mark.slow
def test_lists_are_tried_without_repeating(carry_out):
    values = ", ".join(f"{1e-3 * 1.2**i:.6f}" for i in range(13))
    session, executor, _ = carry_out(f"{{lr: [{values}], trials: 12}}")
    tried = [s.recipe["lr"] for s in executor.trained if s.trial is not None and s.arm == "gpt2"]
    assert len(set(tried)) == len(tried) == 12
    assert summarise(session.record).progress.complete


def test_an_arm_whose_own_plugin_writes_what_is_tuned_is_named_and_the_study_ends(
    tmp_path, study_text
):
    text = study_text.replace(
        "from: gpt2\nto: llama\n", "arms: {a: gpt2, b: gpt2 + muon}\n"
    ).replace("leave_one_out", "compare")
    (tmp_path / "x.yaml").write_text(text + "tune: {optimizer: [adamw, adam], trials: 2}\n")
    home = make_home(tmp_path / "home")
    session = Session(
        planned(Request(tmp_path / "x.yaml", None, (), ()), home.root), home, Silent()
    )
    session.trackers = Trackers([])
    session.run(lambda context: StandIn(home.root, lambda spec: 3.0))
    assert any("b: only 1 of 2 trials differ" in note for note in session.planned.plan.notes)
    assert summarise(session.record).progress.complete
    assert session.missing == 0


def fail(root, spec):
    (root / "runs" / spec.key / "result.json").unlink()
    Record(root, spec.key).fail("RuntimeError: no")


def test_a_trial_that_failed_has_no_value_until_it_is_retried(carry_out, tmp_path):
    tune = "{lr: [1.0e-3, 2.0e-3], trials: 2}"
    _, first, _ = carry_out(tune)
    best = next(
        s
        for s in first.trained
        if s.trial is not None and s.arm == "gpt2" and s.recipe["lr"] == 1e-3
    )
    fail(tmp_path / "home", best)
    session, executor, _ = carry_out(tune)
    assert {s.recipe["lr"] for s in executor.trained} == {2e-3}  # gpt2 is confirmed with the other
    session.reset()
    _, again, _ = carry_out(tune)
    assert again.trained == []
    Record(tmp_path / "home", best.key).reset()  # what `ablab retry` does
    _, retried, _ = carry_out(tune)
    assert [s.key for s in retried.trained] == [best.key]


def test_a_cancelled_trial_ends_the_tuning_until_the_next_run(tmp_path, study_text):
    (tmp_path / "x.yaml").write_text(study_text + "tune: {lr: [1.0e-3, 2.0e-3], trials: 2}\n")
    request, root = Request(tmp_path / "x.yaml", None, (), ()), tmp_path / "home"
    source = planned(request, root).source
    spec = source.next()
    assert spec is not None
    Record(root, spec.key).stop.request("enough")
    source.ended(spec, AttemptOutcome(RunState.CANCELLED, "enough"))
    assert source.done
    assert source.next() is None
    home = make_home(root)
    session = Session(planned(request, root), home, Silent())
    session.reset()
    again = session.planned.source.next()
    assert again is not None
    assert again.key == spec.key
    assert not Record(root, spec.key).stop.requested


def test_what_one_study_prunes_is_a_whole_run_in_another(carry_out, tmp_path):
    pruning = "{lr: [1.0e-3, 2.0e-3], trials: 2, prune: asha}"
    session, executor, _ = carry_out(pruning)
    victim = next(s for s in executor.trained if s.trial == 1 and s.arm == "gpt2")
    (tmp_path / "home" / "runs" / victim.key / "result.json").unlink()
    Record(tmp_path / "home", victim.key).stop.request(
        "it lagged", "pruned", session.record.edition
    )
    _, same, _ = carry_out(pruning)
    assert same.trained == []
    _, other, _ = carry_out("{lr: [1.0e-3, 2.0e-3], trials: 2}")  # tunes alike, and prunes nothing
    assert [s.key for s in other.trained] == [victim.key]
    assert Record(tmp_path / "home", victim.key).finished


def test_pruning_without_validations_to_compare_is_refused(study_text, tmp_path):
    file = tmp_path / "x.yaml"
    tune = "tune: {lr: [1.0e-3, 2.0e-3], trials: 2, prune: asha}\n"
    file.write_text(study_text.replace("validate_at: [0.5]", "validate_at: []") + tune)
    with pytest.raises(UserError, match="give `validate_at` shares of the budget") as error:
        planned(Request(file, None, (), ()), tmp_path)
    assert str(error.value).startswith(f"{file}:")


@pytest.mark.system
def test_a_search_for_several_objectives_and_with_a_pruner_in_real_processes(ablab, tmp_path):
    base = (
        "run",
        ROOT / "studies" / "block_search.yaml",
        "--profile",
        "smoke",
        "--home",
        tmp_path / "home",
    )
    result = ablab(*base)
    assert result.returncode == 0, result.stderr
    shown = " ".join(result.stdout.split())
    assert "4 trials looked for low val/bpb, cost/seconds" in shown
    assert "survives" in shown
    result = ablab(
        *base,
        "design.objectives=[val/bpb]",
        "design.prune=hyperband",
        "validate_at=[0.2, 0.4, 0.6]",
    )
    assert result.returncode == 0, result.stderr


def test_a_trial_is_judged_at_every_rung_it_has_passed():
    """A trial that was best at its first rung is not pruned there, whenever its values are read."""
    proposer = Proposer({"lr": Interval(1e-4, 1e-2)}, ["minimize"], "asha")
    for _ in range(3):
        proposer.ask(lambda suggest: suggest("lr"))
    assert not proposer.lags(0, {1: 1.0, 2: 3.0})
    assert proposer.lags(1, {1: 2.0})
    assert not proposer.lags(2, {1: 0.5})


@pytest.mark.slow
def test_a_lagging_trial_is_asked_to_stop(carry_out, tmp_path):
    """The source looks at what running trials have measured, and asks the worst to stop."""
    tune = "{lr: [2.0e-3, 8.0e-3, 1.0e-3, 4.0e-3], trials: 4, prune: asha}"
    session, executor, _ = carry_out(tune)
    gpt2 = [spec for spec in executor.trained if spec.arm == "gpt2"]
    trials = [spec for spec in gpt2 if spec.trial is not None and spec.trial < 4]
    for spec in trials:
        (tmp_path / "home" / "runs" / spec.key / "result.json").unlink()
    source = planned(session.planned.request, tmp_path / "home").source
    for spec in trials:
        for rung in (1, 2):
            Record(tmp_path / "home", spec.key).metrics.append(
                rung, {"val/bpb": response(spec) + 1 / rung}
            )
    handed = [source.next() for _ in trials]
    assert {spec.key for spec in handed if spec} == {spec.key for spec in trials}
    source.watch([spec for spec in handed if spec])
    asked = [Record(tmp_path / "home", spec.key).stop.pruned for spec in trials]
    assert asked == [False, True, False, True]  # the better half of those that came as far


def test_a_value_that_is_tried_twice_is_not_laid_on_a_plugin():
    def trial(number, lr, key):
        return SimpleNamespace(
            arm=SimpleNamespace(params={"lr": lr}), run=SimpleNamespace(key=key, trial=number)
        )

    twice = SimpleNamespace(name="a", trials=[trial(0, 0.1, "k"), trial(1, 0.1, "k")])
    alike = SimpleNamespace(name="b", trials=[trial(0, 0.1, "k"), trial(1, 0.2, "k")])
    assert duplicate_notes([twice]) == []
    (note,) = duplicate_notes([twice, alike])
    assert note.startswith("b: only 1 of 2 trials differ")
