"""The driver: submits runs to an executor, collects their outcomes, and retries runs whose worker
died or hung.
"""

import time
from collections import Counter, deque
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from types import FrameType
from typing import Any

from ablab.errors import machine_faults_to
from ablab.execute.display import Display
from ablab.execute.executors.base import Executor, outcome_of
from ablab.execute.signals import stop_signals_handled
from ablab.execute.slots import InFlight, Slots
from ablab.execute.summary import ExecutionSummary, RetryPolicy
from ablab.plan.plan import StudyPlan
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.records.run_state import RunState
from ablab.schedule.source import Source
from ablab.tracking.trackers import Trackers

_POLL_SECONDS = 0.5
_LOOK_SECONDS = 2.0


class Driver:
    """Trains the runs of a source through `executor`; `root` is the home's folder of records."""

    def __init__(
        self,
        root: Path,
        executor: Executor,
        trackers: Trackers,
        display: Display,
        retry_policy: RetryPolicy,
    ) -> None:
        self.root = root
        self.executor = executor
        self.trackers = trackers
        self.display = display
        self.retry_policy = retry_policy
        self.summary = ExecutionSummary()
        self._retries: deque[RunSpec] = deque()
        self._running: dict[Future[AttemptOutcome], InFlight] = {}
        self._given_up: dict[str, RunSpec] = {}
        self._lost: Counter[str] = Counter()
        self._last_losses: dict[str, AttemptOutcome] = {}  # of runs to give up, which are held
        self._slots = Slots(executor.slots)
        self._notes: set[tuple[str, str]] = set()  # that were said, by the title of the run
        self._reset_check_time = 0.0
        self._began = time.time()

    def drive(self, source: Source[StudyPlan]) -> ExecutionSummary:
        """Train every run of `source`.

        Returns when all have ended, after a signal, or if no worker starts.
        """
        self._source = source
        with stop_signals_handled(self._handle_signal):
            with machine_faults_to(self._break_off, self.root):
                self._fill()
            self.trackers.open(source.plan)  # while the workers start: importing both takes seconds
            for run in self._running.values():
                self.trackers.started(run.spec)
            while self._unfinished() and not self.summary.killed:
                with machine_faults_to(self._break_off, self.root):
                    self._step()
            self._end_waiting()
        return self.summary

    def hand_out(self, source: Source[StudyPlan]) -> int:
        """Submit the runs that can be trained now, and leave them to the executor, which has a
        queue. Return their number.
        """
        self._source = source
        self._fill()
        self.executor.close()
        outcomes = [outcome_of(future) for future in self._running if future.done()]
        reasons = [o.reason for o in outcomes if o.state == RunState.UNSTARTED]
        self.summary.broken = reasons[0] if reasons else ""
        handed_out = len(self._running) - len(outcomes)
        self._running.clear()
        return handed_out

    def close(self) -> None:
        """End the workers, with any run that is still under way."""
        if self._running:
            self.executor.kill()
        else:
            self.executor.close()

    @property
    def _ending(self) -> bool:
        """Whether no more runs are submitted."""
        return self.summary.signal is not None or bool(self.summary.broken)

    def _unfinished(self) -> bool:
        """Return whether a run is under way or will be submitted."""
        if self._running:
            return True
        return not self._ending and (bool(self._retries) or not self._source.done)

    def _step(self) -> None:
        if not self._running:
            time.sleep(_POLL_SECONDS)
        ended, _ = wait(self._running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
        for future in ended:
            self._collect(future, self._running.pop(future).spec)
        progress = self._check_progress()
        self._resume_reset_runs()
        for spec in self._fill():
            self.trackers.started(spec)
        running = [
            run.spec for future, run in self._running.items() if not self.executor.waits(future)
        ]
        self.summary.workers = max(self.summary.workers, len(running))
        self._source.watch(running)
        self.display.tick({spec.key: progress.get(spec.key, {}) for spec in running})
        self.trackers.tick(running)

    def _check_progress(self) -> dict[str, Mapping[str, Any]]:
        """Return the progress of the runs under way, by key. Runs that hang are ended."""
        now = time.monotonic()
        stall_seconds = self.retry_policy.stall_seconds
        progress: dict[str, Mapping[str, Any]] = {}
        for future, run in list(self._running.items()):
            if self.executor.waits(future):
                run.progress_time = now
                continue
            record = Record(self.root, run.spec.key)
            progress[record.key] = record.progress
            if progress[record.key] != run.progress:
                run.progress = progress[record.key]
                run.progress_time = now
            elif now - run.progress_time > stall_seconds and not future.done():
                pid = record.lease().owner.get("pid")
                del self._running[future]
                self._slots.vacate(record.key)
                self.executor.cancel(future)
                reason = f"no progress for {stall_seconds:g} s"
                self._lose(run.spec, AttemptOutcome(RunState.LOST, reason, pid=pid))
        return progress

    def _resume_reset_runs(self) -> None:
        """Queue runs that failed or were cancelled and have been reset since (`ablab retry`)."""
        if time.monotonic() - self._reset_check_time < _LOOK_SECONDS:
            return
        self._reset_check_time = time.monotonic()
        for key, spec in list(self._given_up.items()):
            record = Record(self.root, key)
            if not record.stop.requested and record.failure is None:
                notes = (self._given_up, self._lost, self.summary.failed, self.summary.stopped)
                for note in notes:
                    note.pop(key, None)
                self._retries.append(spec)

    def _fill(self) -> list[RunSpec]:
        """Submit runs while there are free slots; return those that were submitted."""
        started: list[RunSpec] = []
        slots = self.executor.slots
        self._slots.resize(slots)
        while not self._ending and self._slots.available:
            spec = self._next()
            if spec is None:
                break
            last_loss = self._last_losses.pop(spec.key, None)
            if last_loss is not None and self._give_up(spec, last_loss):
                continue
            record = Record(self.root, spec.key)
            if record.stop.requested and not record.finished:
                self._end(spec, AttemptOutcome(record.stop.state, record.stop.reason))
                continue
            record.create(spec)
            failure = record.failure
            # A run that has failed since was given up by another driver: the worker reports it.
            if failure is not None and failure["time"] < self._began:
                record.reset()
            self._running[self.executor.submit(spec)] = InFlight(spec, time.monotonic())
            self._slots.occupy(spec.key)
            self.display.started(spec)
            started.append(spec)
        return started

    def _next(self) -> RunSpec | None:
        """Return a run to retry that no other driver holds, else the source's next run."""
        for spec in self._retries:
            if not Record(self.root, spec.key).lease().held():
                self._retries.remove(spec)
                return spec
        return self._source.next()

    def _collect(self, future: Future[AttemptOutcome], spec: RunSpec) -> None:
        outcome = outcome_of(future)
        self.summary.busy_seconds += outcome.busy_seconds
        for note in outcome.notes:
            if (spec.title, note) not in self._notes:
                self._notes.add((spec.title, note))
                self.display.say(f"{spec.label}: {note}")
        self._slots.vacate(spec.key, started=outcome.state != RunState.UNSTARTED)
        if outcome.state == RunState.HELD:
            self._retries.append(spec)
        elif outcome.state == RunState.LOST:
            self._lose(spec, outcome)
        elif outcome.state == RunState.UNSTARTED:
            self.executor.cancel(future)  # another process may start
            self._retries.append(spec)
            if self._slots.broken:
                self.summary.broken = f"no worker process starts: {outcome.reason}"
        elif outcome.state == RunState.BLOCKED:
            self._break_off(outcome.reason)
            self._end(spec, AttemptOutcome(RunState.INTERRUPTED))
        elif outcome.state == RunState.INTERRUPTED and not self._ending:
            self._retries.append(spec)  # its cancellation was withdrawn before it stopped
        else:
            self._end(spec, outcome)

    def _lose(self, spec: RunSpec, outcome: AttemptOutcome) -> None:
        """Retry a run whose process died or hung, or give it up."""
        record = Record(self.root, spec.key)
        lease = record.lease()
        lease.clear()
        self._lost[spec.key] += 1
        if self._ending:
            record.attempts.add(outcome.reason, outcome.pid)
            self._end(spec, AttemptOutcome(RunState.INTERRUPTED, outcome.reason))
            return
        if self._lost[spec.key] > self.retry_policy.retries:
            if self._give_up(spec, outcome):
                return
            if lease.owner.get("pid") == outcome.pid:  # its process is not seen to be gone yet
                self._last_losses[spec.key] = outcome
                self._retries.append(spec)
                return
        record.attempts.add(outcome.reason, outcome.pid)
        self._retries.append(spec)
        self.display.say(f"{spec.label}: {outcome.reason}; it is tried again")

    def _give_up(self, spec: RunSpec, outcome: AttemptOutcome) -> bool:
        """End a run that was lost too often. Return False if its lease is held: another driver may
        be training it, or its process was on a machine where it is not seen to be gone.
        """
        record = Record(self.root, spec.key)
        lease = record.lease()
        if not lease.acquire():
            return False
        state = RunState.FINISHED if record.finished else RunState.FAILED
        with lease.keep_alive():
            self._end(spec, AttemptOutcome(state, outcome.reason, pid=outcome.pid))
        return True

    def _end_waiting(self) -> None:
        """Tell the trackers that runs which were begun, and wait to be tried again, are not."""
        for spec in self._retries:
            if not Record(self.root, spec.key).lease().held():
                self.trackers.ended(spec, RunState.INTERRUPTED)

    def _end(self, spec: RunSpec, outcome: AttemptOutcome) -> None:
        record = Record(self.root, spec.key)
        if outcome.state == RunState.FINISHED:
            self.summary.trained += outcome.busy_seconds > 0  # else another driver trained it
        elif outcome.state == RunState.FAILED:
            if record.failure is None:
                record.fail(outcome.reason, pid=outcome.pid)
            self.summary.failed[spec.key] = outcome.reason
            self._given_up[spec.key] = spec
        elif outcome.state.stopped:
            reasons = self.summary.pruned if record.stop.pruned else self.summary.stopped
            reasons[spec.key] = outcome.reason
            self._given_up[spec.key] = spec
        self._source.ended(spec, outcome)
        self.display.ended(spec, outcome, record.result)
        self.trackers.ended(spec, outcome.state)

    def _break_off(self, reason: str) -> None:
        """Have every run finish its step and write a checkpoint, since the machine cannot go on."""
        if not self.summary.broken:
            self.summary.broken = reason
            self.executor.stop()

    def _handle_signal(self, number: int, frame: FrameType | None) -> None:
        """Have every run finish its step and write a checkpoint; the second time, end all now."""
        if self.summary.signal is not None:
            self.summary.killed = True
            return
        self.summary.signal = number
        self.executor.stop()
        self.display.say(
            "stopping: every run finishes its step and writes a checkpoint (again to end now)"
        )
