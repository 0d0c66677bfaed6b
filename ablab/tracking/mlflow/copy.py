"""A study copied from one MLflow store into another, as it stands there: parent, children, inputs,
metrics, artifacts.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ablab.errors import UserError
from ablab.spec.addresses import redacted
from ablab.tracking.mlflow.connection import explained, store_folder
from ablab.tracking.mlflow.experiment import missing_folder
from ablab.tracking.mlflow.view import KEY, PARENT, RESULT, MlflowView, NewChild, Row

_NOT_COPIED = ("mlflow.rootRunId",)


@dataclass(frozen=True)
class _Content:
    """What a run holds beside what a search tells of it. `models`: with the step that each was
    reached at. `artifacts`: a folder of them, or None.
    """

    rows: Sequence[Row]
    models: Sequence[tuple[Any, int]]
    artifacts: str | None


def copy(study: str, source: str, target: str, say: Callable[[str], None]) -> int:
    """Copies a study into the store at `target`: how many runs it has. What stands there is not
    sent again, so that a copy that was cut off can be asked for again; `say` hears what is not
    there to be copied. Raises UserError where a store can't be used, or `source` has no such study:
    then no `target` is made.
    """
    with _at(source):
        come = _opened(source, make=False)
        found = come.find_parent(study)
        if found is None:
            raise UserError(f"no study named {study!r} in {redacted(source, source)}")
        parent = come.client.get_run(found)
        children = [
            run for run in come.search(f"tags.`{PARENT}` = '{found}'") if KEY in run.data.tags
        ]
        if gone := missing_folder(come.client.get_experiment(come.experiment)):
            say(
                f"no artifacts were copied: those of {redacted(source, source)} should lie "
                f"in {gone}, which is not there"
            )
    with _at(target):
        go = _opened(target, make=True)
        tags = _tags(parent)
        to = go.parent(tags["ablab.study"], tags)
        there = go.children(to)
    for run in reversed(children):  # as they were made
        child = there.get(run.data.tags[KEY])
        if child is not None and child.outdated(
            run.data.tags.get(RESULT, ""), run.info.end_time or 0
        ):
            with _at(target):
                go.discard(child.id)
            child = None
        if child is None or child.status != "FINISHED":
            with _read(come, source, run) as content, _at(target):
                _write_child(go, child.id if child else _create(go, to, run), run, content)
    with _read(come, source, parent) as content, _at(target):
        _write_artifacts(go, to, content)
        go.end(to, parent.info.status)
    return len(children)


@contextmanager
def _at(uri: str) -> Iterator[None]:
    """What goes wrong in the block is told of the store at `uri`, as UserError."""
    try:
        yield
    except Exception as error:  # MLflow's clients raise what their transports raise
        raise UserError(explained(error, uri)) from error


def _opened(uri: str, *, make: bool) -> MlflowView:
    return MlflowView(uri, store_folder(uri, Path("mlflow")), make=make)


@contextmanager
def _read(come: MlflowView, source: str, run: Any) -> Iterator[_Content]:
    """What a run holds, for as long as the block lasts."""
    with TemporaryDirectory() as folder:
        with _at(source):
            history = [
                metric
                for name in run.data.metrics
                for metric in come.client.get_metric_history(run.info.run_id, name)
            ]
            rows = [
                {"step": metric.step, "time": metric.timestamp / 1000, metric.key: metric.value}
                for metric in history
            ]
            models = [
                (come.client.get_logged_model(out.model_id), out.step)
                for out in run.outputs.model_outputs
            ]
            some = bool(come.client.list_artifacts(run.info.run_id))
            if some:
                come.client.download_artifacts(run.info.run_id, "", folder)
        yield _Content(rows, models, folder if some else None)


def _create(go: MlflowView, parent: str, run: Any) -> str:
    new = NewChild(run.info.run_name, run.data.tags[KEY], run.info.start_time / 1000)
    return go.create_child(parent, new, run.data.params, _tags(run))


def _write_child(go: MlflowView, to: str, run: Any, content: _Content) -> None:
    go.complete_params(to, run.data.params)
    if run.inputs.dataset_inputs:
        go.client.log_inputs(to, datasets=run.inputs.dataset_inputs)
    go.log(to, content.rows, go.logged(to))
    if content.models and not go.has_model(to):
        for model, step in content.models:
            go.model(to, model.name, model.params, step)
    _write_artifacts(go, to, content)
    go.end(to, run.info.status, run.info.end_time / 1000 if run.info.end_time else None)


def _write_artifacts(go: MlflowView, to: str, content: _Content) -> None:
    if content.artifacts:
        go.client.log_artifacts(to, content.artifacts)


def _tags(run: Any) -> dict[str, str]:
    return {name: value for name, value in run.data.tags.items() if name not in _NOT_COPIED}
