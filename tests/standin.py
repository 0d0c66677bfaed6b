"""A stand-in trainer: an executor whose runs end at once, with results that a function of the run's
specification gives.
"""

import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ablab.data.batches import Batches
from ablab.execute.session import Request, Session, planned
from ablab.execute.summary import ExecutionSummary
from ablab.records.home import make_home
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.records.run_state import RunState
from ablab.train.result import RunCost, RunResult

Response = Callable[[RunSpec], float | RunResult]


def result(value: float, **cost: Any) -> RunResult:
    """What a finished run writes."""
    costs: dict[str, Any] = {
        "tokens": 256,
        "flops": 1e6,
        "seconds": 1.0,
        "validation_seconds": 0.1,
        "tokens_per_second": 256.0,
        "peak_memory_bytes": 1e6,
        "parameters": 1000,
    }
    names = ("train/loss", "val/loss", "val/bpb", "test/loss", "test/bpb")
    return RunResult(
        diverged=False,
        steps=4,
        precision="fp32",
        device="cpu",
        threads=1,
        versions={},
        metrics=dict.fromkeys(names, value),
        cost=RunCost(**{**costs, **cost}),
    )


class StandIn:
    """Writes what `response` gives for a run into its record: val/bpb, or a whole result; costs
    with the last step, as a trainer does. `trained`: what it was handed.
    """

    def __init__(self, root: Path, response: Response, slots: int = 2) -> None:
        self.root, self.response, self.slots, self.rungs = root, response, slots, (1, 2)
        self.trained: list[RunSpec] = []

    def submit(self, spec: RunSpec) -> "Future[AttemptOutcome]":
        self.trained.append(spec)
        given = self.response(spec)
        record = Record(self.root, spec.key)
        for step in self.rungs:
            record.metrics.append(step, {"val/bpb": 5.0 - step, "train/loss": 5.0})
        outcome = result(given) if isinstance(given, int | float) else given
        record.metrics.append(
            outcome.steps,
            {"cost/tokens": outcome.cost.tokens, "cost/tokens_per_second": 300.0},
        )
        record.finish(outcome)
        future: Future[AttemptOutcome] = Future()
        future.set_result(AttemptOutcome(RunState.FINISHED, busy_seconds=1.0))
        return future

    def waits(self, future: "Future[AttemptOutcome]") -> bool:
        """Nothing ever waits."""
        return False

    def cancel(self, future: "Future[AttemptOutcome]") -> None:
        """Nothing is ever under way."""

    def stop(self) -> None:
        """Nothing is ever under way."""

    def kill(self) -> None:
        """Nothing is ever under way."""

    def close(self) -> None:
        """Nothing is ever under way."""


class Silent:
    """A display that shows nothing but remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.expected = 0

    def started(self, spec: RunSpec) -> None: ...

    def ended(self, spec: RunSpec, report: AttemptOutcome, result: RunResult | None) -> None: ...

    def tick(self, running: Mapping[str, Mapping[str, Any]]) -> None: ...

    def say(self, text: str) -> None:
        self.said.append(text)

    def expect(self, more: int) -> None:
        self.expected += more


def carry_out(
    file: Path, home: Path, response: Response, trainer: type[StandIn] = StandIn
) -> tuple[Session, StandIn, ExecutionSummary]:
    """Plans the study in `file` and drives it in `home` by the stand-in trainer, its views
    included.
    """
    place = make_home(home)
    session = Session(planned(Request(file, None, (), ()), place.root), place, Silent())
    executor = trainer(place.root, response)
    summary = session.run(lambda context: executor)
    session.close([], complete=True)
    return session, executor, summary


def noise_seed(spec: RunSpec) -> int:
    """A seed for a run's simulated noise that does not depend on how run keys are made."""
    options = sorted((name, sorted(values.items())) for name, values in spec.plugins)
    timed = not isinstance(spec.batches, Batches)
    batches = () if timed else spec.batches.runs
    limit = asdict(spec.batches) if timed else None
    label = f"{options}/{spec.dims}/{batches}/{limit}/{spec.recipe}/{spec.seed}"
    return int(hashlib.sha256(label.encode()).hexdigest()[:8], 16)
