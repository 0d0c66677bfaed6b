"""The driver: plans, hands runs to an executor, gathers what comes back, and goes on where it was cut off."""

import signal
import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from ablab.study.executor import Executor, report_of
from ablab.study.plan import RunSpec
from ablab.study.records import Record
from ablab.study.sources import Source
from ablab.study.views import Views
from ablab.study.worker import Report

_HELD_SECONDS = 3.0
_POLL_SECONDS = 0.5


class Display(Protocol):
    """Where progress is shown."""

    def started(self, spec: RunSpec) -> None:
        """A run was handed out."""
        ...

    def ended(self, spec: RunSpec, report: Report, result: Mapping[str, Any] | None) -> None:
        """A run ended."""
        ...

    def tick(self, running: Mapping[str, Mapping[str, Any]]) -> None:
        """The progress of running runs, by key."""
        ...

    def say(self, text: str) -> None:
        """A line of its own."""
        ...


@dataclass
class Tally:
    """What an execution came to. `failed`, `stopped`: reasons by key."""

    trained: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    stopped: dict[str, str] = field(default_factory=dict)
    busy_seconds: float = 0.0
    signal: int | None = None


class Driver:
    """Trains what sources ask for, through `executor`; `root` is the home's folder of records."""

    def __init__(self, root: Any, executor: Executor, views: Views, display: Display) -> None:
        self.root, self.executor, self.views, self.display = root, executor, views, display
        self.tally = Tally()
        self._held: deque[tuple[float, RunSpec]] = deque()
        self._running: dict[Future[Report], RunSpec] = {}
        self._killed = False

    def drive(self, source: Source) -> Tally:
        """Trains every run of `source`; returns when all ended, or after a signal."""
        self._source = source
        with self._signals():
            self._fill()
            self.views.open(source.plan)  # while the workers start: importing both takes seconds
            for spec in self._running.values():
                self.views.started(spec)
            while self._wanted() and not self._killed:
                self._step()
        return self.tally

    def close(self) -> None:
        """Ends the workers, and what still runs."""
        if self._killed or self._running:
            self.executor.kill()
        else:
            self.executor.close()

    def _wanted(self) -> bool:
        """Whether anything is running or will be."""
        more = self.tally.signal is None and (self._held or not self._source.done)
        return bool(self._running or more)

    def _step(self) -> None:
        if not self._running:
            time.sleep(_POLL_SECONDS)
        done, _ = wait(self._running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
        for future in done:
            self._gather(self._running.pop(future), report_of(future))
        for spec in self._fill():
            self.views.started(spec)
        running = list(self._running.values())
        self._source.watch(running)
        self.display.tick({spec.key: Record(self.root, spec.key).progress for spec in running})
        self.views.tick(running)

    def _fill(self) -> list[RunSpec]:
        """Hands out runs while there are free slots; what another driver held is tried again after a while."""
        started: list[RunSpec] = []
        while self.tally.signal is None and len(self._running) < self.executor.slots and (spec := self._next()) is not None:
            Record(self.root, spec.key).create(spec)
            self._running[self.executor.submit(spec)] = spec
            self.display.started(spec)
            started.append(spec)
        return started

    def _next(self) -> RunSpec | None:
        if self._held and self._held[0][0] <= time.monotonic():
            return self._held.popleft()[1]
        return self._source.next()

    def _gather(self, spec: RunSpec, report: Report) -> None:
        record = Record(self.root, spec.key)
        self.tally.busy_seconds += report.busy_seconds
        if report.status == "held":
            self._held.append((time.monotonic() + _HELD_SECONDS, spec))
            return
        if report.status == "finished":
            self.tally.trained += report.busy_seconds > 0  # else another driver had finished it
        elif report.status == "failed":
            if record.failure is None:
                record.fail(report.reason)
            self.tally.failed[spec.key] = report.reason
        elif report.status == "stopped":
            self.tally.stopped[spec.key] = report.reason
        self._source.ended(spec, report)
        self.display.ended(spec, report, record.result)
        self.views.ended(spec, report.status)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """The first signal lets every run finish its step and write a checkpoint; the second ends everything now."""

        def handle(number: int, frame: Any) -> None:
            if self.tally.signal is not None:
                self._killed = True
                return
            self.tally.signal = number
            self.executor.stop()
            self.display.say("stopping: every run finishes its step and writes a checkpoint (again to end now)")

        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
