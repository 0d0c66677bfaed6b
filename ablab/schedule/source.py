"""Run sources: which run a driver trains next. It may depend on how earlier ones ended (tuning,
search, adaptive seeds).
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
    """Called whenever more is decided."""

    def next(self) -> RunSpec | None:
        """The next run to hand out; None where there is none now."""
        ...

    def watch(self, running: Sequence[RunSpec]) -> None:
        """Looks at what is running, now and then: here a run may be asked to stop."""
        ...

    def ended(self, spec: RunSpec, report: AttemptOutcome) -> None:
        """A run ended: finished, given up, stopped or interrupted. One that was given up or
        cancelled may be taken up again while the driver is at work, and end once more. After one
        that was cancelled (stopped, its record not `pruned`) a source should propose no new runs:
        people want it to end.
        """
        ...

    @property
    def done(self) -> bool:
        """Whether no run will follow."""
        ...


class Listed(Source[Plan]):
    """Runs that are known beforehand: those of `plan` that are not finished. Seeds in the outer
    loop, so that an early look sees every arm.
    """

    def __init__(self, plan: Plan, root: Path) -> None:
        self.plan, self.changed, self._root = plan, ignore, root
        done = finished_keys(root, plan.unique)
        self._waiting = deque(run for run in in_turn(plan.runs) if run.key not in done)

    def next(self) -> RunSpec | None:
        """The first that was not handed out. What another study pruned is wanted whole here."""
        if not self._waiting:
            return None
        spec = self._waiting.popleft()
        Record(self._root, spec.key).stop.withdraw_pruning()
        return spec

    def watch(self, running: Sequence[RunSpec]) -> None:
        """Nothing depends on it."""

    def ended(self, spec: RunSpec, report: AttemptOutcome) -> None:
        """A run that another study pruned while it was under way is wanted again."""
        if report.state == RunState.PRUNED:
            self._waiting.append(spec)

    @property
    def done(self) -> bool:
        """Whether all were handed out."""
        return not self._waiting


def in_turn(runs: Sequence[RunSpec]) -> list[RunSpec]:
    """Different runs: the first of every arm, then the second of every arm, and so on."""
    nth: Counter[str] = Counter()
    places: dict[str, int] = {}
    for run in runs:
        places[run.key] = nth[run.arm]
        nth[run.arm] += 1
    unique = {run.key: run for run in runs}
    return sorted(unique.values(), key=lambda run: places[run.key])


def ignore(plan: Plan | StudyPlan) -> None:
    """Do nothing when a plan changes."""
