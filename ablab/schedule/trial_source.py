"""The base of run sources that hand out trials, whose outcomes decide what follows.

Decisions follow from the records alone. A source that another driver makes later decides the same
and hands out what is missing.
"""

from abc import abstractmethod
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

from ablab.plan.plan import Plan
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.records.run_state import RunState
from ablab.schedule.source import Source, ignore
from ablab.tracking.optuna.outcomes import outcome, rungs
from ablab.tracking.optuna.study import Outcome, Proposer


class TrialSource(Source[Plan]):
    """Hands out trials, records how they end, and hands out what follows.

    `root` is the home's folder of records. `owner` is the edition of the study; prunings by other
    studies do not count. A trial that failed has no value until `ablab retry`.
    """

    def __init__(self, root: Path, metrics: Sequence[str], owner: str) -> None:
        self.root = root
        self.metrics = metrics
        self.owner = owner
        self.changed = ignore
        self._plan_is_stale = False
        self._waiting: deque[RunSpec] = deque()
        self._cancelled: set[str] = set()

    @abstractmethod
    def trial_ended(self, spec: RunSpec, outcome: Outcome) -> None:
        """Decide what follows the end of a trial. May be called twice for the same trial."""

    @abstractmethod
    def run_finished(self, spec: RunSpec) -> None:
        """Decide what follows a finished run of the design. May be called twice for one run."""

    @abstractmethod
    def make_plan(self) -> Plan:
        """Return the plan of the study as far as it is decided."""

    @abstractmethod
    def pruner(self, spec: RunSpec) -> Proposer | None:
        """Return what decides whether a trial lags; None if trials are trained to their end."""

    def watch(self, running: Sequence[RunSpec]) -> None:
        """Stop trials that lag behind the others."""
        for spec in running:
            if spec.trial is None:
                continue
            pruner = self.pruner(spec)
            if pruner is None:
                continue
            record = Record(self.root, spec.key)
            if record.stop.requested:
                continue
            if pruner.lags(spec.trial, rungs(record, self.metrics[0])):
                record.stop.request(
                    "pruned: it lagged behind the other trials", "pruned", self.owner
                )

    def enqueue(self, runs: Iterable[RunSpec]) -> None:
        """Add runs that have been decided on."""
        self._waiting.extend(runs)
        self._plan_is_stale = True

    def replay(self) -> None:
        """Take in all trials and runs that ended earlier, and what follows from them."""
        remaining: deque[RunSpec] = deque()
        while self._waiting:
            spec = self._waiting.popleft()
            if not self._take_in(spec):
                remaining.append(spec)
        self._waiting = remaining
        self._update_plan()

    def next(self) -> RunSpec | None:
        """Return the next unfinished run, or None once a run was cancelled."""
        while self._waiting and not self._cancelled:
            spec = self._waiting.popleft()
            if not self._take_in(spec):
                Record(self.root, spec.key).stop.withdraw_pruning()  # pruned by another study
                self._update_plan()
                return spec
        self._update_plan()
        return None

    def ended(self, spec: RunSpec, report: AttemptOutcome) -> None:
        """Take in a run. One that was interrupted or cancelled decides nothing."""
        self._cancelled.discard(spec.key)
        record = Record(self.root, spec.key)
        if report.state == RunState.PRUNED and record.stop.pruned_by not in (None, self.owner):
            self.enqueue([spec])
        elif report.state == RunState.CANCELLED:
            self._cancelled.add(spec.key)
        elif self._take_in(spec):
            self._update_plan()

    @property
    def done(self) -> bool:
        """Whether no run is waiting; a run in progress may still bring more."""
        return not self._waiting or bool(self._cancelled)

    def _take_in(self, spec: RunSpec) -> bool:
        """Decide what follows a run if it has ended, and return whether it has."""
        record = Record(self.root, spec.key)
        if spec.trial is None:
            if record.finished:
                self.run_finished(spec)
            return record.finished
        trial_outcome = outcome(record, self.metrics, self.owner)
        if trial_outcome is None:
            return False
        self.trial_ended(spec, trial_outcome)
        return True

    def _update_plan(self) -> None:
        """Make the plan again if more was decided. With many runs this takes a moment."""
        if self._plan_is_stale:
            self._plan_is_stale = False
            self.plan = self.make_plan()
            self.changed(self.plan)
