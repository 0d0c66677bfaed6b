"""Keeps MLflow's view of a study in step with its run records. A store that is away costs a run
nothing: what is measured stays in the records, and is sent when the store answers again, by the
next `ablab run`, or by `ablab sync`.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ablab.errors import UserError
from ablab.plan.plan import StudyPlan, shown_options
from ablab.records.home import Home, StudyRecord
from ablab.records.run_spec import RunSpec
from ablab.records.study_content import Arm
from ablab.spec.study import Study
from ablab.spec.yaml_document import to_yaml
from ablab.tracking.mlflow import view as mlflow_view
from ablab.tracking.mlflow.stored import Heard, Store, StoredStudy, unheard

# MLflow's server drops a connection that was silent for five seconds.
_SECONDS_BETWEEN = 4.0
_FIRST_WAIT, _LONGEST_WAIT = 2.0, 60.0


class Mirror:
    """A study's parent and children in MLflow, at `uri` or where the study is tracked; `say` hears
    when the store goes away, and when it is back.
    """

    def __init__(
        self, record: StudyRecord, study: Study, say: Callable[[str], None], uri: str | None = None
    ) -> None:
        self.record, self.study, self.say = record, study, say
        self.uri = uri or record.home.tracking_uri(study)
        self._stored: StoredStudy | None = None
        self._specs: Mapping[str, RunSpec] = {}
        self._arms: dict[str, Arm] = {}
        self._studies: dict[str, Study] = {}
        self._plugins: list[str] = []
        self._status: dict[str, str] = {}  # of what was handed out: "running", or how it ended
        self._last = self._wait = self._again = 0.0
        self._opened = False

    def open(self, plan: StudyPlan) -> None:
        """Connects, reaps what a killed driver left RUNNING, and shows runs that were finished
        before.
        """
        self._opened = mlflow_view.available()
        if not self._opened:
            self.say("MLflow is not installed: runs are recorded, not tracked")
        self.replanned(plan)

    def replanned(self, plan: StudyPlan) -> None:
        """More is decided; some of it may be finished, for another study."""
        new = [spec for key, spec in plan.unique.items() if key not in self._specs]
        self.take(plan)
        self._safely(lambda stored: self._show(stored, new))

    def take(self, plan: StudyPlan) -> None:
        """What the study's runs are."""
        self._specs, self._arms = plan.unique, plan.arm_of
        self._studies = {part.label: part.study for part in plan.parts}
        self._plugins = sorted({name for run in plan.unique.values() for name, _ in run.plugins})

    def note(self, spec: RunSpec, status: str) -> None:
        """How a run stands: "running", or how it ended."""
        self._status[spec.key] = status

    def started(self, spec: RunSpec) -> None:
        """A run is under way."""
        self.note(spec, "running")
        self._safely(lambda stored: stored.start(spec))

    def tick(self, running: Sequence[RunSpec]) -> None:
        """Sends what the running runs have measured since the last time, every few seconds."""
        if time.monotonic() - self._last >= _SECONDS_BETWEEN or (
            self._stored is None and self._due
        ):
            self._last = time.monotonic()
            for spec in running:
                self._safely(lambda stored, spec=spec: stored.send(spec))

    def ended(self, spec: RunSpec, status: str) -> None:
        """A run ended: finished, failed or interrupted."""
        self.note(spec, status)
        self._safely(lambda stored: stored.end(spec, status))

    def close(self, files: Sequence[Path], *, complete: bool) -> bool:
        """Attaches the report's files to the parent and ends it. Whether the view is in step."""
        self._again = 0.0
        self._safely(
            lambda stored: self._close(stored, files, "FINISHED" if complete else "KILLED")
        )
        if self._opened and self._stored is None:
            self.say(
                f"what MLflow lacks stays in the records: `ablab sync {self.record.name}` "
                "sends it, or the next `ablab run`"
            )
        elif self._stored is not None and self._stored.refused:
            self.say(self._refused(self._stored))
        return self._stored is not None and not self._stored.refused

    def write(self, files: Sequence[Path], status: str, progress: Heard = unheard) -> None:
        """Brings the store up to date with the records of the plan taken; `progress` hears of how
        many runs how many are written. Raises what MLflow's clients raise, and at the end UserError
        where the store refused some runs.
        """
        stored = self._connect(progress)
        self._close(stored, files, status)
        if stored.refused:
            raise UserError(self._refused(stored))

    def _refused(self, stored: StoredStudy) -> str:
        """The runs that the store refuses, and why it refused the first."""
        key, why = next(iter(stored.refused.items()))
        first = self._specs[key].label if key in self._specs else key
        more = f" and {len(stored.refused) - 1} more" if len(stored.refused) > 1 else ""
        return f"MLflow refuses {first}{more} ({why}); the other runs stand there"

    def _close(self, stored: StoredStudy, files: Sequence[Path], status: str) -> None:
        # Another driver may have finished some, and been killed before it showed them.
        self._show(stored, self._specs.values())
        stored.close(files, {f"study-{self.record.revision}.yaml": self._file()}, status)

    def _file(self) -> str:
        """The study as it was resolved, as a study file."""
        apart = {"tracking"} if self.study.budgets is None else {"tracking", "budget"}
        return to_yaml(
            self.study.model_dump(mode="json", by_alias=True, exclude=apart, exclude_none=True)
        )

    def _connect(self, progress: Heard = unheard) -> StoredStudy:
        design = self.study.design.kind
        tags = {"question": self.study.question, "revision": self.record.revision, "design": design}
        named = {f"ablab.{name}": value for name, value in tags.items()}
        store = Store(self.uri, self.record, self._params, progress)
        stored = StoredStudy(store, {**named, "mlflow.note.content": self.study.question})
        stored.show(self._specs.values())
        for key, status in self._status.items():
            spec = self._specs[key]
            stored.start(spec)
            if status == "running":
                stored.send(spec)
            else:
                stored.end(spec, status)
        stored.complete(self._specs)
        return stored

    def _show(self, stored: StoredStudy, runs: Iterable[RunSpec]) -> None:
        """Shows what is finished of `runs`. With them plugins may come that the children of others
        don't name.
        """
        stored.show(runs)
        stored.complete(self._specs)

    def _params(self, spec: RunSpec) -> dict[str, str]:
        """What filters and groups the runs table: every plugin of the study is a parameter of every
        run.
        """
        mine = dict(spec.plugins)
        plugins = {f"plugin.{name}": shown_options(mine.get(name)) for name in self._plugins}
        study = self._studies[spec.part]
        budget = {
            f"budget.{k}": str(v) for k, v in study.budget.model_dump(exclude_none=True).items()
        }
        budget |= {"part": spec.part} if spec.part else {}
        recipe = {f"recipe.{k}": str(v) for k, v in self._arms[spec.key].recipe.items()}
        dims = {f"dims.{k}": str(v) for k, v in spec.dims.items() if v is not None}
        dims |= {"dims.feed_forward": str(max(spec.feed_forward))} if spec.feed_forward else {}
        return {"arm": spec.arm, "seed": str(spec.seed), **plugins, **budget, **recipe, **dims}

    @property
    def _due(self) -> bool:
        return time.monotonic() >= self._again

    def _safely(self, action: Callable[[StoredStudy], object]) -> None:
        """Does it in the store. One that is away is asked again after a while, and told all that it
        missed.
        """
        if not self._opened or (self._stored is None and not self._due):
            return
        try:
            if self._stored is None:
                self._stored = self._connect()
                if self._wait:
                    self.say("MLflow answers again: it was sent what it missed")
                self._wait = 0.0
            action(self._stored)
        except Exception as error:  # MLflow's clients raise what their transports raise
            self._stored = None
            if not self._wait:
                told = mlflow_view.explained(error, self.uri)
                self.say(
                    f"MLflow is behind ({told}); runs go on, and it is sent their records "
                    "when it answers"
                )
            self._wait = min(max(2 * self._wait, _FIRST_WAIT), _LONGEST_WAIT)
            self._again = time.monotonic() + self._wait


class LocalTracker:
    """The home's own store, if there is one, to take studies and runs out of: MLflow keeps what is
    deleted until its garbage collection. Raises UserError, when it is made too, where the store
    can't be used.
    """

    def __init__(self, home: Home) -> None:
        self._uri = home.tracking_uri()
        self._view: mlflow_view.MlflowView | None = None
        if mlflow_view.available() and any(home.mlflow.glob("*.db")):
            with suppress(mlflow_view.NoStore), self._told():
                self._view = mlflow_view.MlflowView(
                    self._uri, home.mlflow, home.identity(), make=False
                )

    def forget(self, studies: Iterable[str], runs: Collection[str]) -> None:
        """Takes out studies, and single runs of all others."""
        if (view := self._view) is not None:
            with self._told():
                for name in studies:
                    view.forget(name)
                view.forget_runs(runs)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except mlflow_view.NoStore:
            raise
        except Exception as error:  # MLflow's clients raise what their transports raise
            raise UserError(mlflow_view.explained(error, self._uri)) from error
