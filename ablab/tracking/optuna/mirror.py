"""Keeps Optuna's view of a study in step with its run records: one Optuna study a revision, one
trial a run.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ablab.files import locked
from ablab.plan.plan import StudyPlan, shown_options
from ablab.records.home import StudyRecord
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.records.study_content import Arm
from ablab.spec.addresses import fault
from ablab.spec.study import Study
from ablab.tracking.optuna import study as optuna_study
from ablab.tracking.optuna.outcomes import outcome


class OptunaMirror:
    """`say` hears once why there is no view, if there is none. Importances can be computed on what
    it shows.
    """

    def __init__(self, record: StudyRecord, study: Study, say: Callable[[str], None]) -> None:
        self.record, self.study, self.say = record, study, say
        self._view: optuna_study.StudyView | None = None
        self._parameters = _Parameters(study)

    @property
    def storage(self) -> str:
        """Where it is kept: a database's address, or a journal file."""
        tracking = self.study.tracking
        return (
            tracking.optuna
            if tracking and tracking.optuna
            else str(self.record.home.optuna(self.record.name))
        )

    def open(self, plan: StudyPlan) -> None:
        """Connects, and shows runs that ended before."""
        if optuna_study.available():
            self._safely(lambda: self._open(plan))

    def replanned(self, plan: StudyPlan) -> None:
        """More is decided; some of it may be finished, for another study."""
        new = [spec for key, spec in plan.unique.items() if key not in self._parameters.specs]
        self._parameters.take(plan)
        self._safely(lambda: self._show_more(new))

    def started(self, spec: RunSpec) -> None:
        """Nothing: a trial is shown when it has ended."""

    def tick(self, running: Sequence[RunSpec]) -> None:
        """Nothing."""

    def ended(self, spec: RunSpec, status: str) -> None:
        """A run ended."""
        self._safely(lambda: self._show_more([spec]))

    def close(self, files: Sequence[Path], *, complete: bool) -> bool:
        """Lets the store go. Whether the view is in step."""
        # Another driver may have finished some, and been killed before it showed them.
        self._safely(lambda: self._show_more(self._parameters.specs.values()))
        if self._view is not None:
            self._safely(self._view.close)
        return self._view is not None or not optuna_study.available()

    def _open(self, plan: StudyPlan) -> None:
        self._parameters.take(plan)
        with locked(self.record.home.views_lock):
            self._view = optuna_study.StudyView(
                self.storage, self.record.edition, self.study.objectives
            )
            self._show(self._view, plan.unique.values())

    def _show_more(self, runs: Iterable[RunSpec]) -> None:
        if self._view is not None:
            with locked(self.record.home.views_lock):
                self._show(self._view, runs)

    def _show(self, view: optuna_study.StudyView, runs: Iterable[RunSpec]) -> None:
        for spec in runs:
            if view.complete(spec.key):
                continue
            record = Record(self.record.home.root, spec.key)
            if (found := outcome(record, self.study.objectives, self.record.edition)) is not None:
                params, choices = self._parameters.of(spec)
                view.show(spec.key, params, choices, found)

    def _safely(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except Exception as error:  # a store raises what its driver raises
            self._view = None
            self.say(
                f"the Optuna view stopped ({fault(error, self.storage)}); the next `ablab "
                "run` writes it again"
            )


class _Parameters:
    """What distinguishes a study's runs, as parameters of trials, with all the values that each
    takes.
    """

    def __init__(self, study: Study) -> None:
        self.specs: Mapping[str, RunSpec] = {}
        self._arms: dict[str, Arm] = {}
        self._search = study.design.kind == "search"
        self._seeds = study.every_seed()

    def take(self, plan: StudyPlan) -> None:
        """What the plan's runs differ in."""
        self.specs, self._arms = plan.unique, plan.arm_of
        self._trials = bool(plan.expected.trials)
        self._space = dict(plan.space)
        self._parts = [part.label for part in plan.parts if part.label]
        used = [dict(run.plugins) for run in plan.unique.values()]
        names = [] if self._search else sorted({name for plugins in used for name in plugins})
        self._plugins = {
            name: sorted({shown_options(plugins.get(name)) for plugins in used}) for name in names
        }

    def of(self, spec: RunSpec) -> tuple[dict[str, Any], Mapping[str, Any]]:
        """A run's parameters, and the values that each takes in the study."""
        plugins = dict(spec.plugins)
        params: dict[str, Any] = {
            f"plugin.{name}": shown_options(plugins.get(name)) for name in self._plugins
        }
        choices: dict[str, Any] = {
            f"plugin.{name}": values for name, values in self._plugins.items()
        }
        params |= self._arms[spec.key].params
        choices |= self._space
        params["seed"], choices["seed"] = spec.seed, self._seeds
        if self._parts:
            params["part"], choices["part"] = spec.part, self._parts
        if self._trials:
            params["stage"], choices["stage"] = (
                "run" if spec.trial is None else "trial",
                ["trial", "run"],
            )
        return params, choices
