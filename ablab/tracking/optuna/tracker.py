"""The Optuna tracker: keeps a study's trials up to date with its run records.

Each revision of a study is an Optuna study, and each of its runs a trial.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablab.files import locked
from ablab.plan.plan import StudyPlan, shown_options
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.records.run_state import RunState
from ablab.records.study_content import Arm
from ablab.records.study_record import StudyRecord
from ablab.spec.addresses import fault
from ablab.spec.study import Study
from ablab.tracking.optuna.outcomes import outcome as outcome_of
from ablab.tracking.optuna.study import available
from ablab.tracking.optuna.trial_store import TrialStore

if TYPE_CHECKING:
    from ablab.analysis.summary import StudySummary


class OptunaTracker:
    """Shows every run that ended as a trial, on which Optuna can compute importances.

    `say` is called with the reason if the tracker stops; it does not reconnect.
    """

    def __init__(self, record: StudyRecord, study: Study, say: Callable[[str], None]) -> None:
        self.record = record
        self.study = study
        self.say = say
        self._store: TrialStore | None = None
        self._parameters = _Parameters(study)

    @property
    def storage(self) -> str:
        """The address of a database, or the path of a journal file."""
        tracking = self.study.tracking
        if tracking is not None and tracking.optuna:
            return tracking.optuna
        return str(self.record.home.optuna(self.record.name))

    def open(self, plan: StudyPlan) -> None:
        """Connect, and show the runs that ended before."""
        if available():
            self._attempt(lambda: self._open(plan))

    def replanned(self, plan: StudyPlan) -> None:
        """Show the runs that were added to the plan and that another study has finished."""
        added = [spec for key, spec in plan.unique.items() if key not in self._parameters.specs]
        self._parameters.set_plan(plan)
        self._attempt(lambda: self._show(added))

    def started(self, spec: RunSpec) -> None:
        """Do nothing: a trial is added when its run has ended."""

    def tick(self, running: Sequence[RunSpec]) -> None:
        """Do nothing: a trial is added when its run has ended."""

    def ended(self, spec: RunSpec, state: RunState) -> None:
        """Show a run that ended."""
        self._attempt(lambda: self._show([spec]))

    def close(
        self, files: Sequence[Path], *, complete: bool, summary: "StudySummary | None" = None
    ) -> bool:
        """Close the store, and return whether it shows everything recorded."""
        # Another driver may have finished some runs and been killed before it showed them.
        self._attempt(lambda: self._show(self._parameters.specs.values()))
        if self._store is not None:
            self._attempt(self._store.close)
        return self._store is not None or not available()

    def _open(self, plan: StudyPlan) -> None:
        self._parameters.set_plan(plan)
        with locked(self.record.home.views_lock):
            self._store = TrialStore(self.storage, self.record.edition, self.study.objectives)
            self._show_in(self._store, plan.unique.values())

    def _show(self, runs: Iterable[RunSpec]) -> None:
        if self._store is not None:
            with locked(self.record.home.views_lock):
                self._show_in(self._store, runs)

    def _show_in(self, store: TrialStore, runs: Iterable[RunSpec]) -> None:
        for spec in runs:
            if store.is_complete(spec.key):
                continue
            record = Record(self.record.home.root, spec.key)
            outcome = outcome_of(record, self.study.objectives, self.record.edition)
            if outcome is not None:
                params, choices = self._parameters.of(spec)
                store.show(spec.key, params, choices, outcome)

    def _attempt(self, action: Callable[[], Any]) -> None:
        """Do something in the store; after an error the tracker stops."""
        try:
            action()
        except Exception as error:  # a store raises what its driver raises
            self._store = None
            self.say(
                f"the Optuna view stopped ({fault(error, self.storage)}); the next `ablab "
                "run` writes it again"
            )


class _Parameters:
    """The parameters that distinguish a study's runs, with all values that each takes."""

    def __init__(self, study: Study) -> None:
        self.specs: Mapping[str, RunSpec] = {}
        self._arms: dict[str, Arm] = {}
        self._search = study.design.kind == "search"
        self._seeds = study.every_seed()

    def set_plan(self, plan: StudyPlan) -> None:
        """Set the runs, and the values that each parameter takes, to those of `plan`."""
        self.specs = plan.unique
        self._arms = plan.arm_of
        self._trials = bool(plan.expected.trials)
        self._space = dict(plan.space)
        self._parts = [part.label for part in plan.parts if part.label]
        self._plugins: dict[str, list[str]] = {}
        if not self._search:
            runs = [dict(run.plugins) for run in plan.unique.values()]
            for name in sorted({name for plugins in runs for name in plugins}):
                options = {shown_options(plugins.get(name)) for plugins in runs}
                self._plugins[name] = sorted(options)

    def of(self, spec: RunSpec) -> tuple[dict[str, Any], Mapping[str, Any]]:
        """Return a run's parameters, and the values that each takes in the study."""
        plugins = dict(spec.plugins)
        params: dict[str, Any] = {
            f"plugin.{name}": shown_options(plugins.get(name)) for name in self._plugins
        }
        choices: dict[str, Any] = {
            f"plugin.{name}": values for name, values in self._plugins.items()
        }
        params |= self._arms[spec.key].params
        choices |= self._space
        params["seed"] = spec.seed
        choices["seed"] = self._seeds
        if self._parts:
            params["part"] = spec.part
            choices["part"] = self._parts
        if self._trials:
            params["stage"] = "run" if spec.trial is None else "trial"
            choices["stage"] = ["trial", "run"]
        return params, choices
