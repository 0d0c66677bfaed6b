"""Run sources, which decide what a driver trains next.

Under tuning, search and adaptive seeds, the decision depends on how earlier runs ended.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from ablab.plan.plan import Plan, StudyPlan
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_record import Record, finished_keys
from ablab.records.run_spec import RunSpec
from ablab.records.run_state import RunState

P = TypeVar("P", Plan, StudyPlan)


class Source(Protocol[P]):
    """Hands out the runs of a plan, of one part or of a whole study."""

    plan: P
    """The plan as far as it is decided."""
    changed: Callable[[P], None]
    """Called with the new plan whenever more is decided."""

    def next(self) -> RunSpec | None:
        """Return the next run, or None if there is none at present."""
        ...

    def watch(self, running: Sequence[RunSpec]) -> None:
        """Look at the runs in progress, from time to time. A source may ask a run to stop here."""
        ...

    def ended(self, spec: RunSpec, report: AttemptOutcome) -> None:
        """Note that a run ended: finished, given up, stopped or interrupted.

        A run that was given up or cancelled may be resumed while the driver is at work, and then
        ends once more. After a run was cancelled (stopped, its record not `pruned`) a source should
        propose no new runs, because somebody wants the study to end.
        """
        ...

    @property
    def done(self) -> bool:
        """Whether no run will follow."""
        ...


class FixedSource(Source[Plan]):
    """The runs of a plan that is fixed beforehand, without those that are finished.

    Seeds are in the outer loop, so that an early look at the results includes every arm.
    """

    def __init__(self, plan: Plan, root: Path) -> None:
        self.plan = plan
        self.changed = ignore
        self._root = root
        finished = finished_keys(root, plan.unique)
        self._waiting = deque(run for run in round_robin(plan.runs) if run.key not in finished)

    def next(self) -> RunSpec | None:
        """Return the next run. One that another study pruned is trained to its end."""
        if not self._waiting:
            return None
        spec = self._waiting.popleft()
        Record(self._root, spec.key).stop.withdraw_pruning()
        return spec

    def watch(self, running: Sequence[RunSpec]) -> None:
        """Do nothing: no run is ever asked to stop."""

    def ended(self, spec: RunSpec, report: AttemptOutcome) -> None:
        """Hand a run out once more if another study pruned it while it was in progress."""
        if report.state == RunState.PRUNED:
            self._waiting.append(spec)

    @property
    def done(self) -> bool:
        """Whether all runs were handed out."""
        return not self._waiting


def round_robin(runs: Sequence[RunSpec]) -> list[RunSpec]:
    """Return the first run of every arm, then the second of every arm, and so on, each run once."""
    count: Counter[str] = Counter()
    position: dict[str, int] = {}
    for run in runs:
        position[run.key] = count[run.arm]
        count[run.arm] += 1
    unique = {run.key: run for run in runs}
    return sorted(unique.values(), key=lambda run: position[run.key])


def ignore(plan: Plan | StudyPlan) -> None:
    """Do nothing when a plan changes."""
