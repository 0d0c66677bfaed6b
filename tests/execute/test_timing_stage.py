"""The stage that times arms, with real models and a real process."""

from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

import pytest
import torch

from ablab.analysis.summarise import summarise
from ablab.arch.composition.compose import Composite
from ablab.arch.composition.model import architecture
from ablab.execute.session import Request, planned
from ablab.execute.timing.stage import TimingStage, first_runs
from ablab.execute.worker_context import WorkerContext
from ablab.plan.timing_digest import timing_digest
from ablab.records.home import Home, make_home
from ablab.records.run_record import Record
from ablab.records.study_record import StudyRecord, revisions
from ablab.sealed import read_sealed, write_sealed
from ablab.train.costs.arm_timer import ArmTimer
from tests.standin import result

DIMS = {"layers": 1, "width": 16, "heads": 2, "context": 16}


def plan_of(tmp_path, text, *overrides):
    file = tmp_path / "s.yaml"
    file.write_text(text)
    return planned(Request(file, None, overrides, ()), tmp_path / "home").plan


def test_an_arm_is_timed_once_whatever_its_seeds_rates_and_budgets(tmp_path, study_text, registry):
    plan = plan_of(tmp_path, study_text)
    runs = first_runs(plan)
    assert len(runs) == len({run.arm for run in plan.runs})

    def digests(plan):
        return {timing_digest(run, registry, compile=False) for run in first_runs(plan).values()}

    several = digests(plan)
    assert len(several) == len(runs)
    assert digests(plan_of(tmp_path, study_text, "seeds=[7, 8]", "recipe.lr=0.5")) == several
    budgets = study_text.replace("budget: {steps: 4}", "budgets: [{steps: 4}, {steps: 8}]")
    assert digests(plan_of(tmp_path, budgets)) == several
    for override in ("recipe.batch_tokens=32", "hardware.threads=2", "recipe.precision=bf16"):
        assert not digests(plan_of(tmp_path, study_text, override)) & several
    compiled = {timing_digest(run, registry, compile=True) for run in runs.values()}
    assert not compiled & several


def test_one_model_under_two_names_takes_the_same_time(tmp_path, study_text, registry):
    names = ("llama", "gpt2 + rope + rmsnorm + swiglu + no_bias + untied_embeddings - scaled_init")
    found = set()
    for name in names:
        text = study_text.replace("to: llama", f"to: {name}").replace("leave_one_out", "compare")
        run = next(run for run in plan_of(tmp_path, text).runs if run.arm != "gpt2")
        found.add((run.key, timing_digest(run, registry, compile=False)))
    assert len(found) == 1


def test_a_study_is_timed_for_a_twentieth_of_its_time(tmp_path, study_text):
    plan = plan_of(tmp_path, study_text)
    home = make_home(tmp_path / "home")
    record = StudyRecord(home, "s", "r1")

    def stage(seconds, steps=1000):
        """The stage after runs of `seconds` in all."""
        each = seconds / len(plan.unique)
        for run in plan.runs:
            outcome = result(3.0, seconds=each, validation_seconds=0.0)
            Record(home.root, run.key).create(run)
            Record(home.root, run.key).finish(replace(outcome, steps=steps))
        return TimingStage(record, plan, WorkerContext(home.root), 600.0)

    assert not stage(19.0).due
    short = stage(21.0)
    assert short.due
    assert short.request.rounds == 6  # 48 turns of 20 ms
    assert short.request.turn_seconds == pytest.approx(0.05 * 21 / 48)
    longer = stage(400.0)
    assert longer.seconds == pytest.approx(20.0)
    assert longer.request.rounds == 12
    assert stage(1e7, steps=10**9).request.turn_seconds == 0.4
    # A turn takes five steps at least, here of 10 seconds each.
    slow = stage(10.0 * len(plan.unique), steps=1)
    assert slow.seconds == pytest.approx(6 * len(slow.specs) * 5 * 10.0)


def test_what_cannot_be_timed_is_said(tmp_path, study_text, monkeypatch):
    plan = plan_of(tmp_path, study_text)
    home = make_home(tmp_path / "home")
    run = next(iter(first_runs(plan).values()))
    Record(home.root, run.key).create(run)
    Record(home.root, run.key).finish(result(3.0, parameters=10**13))
    stage = TimingStage(StudyRecord(home, "s", "r1"), plan, WorkerContext(home.root), 600.0)
    assert "do not fit into memory together" in stage.run()

    def refuse(*arguments):
        raise BrokenProcessPool("no process")

    Record(home.root, run.key).finish(result(3.0))
    stage = TimingStage(StudyRecord(home, "s", "r1"), plan, WorkerContext(home.root), 600.0)
    monkeypatch.setattr(stage, "_run_in_process", refuse)
    assert stage.run() == "the process could not be started: no process"


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
    file.write_text(study_text.replace("leave_one_out", "compare"))
    first = ablab("run", file, "--workers", 2)
    assert first.returncode == 0, first.stderr
    assert "timing" not in first.stdout  # its runs are too short
    record = revisions(Home(tmp_path / ".ablab", tmp_path / "mlflow"), "s")[-1]
    assert not record.timings.rounds()
    for path in tmp_path.glob(".ablab/runs/*/result.json"):  # as if they had been longer
        content = read_sealed(path, path.parents[2])
        assert content is not None
        content["cost"]["validation_seconds"] = 20.0
        write_sealed(path, content)
    again = ablab("run", file)
    assert "nothing to train" in again.stdout
    assert "timing 2 arm(s) side by side" in again.stdout
    rounds = record.timings.rounds()
    assert len(rounds) >= 12
    assert {len(done.times) for done in rounds} == {2}
    part = summarise(record).parts[0]
    assert part.cost_notes[0].startswith("costs in time: arms in turn over")
    (effect,) = part.effects
    assert effect.ratios["seconds_per_token"].low is not None
