"""The driver: plans, hands runs to an executor, gathers what comes back, and goes on where it was
cut off.
"""

import signal
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from ablab.execute.executors.base import Executor, outcome_of
from ablab.execute.summary import ExecutionSummary, RetryPolicy
from ablab.plan.plan import StudyPlan
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.schedule.source import Source
from ablab.tracking.trackers import Trackers
from ablab.train.result import RunResult

_POLL_SECONDS = 0.5
_LOOK_SECONDS = 2.0
_STARTS = 3


class Display(Protocol):
    """Where progress is shown."""

    def started(self, spec: RunSpec) -> None:
        """A run was handed out."""
        ...

    def ended(self, spec: RunSpec, report: AttemptOutcome, result: RunResult | None) -> None:
        """A run ended."""
        ...

    def tick(self, running: Mapping[str, Mapping[str, Any]]) -> None:
        """The progress of running runs, by key."""
        ...

    def say(self, text: str) -> None:
        """A line of its own."""
        ...

    def expect(self, more: int) -> None:
        """So many more runs were decided upon than had been expected."""
        ...


@dataclass
class _InFlight:
    """A run that was handed out, and when it last moved (monotonic seconds)."""

    spec: RunSpec
    moved: float
    progress: Mapping[str, Any] = field(default_factory=dict)


class Driver:
    """Trains what sources ask for, through `executor`; `root` is the home's folder of records."""

    def __init__(
        self,
        root: Any,
        executor: Executor,
        views: Trackers,
        display: Display,
        patience: RetryPolicy,
    ) -> None:
        self.root, self.executor, self.views, self.display, self.patience = (
            root,
            executor,
            views,
            display,
            patience,
        )
        self.tally = ExecutionSummary()
        self._again: deque[RunSpec] = deque()
        self._running: dict[Future[AttemptOutcome], _InFlight] = {}
        self._given_up: dict[str, RunSpec] = {}
        self._lost: Counter[str] = Counter()
        self._unstarted = 0
        self._looked = 0.0
        self._began = time.time()

    def drive(self, source: Source[StudyPlan]) -> ExecutionSummary:
        """Trains every run of `source`; returns when all ended, after a signal, or when no worker
        starts.
        """
        self._source = source
        with self._signals():
            self._fill()
            self.views.open(source.plan)  # while the workers start: importing both takes seconds
            for handed in self._running.values():
                self.views.started(handed.spec)
            while self._wanted() and not self.tally.killed:
                self._step()
        return self.tally

    def close(self) -> None:
        """Ends the workers, and what still runs."""
        if self._running:
            self.executor.kill()
        else:
            self.executor.close()

    @property
    def _ending(self) -> bool:
        """Whether nothing more is handed out."""
        return self.tally.signal is not None or bool(self.tally.broken)

    def _wanted(self) -> bool:
        """Whether anything is running or will be."""
        more = not self._ending and (self._again or not self._source.done)
        return bool(self._running or more)

    def _step(self) -> None:
        if not self._running:
            time.sleep(_POLL_SECONDS)
        done, _ = wait(self._running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
        for future in done:
            self._gather(future, self._running.pop(future).spec)
        progress = self._look()
        self._take_up()
        for spec in self._fill():
            self.views.started(spec)
        running = [handed.spec for handed in self._running.values()]
        self._source.watch(running)
        self.display.tick({spec.key: progress.get(spec.key, {}) for spec in running})
        self.views.tick(running)

    def _look(self) -> dict[str, Mapping[str, Any]]:
        """The progress of what runs, by key. What hangs is ended."""
        now, seen = time.monotonic(), dict[str, Mapping[str, Any]]()
        for future, handed in list(self._running.items()):
            record = Record(self.root, handed.spec.key)
            seen[record.key] = record.progress
            if seen[record.key] != handed.progress:
                handed.progress, handed.moved = seen[record.key], now
            elif now - handed.moved > self.patience.stall_seconds and not future.done():
                pid = record.lease().owner.get("pid")
                del self._running[future]
                self.executor.cancel(future)
                self._lose(
                    handed.spec,
                    AttemptOutcome(
                        "lost", f"no progress for {self.patience.stall_seconds:g} s", pid=pid
                    ),
                )
        return seen

    def _take_up(self) -> None:
        """Takes up again what failed or was cancelled, where both are taken back since (`ablab
        retry`).
        """
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        for key, spec in list(self._given_up.items()):
            record = Record(self.root, key)
            if not record.stop_asked and record.failure is None:
                for given_up in (self._given_up, self._lost, self.tally.failed, self.tally.stopped):
                    given_up.pop(key, None)
                self._again.append(spec)

    def _fill(self) -> list[RunSpec]:
        """Hands out runs while there are free slots."""
        started: list[RunSpec] = []
        while (
            not self._ending
            and len(self._running) < self.executor.slots
            and (spec := self._next()) is not None
        ):
            record = Record(self.root, spec.key)
            if record.stop_asked and not record.finished:
                self._end(spec, AttemptOutcome("stopped", record.stop_reason))
                continue
            record.create(spec)
            if (failure := record.failure) is not None and failure["time"] < self._began:
                record.reset()  # what failed since, another driver gave up: the worker says so
            self._running[self.executor.submit(spec)] = _InFlight(spec, time.monotonic())
            self.display.started(spec)
            started.append(spec)
        return started

    def _next(self) -> RunSpec | None:
        """What is to be tried again and no other driver holds, else the source's next."""
        for spec in self._again:
            if not Record(self.root, spec.key).lease().held():
                self._again.remove(spec)
                return spec
        return self._source.next()

    def _gather(self, future: Future[AttemptOutcome], spec: RunSpec) -> None:
        report = outcome_of(future)
        self.tally.busy_seconds += report.busy_seconds
        self._unstarted = self._unstarted + 1 if report.status == "unstarted" else 0
        if report.status == "held":
            self._again.append(spec)
        elif report.status == "lost":
            self._lose(spec, report)
        elif report.status == "unstarted":
            self.executor.cancel(future)  # another process may do better
            self._again.append(spec)
            if self._unstarted >= _STARTS:
                self.tally.broken = report.reason
        elif report.status == "interrupted" and not self._ending:
            self._again.append(spec)  # asked to stop, and wanted again before it had
        else:
            self._end(spec, report)

    def _lose(self, spec: RunSpec, report: AttemptOutcome) -> None:
        """An attempt ended with its process: the run is tried again, or given up."""
        record = Record(self.root, spec.key)
        record.lease().clear()
        self._lost[spec.key] += 1
        if self._ending:
            record.note_attempt(report.reason, report.pid)
            self._end(spec, AttemptOutcome("interrupted", report.reason))
        elif (
            self._lost[spec.key] <= self.patience.retries or record.lease().held()
        ):  # another driver may try it by now
            record.note_attempt(report.reason, report.pid)
            self._again.append(spec)
            self.display.say(f"{spec.label}: {report.reason}; it is tried again")
        else:
            self._end(spec, AttemptOutcome("failed", report.reason, pid=report.pid))

    def _end(self, spec: RunSpec, report: AttemptOutcome) -> None:
        record = Record(self.root, spec.key)
        if report.status == "finished":
            self.tally.trained += report.busy_seconds > 0  # else another driver had finished it
        elif report.status == "failed":
            if record.failure is None:
                record.fail(report.reason, pid=report.pid)
            self.tally.failed[spec.key] = report.reason
            self._given_up[spec.key] = spec
        elif report.status == "stopped":
            (self.tally.pruned if record.pruned else self.tally.stopped)[spec.key] = report.reason
            self._given_up[spec.key] = spec
        self._source.ended(spec, report)
        self.display.ended(spec, report, record.result)
        self.views.ended(spec, report.status)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """The first signal lets every run finish its step and write a checkpoint; the second ends
        everything now.
        """

        def handle(number: int, frame: Any) -> None:
            if self.tally.signal is not None:
                self.tally.killed = True
                return
            self.tally.signal = number
            self.executor.stop()
            self.display.say(
                "stopping: every run finishes its step and writes a checkpoint (again to end now)"
            )

        before = {
            number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
