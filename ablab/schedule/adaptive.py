"""Sources whose runs depend on how trials ended. What they decide follows from the records alone: a
source that is made again, by another driver or another day, decides the same and hands out what is
missing.
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


class Adaptive(Source[Plan]):
    """Hands out trials, notes how they end, and hands out what follows from it. `root`: the home's
    folder of records. `owner`: the study's revision, whose prunings alone count. A trial that
    failed is one without a value, until `ablab retry`.
    """

    def __init__(self, root: Path, metrics: Sequence[str], owner: str) -> None:
        self.root, self.metrics, self.owner, self.changed = root, metrics, owner, ignore
        self._undecided = False
        self._waiting: deque[RunSpec] = deque()
        self._cancelled: set[str] = set()

    @abstractmethod
    def noted(self, spec: RunSpec, outcome: Outcome) -> None:
        """A trial ended: decides what follows. The same trial may be noted twice."""

    @abstractmethod
    def confirmed(self, spec: RunSpec) -> None:
        """A run of the design is finished: decides what follows. The same run may be told twice."""

    @abstractmethod
    def planned(self) -> Plan:
        """The study as far as it is decided."""

    @abstractmethod
    def pruner(self, spec: RunSpec) -> Proposer | None:
        """What tells whether a trial lags; None where trials are trained to their end."""

    def watch(self, running: Sequence[RunSpec]) -> None:
        """Ends trials that lag behind the others."""
        for spec in running:
            if spec.trial is None or (pruner := self.pruner(spec)) is None:
                continue
            record = Record(self.root, spec.key)
            if not record.stop.requested and pruner.lags(
                spec.trial, rungs(record, self.metrics[0])
            ):
                record.stop.request(
                    "pruned: it lagged behind the other trials", "pruned", self.owner
                )

    def wait(self, runs: Iterable[RunSpec]) -> None:
        """More runs are decided upon."""
        self._waiting.extend(runs)
        self._undecided = True

    def settle(self) -> None:
        """Notes all trials that ended earlier, and what follows from them."""
        unknown: deque[RunSpec] = deque()
        while self._waiting:
            spec = self._waiting.popleft()
            if not self._known(spec):
                unknown.append(spec)
        self._waiting = unknown
        self._plan_anew()

    def next(self) -> RunSpec | None:
        """The next run that is not finished; none once one was cancelled."""
        while self._waiting and not self._cancelled:
            spec = self._waiting.popleft()
            if not self._known(spec):
                Record(self.root, spec.key).stop.withdraw_pruning()  # another study's
                self._plan_anew()
                return spec
        self._plan_anew()
        return None

    def ended(self, spec: RunSpec, report: AttemptOutcome) -> None:
        """Notes a trial; one that was interrupted or cancelled decides nothing."""
        self._cancelled.discard(spec.key)
        record = Record(self.root, spec.key)
        if report.state == RunState.PRUNED and record.stop.pruned_by not in (None, self.owner):
            self.wait([spec])
        elif report.state == RunState.CANCELLED:
            self._cancelled.add(spec.key)
        elif (
            spec.trial is not None
            and (found := outcome(record, self.metrics, self.owner)) is not None
        ):
            self.noted(spec, found)
            self._plan_anew()
        elif spec.trial is None and record.finished:
            self.confirmed(spec)
            self._plan_anew()

    @property
    def done(self) -> bool:
        """Whether nothing waits; what runs now may bring more."""
        return not self._waiting or bool(self._cancelled)

    def _known(self, spec: RunSpec) -> bool:
        record = Record(self.root, spec.key)
        if spec.trial is None:
            if record.finished:
                self.confirmed(spec)
            return record.finished
        if (found := outcome(record, self.metrics, self.owner)) is not None:
            self.noted(spec, found)
        return found is not None

    def _plan_anew(self) -> None:
        """Only where more is decided: a plan of many runs takes a moment."""
        if self._undecided:
            self._undecided = False
            self.plan = self.planned()
            self.changed(self.plan)
