"""Views of a study beside its records: kept in step by a thread of their own, so that no run waits
for a tracker.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Protocol

from ablab.plan.plan import StudyPlan
from ablab.records.run_spec import RunSpec


class View(Protocol):
    """What a view hears. It raises nothing: a view that fails costs the view, never a run."""

    def open(self, plan: StudyPlan) -> None:
        """Connects, and shows what was finished before."""
        ...

    def replanned(self, plan: StudyPlan) -> None:
        """More is decided."""
        ...

    def started(self, spec: RunSpec) -> None:
        """A run is under way."""
        ...

    def tick(self, running: Sequence[RunSpec]) -> None:
        """These runs are under way."""
        ...

    def ended(self, spec: RunSpec, status: str) -> None:
        """A run ended."""
        ...

    def close(self, files: Sequence[Path], *, complete: bool) -> bool:
        """Takes the report's files. Whether the view is in step."""
        ...


class Trackers:
    """Several views as one. Each call returns at once, but for `close`, which waits until the views
    are in step.
    """

    def __init__(self, views: Sequence[View]) -> None:
        self._views = views
        self._calls: SimpleQueue[Callable[[View], object] | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._ticking = self._failed = False

    def open(self, plan: StudyPlan) -> None:
        """Starts the thread; what is said before that is not heard."""
        self._thread = Thread(target=self._work, daemon=True)
        self._thread.start()
        self._tell(lambda view: view.open(plan))

    def replanned(self, plan: StudyPlan) -> None:
        """More is decided."""
        self._tell(lambda view: view.replanned(plan))

    def started(self, spec: RunSpec) -> None:
        """A run is under way."""
        self._tell(lambda view: view.started(spec))

    def tick(self, running: Sequence[RunSpec]) -> None:
        """These runs are under way; left out while the last tick is still being worked on."""
        if not self._ticking:
            self._ticking = True
            self._tell(lambda view: view.tick(running))
            self._tell(self._ticked)

    def ended(self, spec: RunSpec, status: str) -> None:
        """A run ended."""
        self._tell(lambda view: view.ended(spec, status))

    def close(self, files: Sequence[Path], *, complete: bool) -> bool:
        """Hands over the report's files. Whether all views are in step."""
        if self._thread is None:
            return False
        results: list[bool] = []
        views = len(self._views)
        self._tell(lambda view: results.append(view.close(files, complete=complete)))
        self._calls.put(None)
        self._thread.join()
        self._thread = None
        return len(results) == views and all(results) and not self._failed

    def _tell(self, call: Callable[[View], object]) -> None:
        if self._thread is not None:
            self._calls.put(call)

    def _ticked(self, view: View) -> None:
        self._ticking = False

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            for view in self._views:
                try:
                    call(view)
                except (
                    Exception
                ):  # a view catches what its tracker raises; this is a fault of its own
                    logging.getLogger(__name__).exception("a view failed")
                    self._failed = True
