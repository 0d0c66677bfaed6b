"""A study copied from one MLflow store into another, as it stands there: parent, children, inputs, metrics, artifacts."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ablab.errors import UserError
from ablab.tracking.addresses import redacted
from ablab.tracking.mlflow_connection import explained, store_folder
from ablab.tracking.mlflow_view import KEY, PARENT, MlflowView, NewChild

_NOT_COPIED = ("mlflow.rootRunId",)


def copy(study: str, source: str, target: str) -> int:
    """Copies a study into the store at `target`: how many runs it has. What stands there is not sent again, so that a copy that
    was cut off can be asked for again. Raises UserError where a store can't be used, or `source` has no such study.
    """
    come, go = _opened(source), _opened(target)
    try:
        found = come.find_parent(study)
    except Exception as error:  # MLflow's clients raise what their transports raise
        raise UserError(explained(error, source)) from error
    if found is None:
        raise UserError(f"no study named {study!r} in {redacted(source, source)}")
    try:
        return _copy(come, go, come.client.get_run(found))
    except Exception as error:
        raise UserError(explained(error, target)) from error


def _opened(uri: str) -> MlflowView:
    try:
        return MlflowView(uri, store_folder(uri, Path("mlflow")))
    except Exception as error:
        raise UserError(explained(error, uri)) from error


def _copy(come: MlflowView, go: MlflowView, parent: Any) -> int:
    tags = _tags(parent)
    to = go.parent(tags["ablab.study"], tags)
    there = go.children(to)
    children = [run for run in come.search(f"tags.`{PARENT}` = '{parent.info.run_id}'") if KEY in run.data.tags]
    for run in reversed(children):  # as they were made
        key = run.data.tags[KEY]
        child = there.get(key)
        if child is None or child.status != "FINISHED":
            new = NewChild(run.info.run_name, key, run.info.start_time / 1000)
            made = child.id if child else go.create_child(to, new, run.data.params, _tags(run))
            _copy_child(come, go, run, made)
    _copy_artifacts(come, go, parent.info.run_id, to)
    go.end(to, parent.info.status)
    return len(children)


def _copy_child(come: MlflowView, go: MlflowView, run: Any, to: str) -> None:
    go.complete_params(to, run.data.params)
    if run.inputs.dataset_inputs:
        go.client.log_inputs(to, datasets=run.inputs.dataset_inputs)
    history = [metric for name in run.data.metrics for metric in come.client.get_metric_history(run.info.run_id, name)]
    rows = [{"step": metric.step, "time": metric.timestamp / 1000, metric.key: metric.value} for metric in history]
    go.log(to, rows, go.logged(to))
    if run.outputs.model_outputs and not go.has_model(to):
        for output in run.outputs.model_outputs:
            model = come.client.get_logged_model(output.model_id)
            go.model(to, model.name, model.params, output.step)
    _copy_artifacts(come, go, run.info.run_id, to)
    go.end(to, run.info.status, run.info.end_time / 1000 if run.info.end_time else None)


def _copy_artifacts(come: MlflowView, go: MlflowView, run: str, to: str) -> None:
    if not come.client.list_artifacts(run):
        return
    with TemporaryDirectory() as folder:
        come.client.download_artifacts(run, "", folder)
        go.client.log_artifacts(to, folder)


def _tags(run: Any) -> dict[str, str]:
    return {name: value for name, value in run.data.tags.items() if name not in _NOT_COPIED}
