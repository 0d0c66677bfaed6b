"""The MLflow tracker: keeps a study in an MLflow store up to date with its run records.

A store that is away never delays a run: measurements stay in the records and are sent when the
store answers again, by the next `ablab run`, or by `ablab sync`.
"""

import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ablab.errors import UserError
from ablab.evidence.gather import contrasts_of
from ablab.files import locked
from ablab.plan.plan import StudyPlan
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.records.run_state import RunState
from ablab.records.study_record import StudyRecord
from ablab.spec.study import Study
from ablab.tracking.backoff import Backoff
from ablab.tracking.mlflow import writer
from ablab.tracking.mlflow.connection import available
from ablab.tracking.mlflow.effects import log_effects
from ablab.tracking.mlflow.errors import explained
from ablab.tracking.mlflow.evidence import log_evidence
from ablab.tracking.mlflow.open_study import OpenStudy, close_study, open_study, study_file
from ablab.tracking.mlflow.parameters import RunParameters, TrackedRuns
from ablab.tracking.trackers import ProgressCallback, no_progress

if TYPE_CHECKING:
    from ablab.analysis.summary import StudySummary

# MLflow's server drops a connection that was silent for five seconds.
_SECONDS_BETWEEN_TICKS = 4.0


class MlflowTracker:
    """Keeps a study's parent run and child runs in MLflow up to date.

    `uri` is the address of the store, by default the one that the study or the home names.
    `say` is called with a line when the store goes away, and when it is back. A run that the store
    refuses is left out and does not stop the others.
    """

    def __init__(
        self, record: StudyRecord, study: Study, say: Callable[[str], None], uri: str | None = None
    ) -> None:
        self.record = record
        self.study = study
        self.say = say
        self.uri = uri or record.home.tracking_uri(study)
        self._parameters = RunParameters()
        self._states: dict[str, RunState] = {}  # of the runs that were started
        self._store: OpenStudy | None = None  # None while the store is away
        self._backoff = Backoff()
        self._last_tick = 0.0  # monotonic seconds
        self._is_available = False

    def open(self, plan: StudyPlan) -> None:
        """Connect, end what a killed driver left RUNNING, and show the runs finished before."""
        self._is_available = available()
        if not self._is_available:
            self.say("MLflow is not installed: runs are recorded, not tracked")
        self.replanned(plan)

    def replanned(self, plan: StudyPlan) -> None:
        """Show the runs that were added to the plan and that another study has finished."""
        added = [spec for key, spec in plan.unique.items() if key not in self._parameters.specs]
        self.set_runs(TrackedRuns.of(plan))
        self._attempt(lambda store: self._show_finished(store, added))

    def started(self, spec: RunSpec) -> None:
        """Show a run as RUNNING."""
        self.set_state(spec, RunState.RUNNING)
        self._attempt(lambda store: self._start(store, spec))

    def tick(self, running: Sequence[RunSpec]) -> None:
        """Send what the running runs have measured, every few seconds."""
        reconnects = self._store is None and self._backoff.is_due
        if reconnects or time.monotonic() - self._last_tick >= _SECONDS_BETWEEN_TICKS:
            self._last_tick = time.monotonic()
            for spec in running:
                self._attempt(lambda store, spec=spec: self._send(store, spec))

    def ended(self, spec: RunSpec, state: RunState) -> None:
        """Show how a run ended."""
        self.set_state(spec, state)
        self._attempt(lambda store: self._end(store, spec, state))

    def close(
        self, files: Sequence[Path], *, complete: bool, summary: "StudySummary | None" = None
    ) -> bool:
        """Attach the report's files and the effects to the parent and end it.

        Returns whether MLflow shows the study as it is recorded.
        """
        status = "FINISHED" if complete else "KILLED"
        self._backoff.retry_now()
        self._attempt(lambda store: self._close(store, files, status, summary))
        if self._is_available and self._store is None:
            self.say(
                f"what MLflow lacks stays in the records: `ablab sync {self.record.name}` "
                "sends it, or the next `ablab run`"
            )
        elif self._store is not None and self._store.refused:
            self.say(self._store.refusal(self._parameters.specs))
        return self._store is not None and not self._store.refused

    def set_runs(self, runs: TrackedRuns) -> None:
        """Set the study's runs, without writing."""
        self._parameters.set_runs(runs)

    def set_state(self, spec: RunSpec, state: RunState) -> None:
        """Set the state of a run that was started, without writing."""
        self._states[spec.key] = state

    def write(
        self,
        files: Sequence[Path],
        status: str,
        summary: "StudySummary | None" = None,
        progress: ProgressCallback = no_progress,
    ) -> None:
        """Write the study once, without retries, and end its parent with `status`.

        `progress` is called with the number of finished runs written, and of all. Raises what
        MLflow's clients raise, and in the end UserError if the store refused some runs.
        """
        store = self._connect(progress)
        self._close(store, files, status, summary)
        if store.refused:
            raise UserError(store.refusal(self._parameters.specs))

    def _attempt(self, action: Callable[[OpenStudy], object]) -> None:
        """Call `action`, unless the store is away and the backoff not over.

        When a store answers again, it is first brought up to date.
        """
        if not self._is_available or (self._store is None and not self._backoff.is_due):
            return
        try:
            if self._store is None:
                self._store = self._connect()
                if self._backoff.is_failing:
                    self.say("MLflow answers again: it was sent what it missed")
                self._backoff.succeeded()
            action(self._store)
        except Exception as error:  # MLflow's clients raise what their transports raise
            self._store = None
            if not self._backoff.is_failing:
                self.say(
                    f"MLflow is behind ({explained(error, self.uri)}); runs go on, and it is sent "
                    "their records when it answers"
                )
            self._backoff.failed()

    def _connect(self, progress: ProgressCallback = no_progress) -> OpenStudy:
        store = open_study(self.record, self.study, self.uri)
        self._show_finished(store, self._parameters.specs.values(), progress)
        for key, state in self._states.items():
            spec = self._parameters.specs[key]
            self._start(store, spec)
            if state == RunState.RUNNING:
                self._send(store, spec)
            else:
                self._end(store, spec, state)
        return store

    def _close(
        self, store: OpenStudy, files: Sequence[Path], status: str, summary: "StudySummary | None"
    ) -> None:
        # Another driver may have finished some runs and been killed before it showed them.
        self._show_finished(store, self._parameters.specs.values())
        if summary is not None:
            log_effects(store.store, store.parent, summary)
            log_evidence(store.store, store.parent, contrasts_of(summary, self.record.home))
        close_study(store, study_file(self.record, self.study), files, status)

    def _start(self, store: OpenStudy, spec: RunSpec) -> None:
        def resume(record: Record) -> None:
            writer.prepare_child(store, spec, record, self._parameters.of(spec))
            writer.resume_child(store, spec.key)

        self._update(store, spec, resume)

    def _send(self, store: OpenStudy, spec: RunSpec) -> None:
        record = self._record(spec)
        if spec.key in store.children and not writer.is_up_to_date(store, record):
            with store.refusals_noted(spec.key):
                writer.log_rows(store, spec.key, record.metrics.rows())

    def _end(self, store: OpenStudy, spec: RunSpec, state: RunState) -> None:
        def end(record: Record) -> None:
            # None also if it was damaged since: the run is trained again.
            result = record.result if state == RunState.FINISHED else None
            if spec.key in store.children or spec.key in store.refused:
                writer.prepare_child(store, spec, record, self._parameters.of(spec))
                writer.log_rows(store, spec.key, record.metrics.rows())
                if result is not None:
                    writer.log_result(store, record, result)
                    writer.log_run_model(store, spec, result.steps, self._parameters.of(spec))
                unfinished = "FAILED" if state == RunState.FAILED else "KILLED"
                writer.end_child(store, record, unfinished if result is None else "FINISHED")
            elif result is not None:
                self._write_finished(store, spec)

        self._update(store, spec, end)

    def _update(self, store: OpenStudy, spec: RunSpec, update: Callable[[Record], None]) -> None:
        """Look up a run's child and call `update`, unless the child shows the latest result."""
        record = self._record(spec)
        if writer.is_up_to_date(store, record):
            return
        with locked(self.record.home.views_lock), store.refusals_noted(spec.key):
            writer.refresh(store, [record])
            if not writer.is_up_to_date(store, record):
                update(record)

    def _show_finished(
        self, store: OpenStudy, runs: Collection[RunSpec], progress: ProgressCallback = no_progress
    ) -> None:
        """Show those of `runs` that are finished, and the plugins that they add to the study."""
        records = {spec.key: self._record(spec) for spec in runs}
        finished = [spec for spec in runs if records[spec.key].finished]
        missing = [s for s in finished if not writer.is_up_to_date(store, records[s.key])]
        if missing:
            with locked(self.record.home.views_lock):
                writer.refresh(store, [records[spec.key] for spec in missing])
                for count, spec in enumerate(missing, start=1):
                    with store.refusals_noted(spec.key):
                        self._write_finished(store, spec)
                    progress(count, len(missing))
        writer.complete_plugins(store, self._parameters)

    def _write_finished(self, store: OpenStudy, spec: RunSpec) -> None:
        """Write a finished run; of one from another study only its results, not its curves."""
        record = self._record(spec)
        if writer.is_up_to_date(store, record):
            return
        result = record.result
        if result is None:  # damaged since: the run is trained again
            return
        origin = record.spec.study if record.spec else self.record.name
        params = self._parameters.of(spec)
        if origin == self.record.name:
            writer.prepare_child(store, spec, record, params)
            writer.log_rows(store, spec.key, record.metrics.rows())
            writer.log_result(store, record, result)
            writer.log_run_model(store, spec, result.steps, params)
        else:
            writer.prepare_child(store, spec, record, params, {"reused_from": origin})
            writer.log_result(store, record, result)
        writer.end_child(store, record, "FINISHED")

    def _record(self, spec: RunSpec) -> Record:
        return Record(self.record.home.root, spec.key)
