"""Seeds that are added until verdicts are decided, with a stand-in trainer whose answers are
known.
"""

import hashlib
import json
import random
from dataclasses import replace

import pytest

from ablab.analysis.summarise import summarise
from ablab.errors import UserError
from ablab.execute.session import Request, Session, planned
from ablab.records.home import make_home
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_record import Record
from ablab.records.run_state import RunState
from ablab.records.status import StatusReader
from ablab.report import sentences
from ablab.tracking.trackers import Trackers
from tests.standin import Silent, StandIn, result
from tests.standin import carry_out as driven

ARMS = "arms: {base: gpt2, far: gpt2 + rope, near: gpt2 + rmsnorm}\n"


def noise(spec, sd=0.02):
    """The same for the same run, about normal, and unlike for others."""
    digest = hashlib.sha256(f"{spec.arm}/{spec.seed}".encode()).digest()
    return random.Random(digest).gauss(0.0, sd)


def response(spec):
    """rope is worth 1 bit per byte, which no noise hides; rmsnorm nothing."""
    return 3.0 - 1.0 * ("rope" in dict(spec.plugins)) + noise(spec)


@pytest.fixture
def carry_out(tmp_path, study_text):
    """Plans and carries out a study in a home of its own, as often as it is called."""

    def call(seeds, arms=ARMS, response=response, more="", trainer=StandIn, design="compare"):
        text = study_text.replace("seeds: 2", f"seeds: {seeds}").replace("leave_one_out", design)
        if arms:
            text = text.replace("from: gpt2\nto: llama\n", arms)
        (tmp_path / "x.yaml").write_text(text + more)
        return driven(tmp_path / "x.yaml", tmp_path / "home", response, trainer)

    return call


def seeds_of(executor):
    """By arm, the seeds that were trained."""
    found = {}
    for spec in executor.trained:
        found.setdefault(spec.arm, []).append(spec.seed)
    return {arm: sorted(seeds) for arm, seeds in found.items()}


def spared(session):
    """Runs fewer than with the maximum of seeds for every arm."""
    (part,) = summarise(session.record).parts
    return part.spared


ADAPTIVE = "{start: 4, max: 12, until: decided}"


@pytest.mark.slow
def test_a_large_effect_stops_at_the_start(carry_out):
    session, executor, _ = carry_out(ADAPTIVE, "arms: {base: gpt2, far: gpt2 + rope}\n")
    assert seeds_of(executor) == {"base": [1, 2, 3, 4], "far": [1, 2, 3, 4]}
    expected = session.planned.plan.expected
    assert (expected.runs, expected.most) == (8, 8)
    assert spared(session) == 16
    assert session.record.read().parts[0].baseline == "base"
    assert summarise(session.record).progress.complete
    assert session.missing == 0


@pytest.mark.slow
def test_only_the_open_arm_and_the_baseline_get_more(carry_out):
    session, executor, _ = carry_out(ADAPTIVE, more="margin: 0.001\n")
    seeds = seeds_of(executor)
    assert seeds["far"] == [1, 2, 3, 4]
    assert seeds["base"] == seeds["near"] == list(range(1, 13))
    assert spared(session) == 8
    assert session.display.expected == 16  # 28 in all, of which twelve were known
    now = StatusReader(session.record).read()
    assert (now.runs.total, now.may_come, now.settled) == (28, 0, True)


def test_nothing_within_a_wide_margin_ends_as_equivalent_before_the_most(carry_out):
    _, executor, _ = carry_out(
        ADAPTIVE, "arms: {base: gpt2, near: gpt2 + rmsnorm}\n", more="margin: 3 %\n"
    )
    seeds = seeds_of(executor)
    assert seeds["base"] == seeds["near"]
    assert 4 <= len(seeds["base"]) < 12


@pytest.mark.slow
def test_looks_are_at_the_planned_numbers_whatever_else_is_recorded(carry_out):
    """Runs of later seeds that another study trained decide nothing before their look."""
    _, fixed, _ = carry_out("12", "arms: {base: gpt2, far: gpt2 + rope}\n")
    assert len(fixed.trained) == 24
    session, executor, _ = carry_out(ADAPTIVE, "arms: {base: gpt2, far: gpt2 + rope}\n")
    assert executor.trained == []
    assert len(session.planned.plan.runs) == 8


def test_arms_of_equal_value_share_what_is_added(carry_out):
    """Nothing is handed out twice, or counted so."""
    arms = "arms: {base: gpt2, twin: gpt2, near: gpt2 + rmsnorm}\n"
    session, executor, _ = carry_out("{start: 4, max: 6}", arms, more="margin: 0.001\n")
    trained = len(executor.trained)
    assert trained == len({spec.key for spec in executor.trained})
    expected = session.planned.plan.expected
    assert (expected.runs, expected.most) == (trained, trained)
    counts = [
        sum(run.arm == arm for run in session.planned.plan.runs) for arm in ("base", "twin", "near")
    ]
    assert trained == max(counts[0], counts[1]) + counts[2]
    assert spared(session) == 12 - trained


def test_a_factorial_adds_all_its_arms(carry_out):
    design = "factorial, changes: [rmsnorm, no_bias]"
    session, executor, _ = carry_out(
        "{start: 4, max: 6}", "from: gpt2\n", more="margin: 0.0001\n", design=design
    )
    assert list(seeds_of(executor).values()) == [[1, 2, 3, 4, 5, 6]] * 4
    assert session.record.read().parts[0].baseline == "gpt2"


@pytest.mark.slow
def test_a_driver_that_was_cut_off_anywhere_goes_on_the_same(carry_out, tmp_path):
    more = "margin: 0.001\n"
    _, whole, _ = carry_out("{start: 4, max: 7}", more=more)
    keys = [spec.key for spec in whole.trained]
    for lost in (1, 5, 9, len(keys) - 1):
        for key in keys[lost:]:
            (tmp_path / "home" / "runs" / key / "result.json").unlink()
        _, again, tally = carry_out("{start: 4, max: 7}", more=more)
        assert sorted(spec.key for spec in again.trained) == sorted(keys[lost:])
        assert tally.trained == len(keys) - lost
    _, nothing, _ = carry_out("{start: 4, max: 7}", more=more)
    assert nothing.trained == []


class FailsOnce(StandIn):
    """One run fails."""

    def submit(self, spec):
        future = super().submit(spec)
        if (spec.arm, spec.seed) == ("far", 2):
            (self.root / "runs" / spec.key / "result.json").unlink()
            Record(self.root, spec.key).fail("RuntimeError: no")
            future = type(future)()
            future.set_result(AttemptOutcome(RunState.FAILED, "RuntimeError: no"))
        return future


@pytest.mark.slow
def test_a_failed_run_holds_the_decision_until_it_is_there(carry_out):
    more = "margin: 0.001\n"
    session, executor, tally = carry_out("{start: 4, max: 5}", more=more, trainer=FailsOnce)
    assert len(executor.trained) == 12
    assert len(tally.failed) == 1
    expected = session.planned.plan.expected
    assert (expected.runs, expected.most) == (12, 15)
    assert not summarise(session.record).progress.complete
    assert StatusReader(session.record).read().may_come == 3
    session.reset()
    _, again, _ = carry_out("{start: 4, max: 5}", more=more)
    assert seeds_of(again) == {"far": [2], "base": [5], "near": [5]}


def test_a_cancelled_run_holds_it_too_and_the_others_are_trained(carry_out, tmp_path):
    session, _, _ = carry_out("{start: 4, max: 5}", more="margin: 0.001\n")
    first = session.planned.plan.runs[0]
    for run in session.planned.plan.runs:
        (tmp_path / "home" / "runs" / run.key / "result.json").unlink()
    Record(tmp_path / "home", first.key).stop.request("enough")
    _, again, tally = carry_out("{start: 4, max: 5}", more="margin: 0.001\n")
    assert len(again.trained) == 11
    assert list(tally.stopped) == [first.key]


@pytest.mark.slow
def test_a_diverged_arm_gets_no_more_seeds(carry_out):
    def diverging(spec):
        return (
            replace(result(9.9), diverged=True)
            if "rope" in dict(spec.plugins) and spec.seed == 2
            else response(spec)
        )

    _, executor, _ = carry_out("{start: 4, max: 6}", response=diverging, more="margin: 0.001\n")
    seeds = seeds_of(executor)
    assert seeds["far"] == [1, 2, 3, 4]
    assert seeds["near"] == seeds["base"] == [1, 2, 3, 4, 5, 6]


def test_where_all_arms_diverge_nothing_follows(carry_out):
    _, executor, _ = carry_out(ADAPTIVE, response=lambda spec: replace(result(9.9), diverged=True))
    assert len(executor.trained) == 12


@pytest.mark.slow
def test_the_best_recipes_of_a_tuning_are_confirmed_adaptively(carry_out, tmp_path):
    more = "margin: 0.001\ntune: {lr: [1.0e-3, 2.0e-3], trials: 2}\n"

    def bowl(spec):
        return response(spec) + (spec.recipe["lr"] > 1e-3)

    session, executor, _ = carry_out("{start: 4, max: 6}", response=bowl, more=more)
    runs = [spec for spec in executor.trained if spec.trial is None]
    assert {spec.recipe["lr"] for spec in runs} == {1e-3}
    seeds = {arm: sorted(s.seed for s in runs if s.arm == arm) for arm in ("base", "far", "near")}
    assert seeds == {"base": [1, 2, 3, 4, 5, 6], "far": [1, 2, 3, 4], "near": [1, 2, 3, 4, 5, 6]}
    assert summarise(session.record).progress.complete
    keys = [spec.key for spec in executor.trained]
    for lost in (3, 8, 13):
        for key in keys[lost:]:
            (tmp_path / "home" / "runs" / key / "result.json").unlink()
        _, again, _ = carry_out("{start: 4, max: 6}", response=bowl, more=more)
        assert sorted(spec.key for spec in again.trained) == sorted(keys[lost:])


def test_a_plan_says_what_there_is_at_least_and_at_most(ablab, tmp_path, study_text):
    text = study_text.replace("leave_one_out", "compare").replace(
        "seeds: 2", "seeds: {start: 4, max: 12}"
    )
    (tmp_path / "x.yaml").write_text(text)
    shown = " ".join(ablab("plan", "x.yaml").stdout.split())
    assert "at least 8, at most 24 runs, at least 8 to train" in shown
    assert (
        "seeds: 4 of every arm, then 5, 7, 9, 12 of those whose verdicts are open; margin "
        "0.5 % of the mean of gpt2"
    ) in shown
    content = json.loads(ablab("plan", "x.yaml", "--json").stdout)
    (part,) = content["parts"]
    assert (content["runs"], content["most_runs"], part["detectable_effect"]) == (8, 24, None)


@pytest.mark.parametrize(
    ("seeds", "more", "message"),
    [
        (
            "{start: 3, max: 9}",
            "",
            "x.yaml:8:9: seeds.start: 3 seeds give no verdict: start with 4 or more",
        ),
        ("{start: 4, max: 4}", "", "x.yaml:8:1: seeds: max 4 is not above start 4"),
        ("{start: 4}", "", "seeds.max: Field required"),
        (
            "{start: 4, max: 5, until: done}",
            "",
            "x.yaml:8:27: seeds.until: Input should be 'decided', not 'done'",
        ),
        ("{start: 4, most: 5}", "", "seeds.most: no key named 'most'"),
        ("3", "margin: 0\n", "x.yaml:11:1: margin: a number above 0"),
        ("3", "margin: -1 %\n", "x.yaml:11:1: margin: a number above 0"),
        ("3", "margin: half\n", "x.yaml:11:1: margin: a number above 0"),
        (
            "{start: 4, max: 9}",
            "tune: {lr: [1.0e-3, 2.0e-3], trials: 2, seed: 9}\n",
            "tune.seed: seed 9 is used by the trials",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(carry_out, tmp_path, seeds, more, message):
    with pytest.raises(UserError) as error:
        carry_out(seeds, arms="from: gpt2\nto: llama\n", more=more)
    assert message in str(error.value)
    assert not (tmp_path / "home").exists()


def test_a_search_takes_a_fixed_number(carry_out):
    with pytest.raises(
        UserError, match=r"seeds: a search confirms its best arms on a fixed number"
    ):
        carry_out(
            ADAPTIVE,
            "from: gpt2\n",
            design="search, changes: [rope, rmsnorm], trials: 4, confirm: 1",
        )


@pytest.mark.parametrize("salt", [0.001, 0.002, 0.003, 0.004])
def test_a_twin_brings_no_verdict_forward(tmp_path, study_text, salt):
    """In the error it would halve the spread and double the degrees of freedom, so that verdicts
    came too soon.
    """

    def noisy(spec):
        digest = hashlib.sha256(
            f"{salt}/{sorted(dict(spec.plugins))}/{spec.seed}".encode()
        ).digest()
        return 3.0 + random.Random(digest).gauss(0.0, 0.02)

    counts = []
    for name, twin in (("alone", ""), ("twin", ", twin: gpt2, third: gpt2")):
        arms = f"arms: {{base: gpt2, near: gpt2 + rmsnorm{twin}}}\nmargin: 0.02\n"
        text = study_text.replace("from: gpt2\nto: llama\n", arms).replace(
            "leave_one_out", "compare"
        )
        file, home = tmp_path / "x.yaml", make_home(tmp_path / name)
        file.write_text(text.replace("seeds: 2", f"seeds: {ADAPTIVE}"))
        session = Session(planned(Request(file, None, (), ()), home.root), home, Silent())
        session.trackers = Trackers([])
        executor = StandIn(home.root, noisy)
        session.run(lambda context, made=executor: made)
        counts.append(len(executor.trained))
    assert counts[0] == counts[1] > 6  # it did look again


@pytest.mark.slow
def test_runs_are_spared_once_all_verdicts_are_there(carry_out):
    session, executor, _ = carry_out(ADAPTIVE, "arms: {base: gpt2, far: gpt2 + rope}\n")
    (done,) = summarise(session.record).parts
    assert done.spared == 16
    assert any(
        line.startswith("seeds added where verdicts were open: 16 runs fewer than 12")
        for line in sentences.noise(done)
    )
    (session.home.root / "runs" / executor.trained[-1].key / "result.json").unlink()
    (missing,) = summarise(session.record).parts
    assert (missing.spared, missing.effects[0].verdict) == (None, None)
    assert not any("seeds added" in line for line in sentences.noise(missing))
