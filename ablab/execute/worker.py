"""A worker process: it trains one run after another, and ends when its driver does."""

import multiprocessing
import os
import signal
import threading
import time
import traceback
from dataclasses import replace
from types import FrameType
from typing import Protocol

from ablab.arch.composition.guard import end_process, reason_of
from ablab.errors import UserError, machine_fault
from ablab.execute.attempt import RankFailed, attempt
from ablab.execute.memory import MemoryGrowth, limit_memory
from ablab.execute.worker_context import WorkerContext
from ablab.fence import fenced
from ablab.records.lease import Lease, LeaseLost
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.records.run_state import RunState
from ablab.train.parallel import ParallelContext

_GRACE_SECONDS = 60.0


class StopSignal(Protocol):
    """An event of `threading` or `multiprocessing`; once set, workers end their runs."""

    def is_set(self) -> bool:
        """Return whether runs should write a checkpoint and end."""
        ...


class Worker:
    """The state of a worker process."""

    def __init__(self, context: WorkerContext, stop: StopSignal) -> None:
        self.context = context
        self._stop = stop
        self._parent = os.getppid()
        self._orphaned = False
        self._terminated = False
        self._training = False
        self._memory = MemoryGrowth()
        threading.Thread(target=self._watch, daemon=True).start()
        from ablab.arch.composition.registry import load_registry

        self.registry = load_registry(context.plugins)

    def stopping(self) -> bool:
        """Return whether the run should write a checkpoint and end."""
        return self._orphaned or self._terminated or self._stop.is_set()

    def train(self, spec: RunSpec) -> AttemptOutcome:
        """Train one run, or return why it is not trained.

        An exception in the run is recorded as the run's failure, unless it is the machine's: then
        the run stays as it was recorded last. This process is retired if another run might find it
        changed.
        """
        self._training = True
        try:
            outcome = self._train(spec)
        finally:
            self._training = False
        retire = outcome.retire or self._terminated or self._memory.exceeded()
        return replace(outcome, retire=retire)

    def _train(self, spec: RunSpec) -> AttemptOutcome:
        record = Record(self.context.home, spec.key)
        try:
            return self._train_leased(spec, record)
        except Exception as error:
            fault = machine_fault(error, record.folder)
            if fault is None:
                raise
            return AttemptOutcome(RunState.BLOCKED, fault)

    def _train_leased(self, spec: RunSpec, record: Record) -> AttemptOutcome:
        lease = record.lease()
        if record.finished:
            return AttemptOutcome(RunState.FINISHED)
        if not lease.acquire():
            return AttemptOutcome(RunState.HELD)
        try:
            with lease.keep_alive(), fenced(record.folder, lease.fence):
                damage = record.set_aside_damage()
                outcome = self._train_fenced(record, spec, lease)
        except LeaseLost as loss:  # whoever has it now trains the run; nothing of this was written
            return AttemptOutcome(RunState.HELD, str(loss))
        return replace(outcome, notes=(damage, *outcome.notes)) if damage else outcome

    def _train_fenced(self, record: Record, spec: RunSpec, lease: Lease) -> AttemptOutcome:
        try:
            return recorded_outcome(record) or self._attempt(spec, lease)
        except LeaseLost:
            raise
        except BaseException as error:  # a plugin may raise anything
            if isinstance(error, SystemExit) and self._terminated:
                return AttemptOutcome(RunState.INTERRUPTED)  # by Lightning, before it began
            if machine_fault(error) is not None:
                raise
            return _record_failure(record, error)

    def terminate(self, number: int, frame: FrameType | None) -> None:
        """Respond to SIGTERM: end the run after the current step and a checkpoint, or the process
        at once if it trains no run.
        """
        self._terminated = True
        if not self._training:
            end_process(128 + number)

    def _attempt(self, spec: RunSpec, lease: Lease) -> AttemptOutcome:
        if self.context.layout.strategy != "single":
            from ablab.execute.process_group import train_together

            record = Record(self.context.home, spec.key)
            return train_together(
                spec, self.context, lease, lambda: self.stopping() or record.stop.requested
            )
        return attempt(spec, self.context, self.registry, ParallelContext(), self.stopping)

    def _watch(self) -> None:
        """End this process when its driver is gone: after the current step and a checkpoint if
        possible, else after a minute.
        """
        driver = multiprocessing.parent_process()  # None if a launcher started this process
        # The parent process of a forked worker is the fork server, which waits for the worker.
        while os.getppid() == self._parent and (driver is None or driver.is_alive()):
            time.sleep(0.5)
        self._orphaned = True
        time.sleep(_GRACE_SECONDS)
        end_process(1)


def _record_failure(record: Record, error: BaseException) -> AttemptOutcome:
    if record.finished:  # one of the run's processes failed after the result was written
        return AttemptOutcome(RunState.FINISHED)
    if isinstance(error, UserError | RankFailed):
        reason = str(error)
        detail = getattr(error, "traceback", "")
    else:
        reason = reason_of(error)
        detail = traceback.format_exc()
    record.fail(reason, detail, os.getpid())
    return AttemptOutcome(RunState.FAILED, reason, retire=True)  # it may have changed the process


def recorded_outcome(record: Record) -> AttemptOutcome | None:
    """Return how the run ended according to its record; None if it should be trained.

    Whoever trains it asks while holding its lease: another driver may have ended it just before.
    """
    if record.finished:
        return AttemptOutcome(RunState.FINISHED)
    if record.stop.requested:
        return AttemptOutcome(record.stop.state, record.stop.reason)
    failure = record.failure
    return AttemptOutcome(RunState.FAILED, failure["reason"]) if failure is not None else None


# What `initialise` made in this process: the worker, or why there is none.
_process_state: list[Worker | AttemptOutcome] = []


def initialise(context: WorkerContext, stop: StopSignal) -> None:
    """Set up a worker process, once."""
    # Signals sent to the driver's process group are for the driver, which then sets `stop`.
    os.setpgid(0, 0)
    if context.device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = context.device  # read when CUDA is first used
    if context.memory is not None:
        limit_memory(context.memory)
    try:
        worker = Worker(context, stop)
        signal.signal(signal.SIGTERM, worker.terminate)
        _process_state.append(worker)
    except BaseException as error:
        # Reported by `work`: if raised here, it would only be a traceback on the terminal.
        reason = str(error) if isinstance(error, UserError) else reason_of(error)
        _process_state.append(
            AttemptOutcome(
                RunState.UNSTARTED,
                f"the worker process could not be set up: {reason}",
                pid=os.getpid(),
            )
        )


def current_worker() -> Worker:
    """Return the worker of this process.

    Raises:
        UserError: if it could not be set up.

    """
    (state,) = _process_state
    if isinstance(state, Worker):
        return state
    raise UserError(state.reason)


def work(spec: RunSpec) -> AttemptOutcome:
    """Train `spec` in this worker process."""
    (state,) = _process_state
    return state.train(spec) if isinstance(state, Worker) else state
