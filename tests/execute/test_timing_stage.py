"""The stage that times arms, with real models and a real process."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ablab.arch.composition.compose import Composite
from ablab.arch.composition.model import architecture
from ablab.execute.session import Request, planned
from ablab.execute.timing.stage import TimingStage, timed_specs
from ablab.execute.worker_context import WorkerContext
from ablab.records.home import Home, make_home
from ablab.records.run_record import Record
from ablab.records.study_record import Execution, StudyRecord, revisions
from ablab.records.timings import TimingLog, timing_id
from ablab.train.costs.arm_timer import ArmTimer
from tests.standin import result

DIMS = {"layers": 1, "width": 16, "heads": 2, "context": 16}


def plan_of(tmp_path, text, *overrides):
    file = tmp_path / "s.yaml"
    file.write_text(text)
    return planned(Request(file, None, overrides, ()), tmp_path / "home").plan


def test_an_arm_is_timed_once_whatever_its_seeds_rates_and_budgets(tmp_path, study_text):
    plan = plan_of(tmp_path, study_text)
    arms = len({run.arm for run in plan.runs})
    specs = timed_specs(plan)
    assert len(specs) == arms
    budgets = study_text.replace("budget: {steps: 4}", "budgets: [{steps: 4}, {steps: 8}]")
    assert timed_specs(plan_of(tmp_path, budgets)).keys() == specs.keys()
    first = plan.runs[0]
    like = [
        replace(first, seed=9, key="other"),
        replace(first, recipe={**first.recipe, "lr": 0.5, "warmup": 0.5}),
        replace(first, part="other", trial=3),
    ]
    assert {timing_id(spec) for spec in like} == {timing_id(first)}
    unlike = [
        replace(first, threads=2),
        replace(first, dims={**first.dims, "width": 32}),
        replace(first, recipe={**first.recipe, "precision": "fp64"}),
        replace(first, feed_forward=(8,)),
    ]
    assert len({timing_id(spec) for spec in [first, *unlike]}) == 5


def test_a_study_is_timed_for_a_twentieth_of_its_time(tmp_path, study_text):
    plan = plan_of(tmp_path, study_text)
    record = StudyRecord(make_home(tmp_path / "home"), "s", "r1")
    context = WorkerContext(tmp_path / "home")

    def stage(busy):
        record.executed(Execution(0.0, busy, 1, busy, 1))
        return TimingStage(record, plan, context)

    short = stage(1.0)
    assert short.request.rounds == 4
    assert short.request.turn_seconds < 0.01  # a few steps of each arm
    assert short.due
    longer = stage(399.0)
    assert longer.seconds == pytest.approx(20.0)
    assert longer.request.rounds == 12
    assert stage(1e7).request.turn_seconds == 0.4
    # Runs of one step of 10 seconds each: a turn takes five such steps at least.
    for run in plan.runs:
        Record(record.home.root, run.key).create(run)
        outcome = result(3.0, seconds=10.0, decode_tokens_per_second=1e9)
        Record(record.home.root, run.key).finish(replace(outcome, steps=1))
    slow = stage(0.0)
    assert slow.seconds == pytest.approx(4 * len(slow.specs) * 5 * 10.0)


@pytest.mark.parametrize("expression", ["gpt2", "llama + mqa", "gpt2 + dropout(p=0.1)"])
def test_a_turn_times_steps_and_decoding_and_leaves_the_weights(registry, store, expression):
    arch = architecture(expression, registry, {**DIMS, "vocab": store.vocab})
    timer = ArmTimer(Composite(arch=arch), store, 4, seed=1, compile=False)
    model = timer._module.model
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    times = [timer.take_turn(0.0) for _ in range(2)]
    assert all(0 < each.seconds_per_token < 0.1 for each in times)
    assert all(each.decode_tokens_per_second > 1 for each in times)
    assert all(torch.equal(before[name], w) for name, w in model.named_parameters())
    assert all(weight.grad is None for weight in model.parameters())


@pytest.mark.slow
def test_a_run_ends_with_rounds_in_which_every_arm_was_timed(ablab, tmp_path, study_text):
    file = tmp_path / "s.yaml"
    file.write_text(study_text)
    first = ablab("run", file, "--workers", 2)
    assert first.returncode == 0, first.stderr
    assert "timing 8 arm(s) side by side" in first.stdout
    record = revisions(Home(tmp_path / ".ablab", tmp_path / "mlflow"), "s")[-1]
    log = TimingLog(record.path.with_suffix(".timings"))
    rounds = log.rounds()
    assert len(rounds) >= 4
    assert {len(done.times) for done in rounds} == {8}
    assert "costs in time: arms in turn over" in " ".join(ablab("report", "s").stdout.split())
    log.path.write_text("")  # as after a stage that was interrupted at once
    again = ablab("run", file)
    assert "nothing to train" in again.stdout
    assert "timing 8 arm(s)" in again.stdout
    assert len(log.rounds()) >= 4
    assert not list(Path(tmp_path).glob(".ablab/runs/*/failure.json"))
