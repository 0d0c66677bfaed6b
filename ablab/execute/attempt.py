"""One attempt at a run, as each process that trains the run carries it out."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from ablab.arch.composition.bounded_output import BoundedOutput
from ablab.arch.composition.guard import guarded
from ablab.arch.composition.registry import Registry, blamed
from ablab.errors import UserError
from ablab.execute.arm_checks import require_sound_arm
from ablab.execute.worker_context import WorkerContext
from ablab.plan.run_key import rebuild
from ablab.process_state import ProcessState, seed_everything
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.records.run_state import RunState
from ablab.sealed import write_sealed
from ablab.train.budget import TimeLimit
from ablab.train.parallel import MemoryShort, ParallelContext

if TYPE_CHECKING:
    from ablab.train.job import Job
    from ablab.train.recorder import Hooks
    from ablab.train.result import RunResult

_OUTPUT_LIMIT = 1_000_000  # characters that the plugins of a run may print
_SHOWN = 3  # changes that a line names


def exit_cause(code: int) -> str:
    """Describe how a process with this exit code ended; a negative code is a signal's number."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


class RankFailed(Exception):
    """A process of a run failed. `traceback` is the process's own, empty if it left none."""

    def __init__(self, reason: str, traceback: str = "") -> None:
        super().__init__(reason)
        self.traceback = traceback


def check_machine(spec: RunSpec) -> None:
    """Raise UserError if the run's budget is in seconds of a machine other than this one."""
    if not isinstance(spec.batches, TimeLimit):
        return
    from ablab.train.machine import machine_here

    planned = spec.batches.machine
    here = machine_here()
    if planned != here:
        raise UserError(
            f"its seconds are of another machine: planned for {planned!r}, it would train on "
            f"{here!r}"
        )


def attempt(
    spec: RunSpec,
    context: WorkerContext,
    registry: Registry,
    parallel: ParallelContext,
    should_stop: Callable[[], bool],
) -> AttemptOutcome:
    """Train a run until it is finished or `should_stop` returns True.

    Every process of the run calls this; the main one writes the result. Raises MemoryShort if all
    of them must start again with smaller micro-batches.
    """
    import torch

    from ablab.train.run import train

    # Here and not where the process starts: OpenMP keeps the number for each thread by itself, and
    # the runs of one worker may differ in it.
    torch.set_num_threads(spec.threads)
    process = ProcessState.take()
    record = Record(context.home, spec.key)
    notes: list[str] = []
    try:
        with _plugin_output(record) as output, guarded(None, output):
            job = _job(spec, context, registry, record)
            seed_everything(spec.seed)
            outcome = train(job, _hooks(record, should_stop, notes.append), parallel)
    except MemoryShort as short:
        record.note_micro_batch(short.micro_batch)
        raise
    # In another thread, the driver is at work in this process too.
    alone = threading.current_thread() is threading.main_thread()
    changes = process.changes() if alone else process.numeric_changes()
    notes += [*_change_note(spec, registry, changes), *_processor_note(outcome.result)]
    state, reason = RunState.INTERRUPTED, ""
    if outcome.result is not None:
        state = RunState.FINISHED
        if parallel.main:
            record.finish(replace(outcome.result, process_changes=changes))
    elif record.stop.requested:
        state, reason = record.stop.state, record.stop.reason
    busy = outcome.busy_seconds
    return AttemptOutcome(state, reason, busy, notes=tuple(notes), retire=bool(changes))


@contextmanager
def _plugin_output(record: Record) -> Iterator[BoundedOutput]:
    """Open the file of the record that keeps what plugins print, up to a limit."""
    with record.output.open("a", errors="replace") as file:
        try:
            yield BoundedOutput(file, _OUTPUT_LIMIT - file.tell())
        finally:
            if not file.tell():
                record.output.unlink(missing_ok=True)


def _processor_note(result: "RunResult | None") -> list[str]:
    """Return a note if the run was resumed on another processor."""
    if result is None or len(result.processors) < 2:
        return []
    return [
        f"trained on unlike processors ({'; '.join(result.processors)}): the last digits may "
        "differ from those on one of them"
    ]


def _change_note(spec: RunSpec, registry: Registry, changes: Sequence[str]) -> list[str]:
    """Return a note on what the run changed in its process, if anything."""
    if not changes:
        return []
    names = blamed(registry.plugins[name] for name, _ in spec.plugins)
    more = f" and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
    return [
        f"changed {', '.join(changes[:_SHOWN])}{more} in its process (plugins: "
        f"{', '.join(names)}); no other run is trained there"
    ]


def _job(spec: RunSpec, context: WorkerContext, registry: Registry, record: Record) -> "Job":
    from ablab.data.store import open_store
    from ablab.train.job import Job

    value = rebuild(spec, registry)
    check_machine(spec)
    if context.checks:
        require_sound_arm(spec, value, registry, context.home)
    return Job(
        arch=value.arch,
        recipe=value.recipe,
        store=open_store(context.home / "tokens" / spec.data),
        batches=spec.batches,
        seed=spec.seed,
        flops_per_token=spec.flops_per_token,
        folder=record.folder,
        validate_at=spec.validate_at,
        checkpoint_seconds=spec.checkpoint_seconds,
        compile=context.compile,
        micro_batch=record.micro_batch,
        # Tuning and search choose by the validation split; the test split is kept from them.
        scored_splits=("val", "test") if spec.trial is None else ("val",),
    )


def _hooks(record: Record, should_stop: Callable[[], bool], note: Callable[[str], None]) -> "Hooks":
    """Connect training to the run's record."""
    from ablab.train.recorder import Hooks
    from ablab.train.usage import Usage

    usage = Usage()

    def beat(share: float, metrics: Mapping[str, float]) -> None:
        progress = {"share": share, "time": time.time(), **metrics}
        write_sealed(record.folder / "progress.json", progress, sync=False)
        sample = usage.sample()
        if sample:
            record.metrics.append(int(metrics["step"]), sample)

    return Hooks(
        log=record.metrics.append,
        stop=lambda: should_stop() or record.stop.requested,
        beat=beat,
        resumed=record.metrics.truncate,
        sync=record.metrics.sync,
        has_rows=record.metrics.has_rows,
        note=note,
    )
