"""Where a driver's runs come from. Which run follows may depend on how earlier ones ended (tuning, search)."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

from ablab.study.plan import RunSpec
from ablab.study.worker import Report


class Source(Protocol):
    """Runs to train, one after another."""

    def next(self) -> RunSpec | None:
        """The next run to hand out; None where there is none now."""
        ...

    def watch(self, running: Sequence[RunSpec]) -> None:
        """Looks at what is running, now and then: here a run may be asked to stop."""
        ...

    def ended(self, spec: RunSpec, report: Report) -> None:
        """A run ended: finished, given up, stopped or interrupted. One that was given up or cancelled may be taken up again
        while the driver is at work, and end once more. After one that was cancelled (stopped, its record not `pruned`) a source
        should propose no new runs: people want it to end.
        """
        ...

    @property
    def done(self) -> bool:
        """Whether no run will follow."""
        ...


class Listed:
    """Runs that are known beforehand, in their order."""

    def __init__(self, runs: Iterable[RunSpec]) -> None:
        self._waiting = deque(runs)

    def next(self) -> RunSpec | None:
        """The first that was not handed out."""
        return self._waiting.popleft() if self._waiting else None

    def watch(self, running: Sequence[RunSpec]) -> None:
        """Nothing depends on it."""

    def ended(self, spec: RunSpec, report: Report) -> None:
        """Nothing depends on it."""

    @property
    def done(self) -> bool:
        """Whether all were handed out."""
        return not self._waiting
