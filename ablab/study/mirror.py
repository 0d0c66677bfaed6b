"""Keeps MLflow's view of a study in step with its run records. A tracker that fails costs its view, never a run."""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ablab.files import locked
from ablab.study.home import Home, StudyRecord
from ablab.study.plan import Arm, Plan, RunSpec, shown_options
from ablab.study.records import Record
from ablab.study.schema import Study
from ablab.tracking import mlflow_view
from ablab.tracking.addresses import fault

_SECONDS_BETWEEN = 5.0


class Mirror:
    """A study's parent and children in MLflow; `say` hears once why there is no view, if there is none."""

    def __init__(self, record: StudyRecord, study: Study, say: Callable[[str], None]) -> None:
        self.home, self.name, self.revision = record.home, record.name, record.revision
        self.study, self.say = study, say
        self._view: mlflow_view.MlflowView | None = None
        self._parent = ""
        self._children: dict[str, mlflow_view.Child] = {}
        self._sent: dict[str, int] = {}
        self._last = 0.0
        self._specs: Mapping[str, RunSpec] = {}
        self._arms: dict[str, Arm] = {}
        self._studies: dict[str, Study] = {}
        self._plugins: list[str] = []

    def open(self, plan: Plan) -> None:
        """Connects, reaps what a killed driver left RUNNING, and shows runs that were finished before."""
        if not mlflow_view.available():
            self.say("MLflow is not installed: runs are recorded, not tracked")
            return
        self.replanned(plan)
        self._safely(lambda: self._open(plan))

    def replanned(self, plan: Plan) -> None:
        """More is decided; some of it may be finished, for another study."""
        known = self._specs
        self._specs, self._arms = plan.unique, plan.arm_of
        self._studies = {part.label: part.study for part in plan.parts}
        self._plugins = sorted({name for run in plan.unique.values() for name, _ in run.plugins})
        self._safely(lambda: self._show_more([spec for key, spec in plan.unique.items() if key not in known]))

    def _finished(self, runs: Iterable[RunSpec]) -> list[RunSpec]:
        return [spec for spec in runs if Record(self.home.root, spec.key).finished]

    def _show_more(self, runs: Iterable[RunSpec]) -> None:
        finished = [spec for spec in self._finished(runs) if not self._shown(spec)]
        if self._view is None or not finished:
            return
        with locked(self.home.views_lock):
            self._look(finished)
            for spec in finished:
                self._show_finished(spec)

    def _shown(self, spec: RunSpec) -> bool:
        return (child := self._children.get(spec.key)) is not None and child.status == "FINISHED"

    def _look(self, runs: Sequence[RunSpec]) -> None:
        """Another driver may have made the children of `runs` since."""
        assert self._view is not None
        self._children |= self._view.children(self._parent, runs[0].key if len(runs) == 1 else None)

    def _open(self, plan: Plan) -> None:
        with locked(self.home.views_lock):  # when it is first opened, MLflow makes its tables
            uri = self.home.tracking_uri(self.study)
            self._view = view = mlflow_view.MlflowView(uri, self.home.mlflow, self.home.root)
            tags = {"question": self.study.question, "revision": self.revision, "design": self.study.design.kind}
            self._parent = view.parent(self.name, {f"ablab.{name}": value for name, value in tags.items()})
            leased = [p.parent.name for p in (self.home.root / "runs").glob("*/lease.json")]
            view.reap(key for key in leased if Record(self.home.root, key).lease().held())
            self._children = view.children(self._parent)
            for spec in self._finished(plan.unique.values()):
                self._show_finished(spec)

    def started(self, spec: RunSpec) -> None:
        """A run is under way."""
        self._safely(lambda: self._started(spec))

    def tick(self, running: Sequence[RunSpec]) -> None:
        """Sends what the running runs have measured since the last time, every few seconds."""
        if time.monotonic() - self._last >= _SECONDS_BETWEEN:
            self._last = time.monotonic()
            for spec in running:
                self._safely(lambda spec=spec: self._send(spec))

    def ended(self, spec: RunSpec, status: str) -> None:
        """A run ended: finished, failed or interrupted."""
        self._safely(lambda: self._ended(spec, status))

    def close(self, files: Sequence[Path], *, complete: bool) -> bool:
        """Attaches the report's files to the parent and ends it. Whether the view is in step."""

        def close(view: mlflow_view.MlflowView) -> None:
            # Another driver may have finished some, and been killed before it showed them.
            self._show_more(self._specs.values())
            view.attach(self._parent, files)
            view.end(self._parent, "FINISHED" if complete else "KILLED")

        self._safely(lambda: close(self._view) if self._view else None)
        return self._view is not None

    def _started(self, spec: RunSpec) -> None:
        if self._view is None or self._shown(spec):
            return
        if spec.key in self._children:
            self._view.resume(self._children[spec.key].id)
            return
        with locked(self.home.views_lock):
            self._look([spec])
            if spec.key not in self._children:
                self._create(spec, {})

    def _create(self, spec: RunSpec, tags: Mapping[str, str]) -> str:
        assert self._view is not None
        stage = "run" if spec.trial is None else "trial"
        all_tags = {"ablab.arm": spec.arm, "ablab.study": self.name, "ablab.stage": stage, **tags}
        run = self._view.create_child(self._parent, spec.label, spec.key, self._params(spec), all_tags)
        self._children[spec.key] = mlflow_view.Child(run, "RUNNING")
        return run

    def _params(self, spec: RunSpec) -> dict[str, str]:
        """What filters and groups the runs table: every plugin of the study is a parameter of every run."""
        mine = dict(spec.plugins)
        plugins = {f"plugin.{name}": shown_options(mine.get(name)) for name in self._plugins}
        study = self._studies.get(spec.part, self.study)
        budget = {f"budget.{k}": str(v) for k, v in study.budget.model_dump(exclude_none=True).items()}
        budget |= {"part": spec.part} if spec.part else {}
        recipe = {f"recipe.{k}": str(v) for k, v in self._arms[spec.key].recipe.items()}
        dims = {f"dims.{k}": str(v) for k, v in spec.dims.items() if v is not None}
        dims |= {"dims.feed_forward": str(max(spec.feed_forward))} if spec.feed_forward else {}
        return {"arm": spec.arm, "seed": str(spec.seed), **plugins, **budget, **recipe, **dims}

    def _send(self, spec: RunSpec) -> None:
        if self._view is None or spec.key not in self._children:
            return
        rows = Record(self.home.root, spec.key).metrics()
        new = rows[self._sent.get(spec.key, 0) :]
        if new:
            self._view.log(self._children[spec.key].id, new)
            self._sent[spec.key] = len(rows)

    def _ended(self, spec: RunSpec, status: str) -> None:
        if self._view is None or spec.key not in self._children or self._shown(spec):
            return
        self._send(spec)
        run = self._children[spec.key].id
        if status == "finished":
            self._log_result(run, spec)
        self._end(spec.key, run, {"finished": "FINISHED", "failed": "FAILED"}.get(status, "KILLED"))

    def _end(self, key: str, run: str, status: str) -> None:
        assert self._view is not None
        self._view.end(run, status)
        self._children[key] = mlflow_view.Child(run, status)

    def _log_result(self, run: str, spec: RunSpec) -> None:
        assert self._view is not None
        result: dict[str, Any] = Record(self.home.root, spec.key).result or {}
        final = {f"final/{name}": value for name, value in result["metrics"].items() if math.isfinite(value)}
        cost = {f"cost/{name}": value for name, value in result["cost"].items() if value is not None}
        when = (Record(self.home.root, spec.key).folder / "result.json").stat().st_mtime
        self._view.log(run, [{"step": result["steps"], "time": when, **final, **cost}])

    def _show_finished(self, spec: RunSpec) -> None:
        """A run finished earlier: by this study, or by another (a light copy: its results without its curves)."""
        if self._shown(spec):
            return
        child = self._children.get(spec.key)
        origin = (Record(self.home.root, spec.key).spec or {}).get("study", self.name)
        reused = {} if origin == self.name else {"reused_from": origin}
        run = child.id if child is not None else self._create(spec, reused)
        if not reused:
            self._send(spec)
        self._log_result(run, spec)
        self._end(spec.key, run, "FINISHED")

    def _safely(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except Exception as error:  # MLflow's clients raise what their transports raise
            self._view = None
            told = fault(error, self.home.tracking_uri(self.study))
            self.say(f"tracking stopped ({told}); runs go on, and are tracked at the next `ablab run`")


def forget(home: Home, studies: Iterable[str]) -> None:
    """Takes studies out of the local tracker, if there is one: MLflow keeps what is deleted until its garbage collection."""
    if not mlflow_view.available() or not any(home.mlflow.glob("*.db")):
        return
    view = mlflow_view.MlflowView(home.tracking_uri(), home.mlflow, home.root)
    for name in studies:
        view.forget(name)
