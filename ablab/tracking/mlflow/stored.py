"""A study in one MLflow store: its parent, its children, and what each has measured, from the run
records.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ablab.files import locked
from ablab.plan.plan import shown_options
from ablab.records.home import StudyRecord
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.spec.addresses import fault
from ablab.tracking.mlflow.dataset import inputs_of
from ablab.tracking.mlflow.view import (
    RESULT,
    Child,
    MlflowView,
    NewChild,
    Point,
    refused,
    store_folder,
)

Heard = Callable[[int, int], None]


def unheard(done: int, total: int) -> None:
    """Nobody hears how far it is."""


_ENDS = {"finished": "FINISHED", "failed": "FAILED"}


@dataclass(frozen=True)
class Store:
    """Which store, and `params`: what filters and groups the runs table. `progress` hears of how
    many finished runs how many are written.
    """

    uri: str
    record: StudyRecord
    params: Callable[[RunSpec], dict[str, str]]
    progress: Heard = unheard


class StoredStudy:
    """Connected when made. Raises what MLflow's clients raise; whatever was cut off can be asked
    for again, and each metric stands there once. A run that the store refuses is left out:
    `refused` says why, by run.
    """

    def __init__(self, store: Store, tags: Mapping[str, str]) -> None:
        self.home, self.name, self.uri, self._params = (
            store.record.home,
            store.record.name,
            store.uri,
            store.params,
        )
        self._progress = store.progress
        with locked(self.home.views_lock):  # when it is first opened, MLflow makes its tables
            self.view = MlflowView(
                store.uri, store_folder(store.uri, self.home.mlflow), self.home.identity()
            )
            self.parent = self.view.parent(self.name, tags)
            leased = [p.parent.name for p in (self.home.root / "runs").glob("*/lease.json")]
            self.view.reap(key for key in leased if self._record(key).lease().held())
            self._children = self.view.children(self.parent)
        self._sent: dict[str, set[Point]] = {}
        self._whole: set[str] = set()
        self.refused: dict[str, str] = {}

    def start(self, spec: RunSpec) -> None:
        """A run is under way."""
        if self._shown(spec):
            return
        with locked(self.home.views_lock), self._passing(spec.key):
            self._look([spec])
            if self._shown(spec):
                return
            self.view.resume(self._take_up(spec))

    def send(self, spec: RunSpec) -> None:
        """What it has measured since the last time."""
        if (child := self._children.get(spec.key)) is None or self._shown(spec):
            return
        with self._passing(spec.key):
            self._send(spec, child.id)

    def end(self, spec: RunSpec, status: str) -> None:
        """It ended: finished, failed, or otherwise."""
        if self._shown(spec):
            return
        with locked(self.home.views_lock), self._passing(spec.key):
            self._look([spec])
            if self._shown(spec):
                return
            if spec.key in self._children or spec.key in self.refused:
                run = self._take_up(spec)
                self._send(spec, run)
                if status == "finished":
                    self._finish(spec, run, light=False)
                self._end(spec.key, run, _ENDS.get(status, "KILLED"))
            elif status == "finished":
                self._show(spec)

    def show(self, runs: Iterable[RunSpec]) -> None:
        """Runs finished earlier: by this study, or by another (a light copy: its results without
        its curves).
        """
        finished = [
            spec for spec in runs if not self._shown(spec) and self._record(spec.key).finished
        ]
        if not finished:
            return
        with locked(self.home.views_lock):
            self._look(finished)
            for done, spec in enumerate(finished, start=1):
                with self._passing(spec.key):
                    self._show(spec)
                self._progress(done, len(finished))

    def complete(self, runs: Mapping[str, RunSpec]) -> None:
        """Gives every child a parameter for each plugin of the study: of `runs`, and of what other
        revisions had.
        """
        first = next(iter(runs.values()), None)
        every = self._off(self._params(first) if first else ())
        for key, child in list(self._children.items()):
            # One whose own are not there yet was cut off, or is being made.
            if every.keys() - child.params and (key in runs or child.params):
                with self._passing(key):
                    self._complete(key, every | (self._params(runs[key]) if key in runs else {}))

    def close(self, files: Sequence[Path], texts: Mapping[str, str], status: str) -> None:
        """Attaches files and texts to the parent, and ends it."""
        self.view.attach(self.parent, files)
        for name, text in texts.items():
            self.view.attach_text(self.parent, name, text)
        self.view.end(self.parent, status)

    def _show(self, spec: RunSpec) -> None:
        if self._shown(spec):
            return
        recorded = self._record(spec.key).spec
        origin = recorded.study if recorded else self.name
        reused = {} if origin == self.name else {"reused_from": origin}
        run = self._take_up(spec, reused)
        if not reused:
            self._send(spec, run)
        self._finish(spec, run, light=bool(reused))
        self._end(spec.key, run, "FINISHED")

    @contextmanager
    def _passing(self, key: str) -> Iterator[None]:
        """Goes on past what the store refuses of a run; perhaps somebody deleted the child, which
        is looked for again.
        """
        try:
            yield
            if key in self._children:
                self.refused.pop(key, None)
        except Exception as error:  # MLflow's clients raise what their transports raise
            if not refused(error):
                raise
            self.refused[key] = fault(error, self.uri)
            self._children.pop(key, None)
            self._sent.pop(key, None)

    def _shown(self, spec: RunSpec) -> bool:
        child = self._children.get(spec.key)
        return child is not None and child.status == "FINISHED" and not self._anew(spec.key, child)

    def _anew(self, key: str, child: Child) -> bool:
        """Whether the run was trained again since the child was written: here, or in a home that is
        gone.
        """
        ended = _modified(self._record(key).folder / "result.json")
        # Only a later result is read: there may be thousands.
        return (
            ended is not None
            and child.ended < (at := int(ended * 1000))
            and child.outdated(self._result(key), at)
        )

    def _look(self, runs: Sequence[RunSpec]) -> None:
        """Another driver may have made the children of `runs` since, or sent what they measured, or
        ended them. Children of runs that were trained anew go.
        """
        found = self.view.children(self.parent, runs[0].key if len(runs) == 1 else None)
        for spec in runs:
            self._children.pop(spec.key, None)
            self._sent.pop(spec.key, None)
        self._children |= found
        for spec in runs:
            if (child := self._children.get(spec.key)) is not None and self._anew(spec.key, child):
                self.view.discard(child.id)
                del self._children[spec.key]

    def _create(self, spec: RunSpec, tags: Mapping[str, str]) -> str:
        stage = "run" if spec.trial is None else "trial"
        all_tags = {"ablab.arm": spec.arm, "ablab.study": self.name, "ablab.stage": stage, **tags}
        began = _modified(self._record(spec.key).folder / "spec.json")
        params = self._off() | self._params(spec)
        run = self.view.create_child(
            self.parent, NewChild(spec.label, spec.key, began), params, all_tags
        )
        self.view.inputs(run, inputs_of(self.home.tokens / spec.data, spec.data))
        self._children[spec.key] = Child(run, "RUNNING", frozenset(params))
        self._sent[spec.key] = set()
        self._whole.add(run)
        return run

    def _take_up(self, spec: RunSpec, tags: Mapping[str, str] | None = None) -> str:
        """A child that was made earlier, perhaps not to its end; made with these `tags` where there
        is none.
        """
        if spec.key not in self._children:
            return self._create(spec, tags or {})
        run = self._children[spec.key].id
        if run not in self._whole:
            self._complete(spec.key, self._off() | self._params(spec))
            self.view.inputs(run, inputs_of(self.home.tokens / spec.data, spec.data))
            self._whole.add(run)
        return run

    def _send(self, spec: RunSpec, run: str) -> None:
        self._log(spec.key, run, self._record(spec.key).metrics())

    def _log(self, key: str, run: str, rows: list[dict[str, Any]]) -> None:
        """Rows measured again, by an attempt that went on from an earlier checkpoint, stand there
        already; so do costs that were logged with the last step.
        """
        if key not in self._sent:
            self._sent[key] = self.view.logged(run)
        self._sent[key] |= self.view.log(run, rows, self._sent[key])

    def _finish(self, spec: RunSpec, run: str, *, light: bool) -> None:
        record = self._record(spec.key)
        result = record.result
        assert result is not None
        final = {
            f"final/{name}": value for name, value in result.metrics.items() if math.isfinite(value)
        }
        cost = {
            f"cost/{name}": value
            for name, value in asdict(result.cost).items()
            if value is not None
        }
        when = (record.folder / "result.json").stat().st_mtime
        self._log(spec.key, run, [{"step": result.steps, "time": when, **final, **cost}])
        self.view.tag(run, {RESULT: self._result(spec.key)})
        if not light and not self.view.has_model(run):
            self.view.model(
                run, spec.label, {**self._params(spec), "run_key": spec.key}, result.steps
            )

    def _end(self, key: str, run: str, status: str) -> None:
        ended = (
            _modified(self._record(key).folder / "result.json") if status == "FINISHED" else None
        )
        self.view.end(run, status, ended)
        known = {
            "ended": int((ended or 0.0) * 1000),
            "result": "" if ended is None else self._result(key),
        }
        self._children[key] = replace(self._children[key], status=status, **known)
        self._sent.pop(key, None)

    def _result(self, key: str) -> str:
        """What tells a result from that of the same run trained again: its timings differ."""
        return hashlib.sha256((self._record(key).folder / "result.json").read_bytes()).hexdigest()[
            :12
        ]

    def _complete(self, key: str, params: Mapping[str, str]) -> None:
        child = self._children[key]
        self.view.complete_params(child.id, params)
        self._children[key] = replace(child, params=child.params | params.keys())

    def _off(self, more: Iterable[str] = ()) -> dict[str, str]:
        """The parameters, switched off, of all plugins that some child has, or that are among
        `more`.
        """
        known = frozenset(more).union(*(child.params for child in self._children.values()))
        return {name: shown_options(None) for name in known if name.startswith("plugin.")}

    def _record(self, key: str) -> Record:
        return Record(self.home.root, key)


def _modified(file: Path) -> float | None:
    return file.stat().st_mtime if file.exists() else None
