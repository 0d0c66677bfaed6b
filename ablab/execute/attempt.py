"""One attempt at a run, in the process that trains it or in each of those that share it."""

import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ablab.arch.composition.registry import Registry
from ablab.errors import UserError
from ablab.files import write_json
from ablab.plan.plan import rebuild
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.train.budget import TimeLimit
from ablab.train.parallel import MemoryShort, ParallelContext


def exit_cause(code: int) -> str:
    """How a process ended, from its exit code; below 0: by which signal."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


class RankFailed(Exception):
    """A process of the run failed. `traceback`: its own, where it could tell it."""

    def __init__(self, reason: str, traceback: str = "") -> None:
        super().__init__(reason)
        self.traceback = traceback


@dataclass(frozen=True)
class Means:
    """What an attempt is made with. `stopping`: whether to write a checkpoint and end."""

    home: Path
    registry: Registry
    stopping: Callable[[], bool]
    compile: bool = False


def check_machine(spec: RunSpec) -> None:
    """Raises UserError where a run whose seconds are of one machine would train on another."""
    if not isinstance(spec.batches, TimeLimit):
        return
    from ablab.train.machine import machine_here

    if (planned := spec.batches.machine) != (here := machine_here()):
        raise UserError(
            f"its seconds are of another machine: planned for {planned!r}, it would train on "
            f"{here!r}"
        )


def attempt(spec: RunSpec, means: Means, team: ParallelContext) -> AttemptOutcome:
    """Trains a run to its end, or until it is asked to stop; its main process writes the result.
    Raises MemoryShort where all its processes must begin again.
    """
    from ablab.data.store import open_store
    from ablab.train.recorder import Hooks
    from ablab.train.run import Job, train
    from ablab.train.usage import Usage

    record = Record(means.home, spec.key)
    value = rebuild(spec, means.registry)
    check_machine(spec)
    job = Job(
        arch=value.arch,
        recipe=value.recipe,
        store=open_store(means.home / "tokens" / spec.data),
        batches=spec.batches,
        seed=spec.seed,
        flops_per_token=spec.flops_per_token,
        folder=record.folder,
        validate_at=spec.validate_at,
        checkpoint_seconds=spec.checkpoint_seconds,
        compile=means.compile,
        micro_batch=record.micro_batch,
    )

    usage = Usage()

    def beat(share: float, metrics: Mapping[str, float]) -> None:
        write_json(
            record.folder / "progress.json",
            {"share": share, "time": time.time(), **metrics},
            sync=False,
        )
        if taken := usage.sample():
            record.append_metrics(int(metrics["step"]), taken)

    def stop() -> bool:
        return means.stopping() or record.stop_asked

    try:
        outcome = train(
            job,
            Hooks(log=record.append_metrics, stop=stop, beat=beat, resumed=record.keep_metrics),
            team,
        )
    except MemoryShort as short:
        record.note_micro_batch(short.micro_batch)
        raise
    if outcome.result is None and record.stop_asked:
        return AttemptOutcome("stopped", record.stop_reason, outcome.busy_seconds)
    if outcome.result is None:
        return AttemptOutcome("interrupted", busy_seconds=outcome.busy_seconds)
    if team.main:
        record.finish(outcome.result)
    return AttemptOutcome("finished", busy_seconds=outcome.busy_seconds)
