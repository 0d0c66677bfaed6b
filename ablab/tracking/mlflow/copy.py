"""Copy a study from one MLflow store to another: parent, children, inputs, metrics, artifacts."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ablab.errors import UserError
from ablab.spec.addresses import redacted
from ablab.tracking.mlflow.children import (
    Child,
    NewChild,
    create_child,
    discard_child,
    find_children,
    log_missing_params,
)
from ablab.tracking.mlflow.connection import store_folder
from ablab.tracking.mlflow.effects import replace_effects
from ablab.tracking.mlflow.errors import explained
from ablab.tracking.mlflow.experiment import missing_folder
from ablab.tracking.mlflow.inputs_outputs import has_model, log_model
from ablab.tracking.mlflow.metrics import Row, log_metrics, logged_points
from ablab.tracking.mlflow.parents import find_parent, open_parent, runs_under
from ablab.tracking.mlflow.store import KEY, RESULT, STUDY, Store, end_run, open_store

_TAGS_NOT_COPIED = ("mlflow.rootRunId",)


@dataclass(frozen=True)
class _Content:
    """What a run holds beyond the results of a search.

    `models` are paired with the step at which each was logged. `artifacts` is a folder, or None.
    """

    rows: Sequence[Row]
    models: Sequence[tuple[Any, int]]
    artifacts: str | None


def copy(study: str, source: str, target: str, say: Callable[[str], None]) -> int:
    """Copy a study into the store at `target` and return the number of its runs.

    What the target has already is not sent again, so that an interrupted copy can be repeated.
    `say` is called if artifacts are missing. Raises UserError if a store cannot be used, or if
    `source` has no such study; then `target` is not created.
    """
    with _explained(source):
        source_store = _open(source, make=False)
        parent_id = find_parent(source_store, study)
        if parent_id is None:
            raise UserError(f"no study named {study!r} in {redacted(source, source)}")
        parent = source_store.client.get_run(parent_id)
        children = [run for run in runs_under(source_store, parent_id) if KEY in run.data.tags]
        _report_missing_artifacts(source_store, source, say)
    with _explained(target):
        target_store = _open(target, make=True)
        tags = _tags(parent)
        target_parent = open_parent(target_store, tags[STUDY], tags)
        existing = find_children(target_store, target_parent)
    for run in reversed(children):  # in the order in which they were created
        with _explained(target):
            child = _without_outdated(target_store, existing.get(run.data.tags[KEY]), run)
        if child is None or child.status != "FINISHED":
            with _read(source_store, source, run) as content, _explained(target):
                run_id = child.id if child else _create(target_store, target_parent, run)
                _write_child(target_store, run_id, run, content)
    with _read(source_store, source, parent) as content, _explained(target):
        replace_effects(target_store, target_parent, parent.data.metrics)
        _write_artifacts(target_store, target_parent, content)
        end_run(target_store, target_parent, parent.info.status)
    return len(children)


@contextmanager
def _explained(uri: str) -> Iterator[None]:
    """Raise errors in the block as UserError about the store at `uri`."""
    try:
        yield
    except Exception as error:  # MLflow's clients raise what their transports raise
        raise UserError(explained(error, uri)) from error


def _open(uri: str, *, make: bool) -> Store:
    return open_store(uri, store_folder(uri, Path("mlflow")), make=make)


def _report_missing_artifacts(store: Store, uri: str, say: Callable[[str], None]) -> None:
    folder = missing_folder(store.client.get_experiment(store.experiment))
    if folder is not None:
        say(
            f"no artifacts were copied: those of {redacted(uri, uri)} should lie "
            f"in {folder}, which is not there"
        )


def _without_outdated(store: Store, child: Child | None, run: Any) -> Child | None:
    """Return `child`; if it shows an earlier result than `run`, discard it and return None."""
    result = run.data.tags.get(RESULT, "")
    if child is not None and child.outdated(result, run.info.end_time or 0):
        discard_child(store, child.id)
        return None
    return child


@contextmanager
def _read(store: Store, uri: str, run: Any) -> Iterator[_Content]:
    """Read what a run holds; its artifacts exist for as long as the block lasts."""
    with TemporaryDirectory() as folder:
        with _explained(uri):
            history = [
                metric
                for name in run.data.metrics
                for metric in store.client.get_metric_history(run.info.run_id, name)
            ]
            rows = [
                {"step": metric.step, "time": metric.timestamp / 1000, metric.key: metric.value}
                for metric in history
            ]
            models = [
                (store.client.get_logged_model(output.model_id), output.step)
                for output in run.outputs.model_outputs
            ]
            has_artifacts = bool(store.client.list_artifacts(run.info.run_id))
            if has_artifacts:
                store.client.download_artifacts(run.info.run_id, "", folder)
        yield _Content(rows, models, folder if has_artifacts else None)


def _create(store: Store, parent: str, run: Any) -> str:
    child = NewChild(run.info.run_name, run.data.tags[KEY], run.info.start_time / 1000)
    return create_child(store, parent, child, run.data.params, _tags(run))


def _write_child(store: Store, run_id: str, run: Any, content: _Content) -> None:
    log_missing_params(store, run_id, run.data.params)
    if run.inputs.dataset_inputs:
        store.client.log_inputs(run_id, datasets=run.inputs.dataset_inputs)
    log_metrics(store, run_id, content.rows, logged_points(store, run_id))
    if content.models and not has_model(store, run_id):
        for model, step in content.models:
            log_model(store, run_id, model.name, model.params, step)
    _write_artifacts(store, run_id, content)
    ended_at = run.info.end_time / 1000 if run.info.end_time else None
    end_run(store, run_id, run.info.status, ended_at)


def _write_artifacts(store: Store, run_id: str, content: _Content) -> None:
    if content.artifacts:
        store.client.log_artifacts(run_id, content.artifacts)


def _tags(run: Any) -> dict[str, str]:
    return {name: value for name, value in run.data.tags.items() if name not in _TAGS_NOT_COPIED}
