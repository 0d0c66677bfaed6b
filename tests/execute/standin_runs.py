"""Stand-in runs: many of them in real worker processes, which measure at once."""

import time
from dataclasses import replace
from pathlib import Path

from ablab.data.batches import Batches
from ablab.execute import worker as worker_module
from ablab.execute.display import Display
from ablab.execute.driver import Driver
from ablab.execute.executors.base import Executor
from ablab.execute.summary import ExecutionSummary, RetryPolicy
from ablab.execute.worker import Worker
from ablab.execute.worker_context import WorkerContext
from ablab.plan.plan import Expected, Plan
from ablab.records.lease import Lease
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.records.run_state import RunState
from ablab.schedule.source import FixedSource
from ablab.tracking.trackers import Trackers
from tests.standin import Silent, result

STEPS = 5
_GATE = "gate"  # file in the home
SPEC = RunSpec("a", "x", "base", 1, "gpt2", (), {}, {}, "data", Batches(((1, 1),)), 1.0, (), 30.0)


def value(spec: RunSpec, step: int) -> float:
    """What a run measures in a step."""
    return spec.seed + step / 10


class StandInWorker(Worker):
    """Measures at once, and takes a moment for it."""

    seconds = 0.025

    def _attempt(self, spec: RunSpec, lease: Lease) -> AttemptOutcome:
        record = Record(self.context.home, spec.key)
        record.metrics.truncate(0)
        for step in range(1, STEPS + 1):
            record.metrics.append(step, {"train/loss": value(spec, step)})
            time.sleep(self.seconds / STEPS)
        record.finish(result(value(spec, STEPS)))
        return AttemptOutcome(RunState.FINISHED, busy_seconds=0.01)


def initialise(context: WorkerContext, stop: worker_module.StopSignal) -> None:
    """Set up a worker process for stand-in runs."""
    worker_module.Worker = StandInWorker
    worker_module.initialise(context, stop)


class GatedWorker(StandInWorker):
    """Trains on until the gate is open for the run, so that a fault can hit it on its way."""

    def _attempt(self, spec: RunSpec, lease: Lease) -> AttemptOutcome:
        gate = self.context.home / _GATE
        while spec.seed >= int(gate.read_text()):
            time.sleep(0.01)
        return super()._attempt(spec, lease)


def open_gate(home: Path, runs: int) -> None:
    """Let the first `runs` runs end."""
    draft = home / f"{_GATE}.draft"
    draft.write_text(str(runs))
    draft.rename(home / _GATE)


def initialise_gated(context: WorkerContext, stop: worker_module.StopSignal) -> None:
    """Set up a worker process whose runs wait for the gate."""
    worker_module.Worker = GatedWorker
    worker_module.initialise(context, stop)


def specs_of(runs: int) -> tuple[RunSpec, ...]:
    """As many runs."""
    return tuple(replace(SPEC, key=f"{seed:05}", seed=seed) for seed in range(runs))


def drive(
    home: Path, executor: Executor, runs: int, display: Display | None = None
) -> ExecutionSummary:
    """Train as many runs."""
    plan = Plan((), specs_of(runs), (), {}, {}, Expected(runs, 0, 0.0))
    driver = Driver(home, executor, Trackers([]), display or Silent(), RetryPolicy(retries=9))
    try:
        return driver.drive(FixedSource(plan, home))
    finally:
        driver.close()


def is_right(home: Path, spec: RunSpec) -> bool:
    """Whether a run has its result and its curve, once each."""
    record = Record(home, spec.key)
    rows = [(row["step"], row["train/loss"]) for row in record.metrics.rows()]
    whole = [(step, value(spec, step)) for step in range(1, STEPS + 1)]
    return record.result == result(value(spec, STEPS)) and rows == whole
