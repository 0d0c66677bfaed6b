"""One recipe for all arms beside each arm's own best, with a stand-in trainer whose answers are
known.
"""

import math
from dataclasses import replace

import pytest

from ablab.analysis.summarise import summarise
from ablab.execute.session import Request, planned
from ablab.metrics import METRICS
from ablab.records.status import StatusReader
from ablab.schedule.shared_recipe import common_point
from tests.standin import carry_out as driven
from tests.standin import result

BEST = {"gpt2": 1e-3, "llama": 4e-3}
LISTED = "{lr: [5.0e-4, 1.0e-3, 2.0e-3, 4.0e-3, 8.0e-3], trials: 5, share: 1.0}"


def response(spec):
    """Equal bowls over the logarithm of the learning rate, so that 2e-3 is best for both."""
    arm = "llama" if "rope" in dict(spec.plugins) else "gpt2"
    return 2.5 + 0.2 * math.log2(spec.recipe["lr"] / BEST[arm]) ** 2 + 0.001 * spec.seed % 3


@pytest.fixture
def carry_out(tmp_path, study_text):
    """Plans and carries out a tuned comparison of gpt2 and llama in a home of its own, as often as
    it is called.
    """

    def call(tune, response=response, seeds="2", more=""):
        text = study_text.replace("leave_one_out", "compare").replace("seeds: 2", f"seeds: {seeds}")
        (tmp_path / "x.yaml").write_text(text + f"tune: {tune}\n{more}")
        return driven(tmp_path / "x.yaml", tmp_path / "home", response)[:2]

    return call


def shared_runs(session):
    """Runs with one recipe for all arms, as the record of the study has them."""
    (part,) = session.record.read().parts
    return part.shared


def lowest_mean(rates):
    """By hand: the rate whose mean over both bowls is lowest."""
    means = {lr: math.log2(lr / 1e-3) ** 2 + math.log2(lr / 4e-3) ** 2 for lr in rates}
    return min(means, key=means.__getitem__)


def test_every_arm_is_confirmed_with_one_recipe_too(carry_out):
    session, executor = carry_out(LISTED)
    common = lowest_mean([5e-4, 1e-3, 2e-3, 4e-3, 8e-3])
    assert common not in (BEST["llama"], 5e-4)
    shared = shared_runs(session)
    assert shared.params == {"lr": common}
    assert [(run.arm, run.seed) for run in shared.runs] == [
        ("gpt2", 1),
        ("gpt2", 2),
        ("llama", 1),
        ("llama", 2),
    ]
    trained = {(s.arm, s.recipe["lr"], s.seed) for s in executor.trained if s.trial is None}
    wanted = {("gpt2", lr, seed) for lr in {common, BEST["gpt2"]} for seed in (1, 2)}
    assert trained == wanted | {
        ("llama", lr, seed) for lr in (common, BEST["llama"]) for seed in (1, 2)
    }
    expected = session.planned.plan.expected
    assert expected.runs == expected.most == len(trained)
    assert len(executor.trained) == len({spec.key for spec in executor.trained})
    own = {(run.arm, run.seed): run.key for run in session.planned.plan.runs}
    same = [run for run in shared.runs if own[run.arm, run.seed] == run.key]
    assert len(same) == (2 if common == BEST["gpt2"] else 0)
    assert summarise(session.record).progress.complete
    now = StatusReader(session.record).read()
    assert (now.runs.total, now.runs.finished, now.to_come, now.may_come) == (
        len(trained),
        len(trained),
        0,
        0,
    )


def test_arms_that_share_their_best_need_no_more_runs(carry_out):
    session, executor = carry_out(
        LISTED, lambda spec: 2.5 + math.log2(spec.recipe["lr"] / 2e-3) ** 2
    )
    assert len([spec for spec in executor.trained if spec.trial is None]) == 4
    (part,) = session.record.read().parts
    assert part.shared is not None
    assert sorted(run.key for run in part.shared.runs) == sorted(run.key for run in part.runs)
    assert summarise(session.record).progress.complete


def test_before_the_trials_it_is_counted_at_most(tmp_path, study_text):
    text = study_text.replace("leave_one_out", "compare")
    (tmp_path / "x.yaml").write_text(text + f"tune: {LISTED}\n")
    plan = planned(Request(tmp_path / "x.yaml", None, (), ()), tmp_path / "home").plan
    assert (plan.expected.runs, plan.expected.most, plan.expected.trials) == (4, 8, 14)
    assert any(note.startswith("one recipe for all arms as well") for note in plan.notes)
    assert [part.plan.shared_recipe for part in plan.parts] == [None]


def test_it_can_be_left_out(carry_out):
    session, executor = carry_out(LISTED.replace("}", ", shared: false}"))
    assert len([spec for spec in executor.trained if spec.trial is None]) == 4
    assert shared_runs(session) is None
    assert not any("for all arms" in note for note in session.planned.plan.notes)


def test_only_points_with_a_value_in_every_arm_count(carry_out):
    def diverging(spec):
        arm = "llama" if "rope" in dict(spec.plugins) else "gpt2"
        bad = (
            spec.trial is not None
            and spec.recipe["lr"] in {"gpt2": (1e-3, 2e-3), "llama": (4e-3,)}[arm]
        )
        return replace(result(9.9), diverged=True) if bad else response(spec)

    session, _ = carry_out(LISTED.replace("trials", "clip: [1.0], trials"), diverging)
    assert shared_runs(session).params == {"lr": lowest_mean([5e-4, 8e-3]), "clip": 1.0}
    # The surface of the learning rate alone does not need it.
    session, _ = carry_out(LISTED, diverging)
    assert shared_runs(session).params == {"lr": 2e-3}


def test_without_such_a_point_there_is_none_and_a_note_says_so(carry_out):
    def diverging(spec):
        good = 1e-3 if "rope" in dict(spec.plugins) else 2e-3
        bad = spec.trial is not None and spec.recipe["lr"] != good
        return replace(result(9.9), diverged=True) if bad else response(spec)

    session, executor = carry_out("{lr: [1.0e-3, 2.0e-3], trials: 2}", diverging)
    assert shared_runs(session) is None
    assert any("no recipe for all arms" in note for note in session.planned.plan.notes)
    assert len([spec for spec in executor.trained if spec.trial is None]) == 4
    assert session.missing == 0


def test_adaptive_seeds_give_it_the_first_seeds_alone(carry_out):
    session, _ = carry_out(LISTED, seeds="{start: 4, max: 6}", more="margin: 0.00001\n")
    assert [run.seed for run in shared_runs(session).runs] == [1, 2, 3, 4, 1, 2, 3, 4]
    assert summarise(session.record).progress.complete
    assert session.missing == 0


@pytest.mark.slow
def test_a_driver_that_was_cut_off_goes_on_the_same(carry_out, tmp_path):
    session, whole = carry_out(LISTED)
    keys, shared = [spec.key for spec in whole.trained], shared_runs(session)
    for lost in (4, 9, 12, len(keys) - 1):
        for key in keys[lost:]:
            (tmp_path / "home" / "runs" / key / "result.json").unlink()
        session, again = carry_out(LISTED)
        assert sorted(spec.key for spec in again.trained) == sorted(keys[lost:])
        assert shared_runs(session) == shared


def test_the_common_point_is_the_first_of_equals_and_in_every_arm():
    a, b, c = (("lr", 1.0),), (("lr", 2.0),), (("lr", 3.0),)
    bpb = METRICS["val/bpb"]
    assert common_point([{a: 1.0, b: 2.0, c: 0.0}, {b: 1.0, a: 2.0}], bpb) == {"lr": 1.0}
    assert common_point([{a: 1.0}, {b: 1.0}], bpb) is None
