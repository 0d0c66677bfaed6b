"""Trackers: programs that show a study beside its records, updated by a thread of their own."""

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Protocol

from ablab.plan.plan import StudyPlan
from ablab.records.run_spec import RunSpec
from ablab.records.run_state import RunState
from ablab.spec.addresses import is_local

if TYPE_CHECKING:
    from ablab.analysis.summary import StudySummary

ProgressCallback = Callable[[int, int], None]
"""Called with the number of runs written, and of all."""


def no_progress(count: int, total: int) -> None:
    """Ignore the progress of writing."""


class Tracker(Protocol):
    """What the driver reports to a tracker.

    No method raises: a failure costs the tracker, never a run. `ablab.testing.trackers`
    checks what a tracker must guarantee.
    """

    def open(self, plan: StudyPlan) -> None:
        """Connect, and show the runs that were finished before."""
        ...

    def replanned(self, plan: StudyPlan) -> None:
        """Take notice that runs were added to the plan; some of them may be finished."""
        ...

    def started(self, spec: RunSpec) -> None:
        """Take notice that a run has started, for the first time or again."""
        ...

    def tick(self, running: Sequence[RunSpec]) -> None:
        """Update the runs that are running; called several times a second."""
        ...

    def ended(self, spec: RunSpec, state: RunState) -> None:
        """Take notice that an attempt at a run ended."""
        ...

    def close(
        self, files: Sequence[Path], *, complete: bool, summary: "StudySummary | None" = None
    ) -> bool:
        """Attach the report's files, and return whether everything recorded is shown.

        `complete`: whether the study has no more runs to train. `summary`: its results, if there
        is a report.
        """
        ...


# How long an execution waits at its end, in all: a server may never answer, files on this machine
# are only slow. And after how long it says so.
_SERVER_SECONDS = 25.0
_LOCAL_SECONDS = 180.0
_SILENT_SECONDS = 3.0


def closing_seconds(addresses: Iterable[str]) -> float:
    """Return how long to wait for trackers that write to `addresses`, URIs or paths."""
    return _LOCAL_SECONDS if all(map(is_local, addresses)) else _SERVER_SECONDS


class Trackers:
    """Several trackers behind one interface that does not block.

    Every call returns at once, except `close`, which waits `closing_seconds` for the trackers to
    catch up. `say` is called with a line if they take more than a few seconds.
    """

    def __init__(
        self,
        trackers: Sequence[Tracker],
        say: Callable[[str], object] = lambda text: None,
        closing_seconds: float = _SERVER_SECONDS,
    ) -> None:
        self.closing_seconds = closing_seconds
        self._trackers = trackers
        self._say = say
        self._calls: SimpleQueue[Callable[[Tracker], object] | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._is_ticking = False
        self._has_failed = False

    def open(self, plan: StudyPlan) -> None:
        """Start the thread; earlier calls have no effect."""
        self._thread = Thread(target=self._work, daemon=True)
        self._thread.start()
        self._send(lambda tracker: tracker.open(plan))

    def replanned(self, plan: StudyPlan) -> None:
        """Report that runs were added to the plan."""
        self._send(lambda tracker: tracker.replanned(plan))

    def started(self, spec: RunSpec) -> None:
        """Report that a run has started."""
        self._send(lambda tracker: tracker.started(spec))

    def tick(self, running: Sequence[RunSpec]) -> None:
        """Report the running runs, unless the trackers still work on the last tick."""
        if not self._is_ticking:
            self._is_ticking = True
            self._send(lambda tracker: tracker.tick(running))
            self._send(self._tick_done)

    def ended(self, spec: RunSpec, state: RunState) -> None:
        """Report that a run ended."""
        self._send(lambda tracker: tracker.ended(spec, state))

    def close(
        self, files: Sequence[Path], *, complete: bool, summary: "StudySummary | None" = None
    ) -> bool:
        """Pass on the report's files and results, and return whether the trackers show everything.

        Trackers that do not catch up in time end with this process.
        """
        if self._thread is None:
            return False
        results: list[bool] = []
        self._send(
            lambda tracker: results.append(tracker.close(files, complete=complete, summary=summary))
        )
        self._calls.put(None)
        caught_up = self._join(self._thread)
        self._thread = None
        if not caught_up:
            self._say(
                "the trackers did not catch up in time: what they lack stays in the records, and "
                "`ablab sync` sends it, or the next `ablab run`"
            )
            return False
        return len(results) == len(self._trackers) and all(results) and not self._has_failed

    def _join(self, thread: Thread) -> bool:
        """Wait for the thread, and return whether it ended in time."""
        thread.join(min(_SILENT_SECONDS, self.closing_seconds))
        if thread.is_alive():
            self._say(f"waiting for the trackers, at most {self.closing_seconds:g} s")
            thread.join(max(self.closing_seconds - _SILENT_SECONDS, 0.0))
        return not thread.is_alive()

    def _send(self, call: Callable[[Tracker], object]) -> None:
        if self._thread is not None:
            self._calls.put(call)

    def _tick_done(self, tracker: Tracker) -> None:
        self._is_ticking = False

    def _work(self) -> None:
        while True:
            call = self._calls.get()
            if call is None:
                return
            for tracker in self._trackers:
                try:
                    call(tracker)
                except Exception:  # a tracker handles its store's errors; this one is a bug in it
                    logging.getLogger(__name__).exception("a tracker failed")
                    self._has_failed = True
