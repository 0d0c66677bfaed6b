"""Write run records into the children of a study in MLflow.

Each function brings a part of one child up to date and may be repeated after an interruption:
what the child has already is not sent again.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.tracking.mlflow.children import (
    Child,
    NewChild,
    create_child,
    discard_child,
    find_children,
    log_missing_params,
)
from ablab.tracking.mlflow.inputs_outputs import (
    dataset_inputs,
    has_model,
    log_inputs,
    log_model,
)
from ablab.tracking.mlflow.metrics import Row, log_metrics, logged_points
from ablab.tracking.mlflow.open_study import OpenStudy
from ablab.tracking.mlflow.parameters import RunParameters
from ablab.tracking.mlflow.store import RESULT, STAGE, STUDY, end_run, set_tags
from ablab.train.result import RunResult


def is_up_to_date(study: OpenStudy, record: Record) -> bool:
    """Return whether the run's child shows its latest result, so that nothing is to be sent."""
    child = study.children.get(record.key)
    return child is not None and child.status == "FINISHED" and not _is_outdated(child, record)


def refresh(study: OpenStudy, records: Sequence[Record]) -> None:
    """Look up the children of these runs, which another driver may have changed.

    Children of runs that were trained again since are discarded.
    """
    key = records[0].key if len(records) == 1 else None
    children = find_children(study.store, study.parent, key)
    for record in records:
        study.forget(record.key)
    study.children |= children
    for record in records:
        child = study.children.get(record.key)
        if child is not None and _is_outdated(child, record):
            discard_child(study.store, child.id)
            del study.children[record.key]


def prepare_child(
    study: OpenStudy,
    spec: RunSpec,
    record: Record,
    params: Mapping[str, str],
    tags: Mapping[str, str] | None = None,
) -> None:
    """Create the run's child with `tags`, or complete one whose creation was interrupted."""
    params = {**study.plugins_off(), **params}
    if spec.key not in study.children:
        _create_run(study, spec, record, params, tags or {})
    elif study.children[spec.key].id in study.complete:
        return
    else:
        log_params(study, spec.key, params)
    _log_run_inputs(study, spec, record.home / "tokens")


def _create_run(
    study: OpenStudy,
    spec: RunSpec,
    record: Record,
    params: Mapping[str, str],
    tags: Mapping[str, str],
) -> None:
    stage = "run" if spec.trial is None else "trial"
    all_tags = {"ablab.arm": spec.arm, STUDY: study.name, STAGE: stage, **tags}
    new = NewChild(spec.label, spec.key, _modified_at(record.folder / "spec.json"))
    run_id = create_child(study.store, study.parent, new, params, all_tags)
    study.children[spec.key] = Child(run_id, "RUNNING", frozenset(params))
    study.points[spec.key] = set()


def _log_run_inputs(study: OpenStudy, spec: RunSpec, tokens: Path) -> None:
    """Log the splits that a run reads from the token stores in `tokens`; its child is complete."""
    run_id = study.children[spec.key].id
    log_inputs(study.store, run_id, dataset_inputs(tokens / spec.data, spec.data))
    study.complete.add(run_id)


def resume_child(study: OpenStudy, key: str) -> None:
    """Set the status of a child to RUNNING."""
    study.store.client.update_run(study.children[key].id, status="RUNNING")


def complete_plugins(study: OpenStudy, parameters: RunParameters) -> None:
    """Give every child a parameter for each plugin of this revision and of earlier ones."""
    specs = parameters.specs
    plugins = study.plugins_off(parameters.any_run())
    for key, child in list(study.children.items()):
        # A child of another revision that has no parameters yet is still being created.
        if plugins.keys() - child.params and (key in specs or child.params):
            params = parameters.of(specs[key]) if key in specs else {}
            with study.refusals_noted(key):
                log_params(study, key, plugins | params)


def log_params(study: OpenStudy, key: str, params: Mapping[str, str]) -> None:
    """Log those of `params` that the child does not have."""
    child = study.children[key]
    log_missing_params(study.store, child.id, params)
    study.children[key] = replace(child, params=child.params | params.keys())


def log_rows(study: OpenStudy, key: str, rows: Iterable[Row]) -> None:
    """Log the metrics of `rows` that the child does not have.

    An attempt that resumes from a checkpoint measures some rows again, and costs may have been
    logged with the last step.
    """
    run_id = study.children[key].id
    if key not in study.points:
        study.points[key] = logged_points(study.store, run_id)
    study.points[key] |= log_metrics(study.store, run_id, rows, study.points[key])


def log_result(study: OpenStudy, record: Record, result: RunResult) -> None:
    """Log the final metrics and the costs of a finished run."""
    final = {f"final/{k}": value for k, value in result.metrics.items() if math.isfinite(value)}
    cost = {f"cost/{k}": value for k, value in asdict(result.cost).items() if value is not None}
    finished_at = (record.folder / "result.json").stat().st_mtime
    row = {"step": result.steps, "time": finished_at, **final, **cost}
    log_rows(study, record.key, [row])
    set_tags(study.store, study.children[record.key].id, {RESULT: _result_digest(record)})


def log_run_model(study: OpenStudy, spec: RunSpec, steps: int, params: Mapping[str, str]) -> None:
    """Log the model of a finished run of `steps` steps, once."""
    run_id = study.children[spec.key].id
    if not has_model(study.store, run_id):
        log_model(study.store, run_id, spec.label, {**params, "run_key": spec.key}, steps)


def end_child(study: OpenStudy, record: Record, status: str) -> None:
    """End a child: FINISHED at the time of its result, or FAILED or KILLED now."""
    finished_at = None
    digest = ""
    if status == "FINISHED":
        finished_at = _modified_at(record.folder / "result.json")
        digest = "" if finished_at is None else _result_digest(record)
    child = study.children[record.key]
    end_run(study.store, child.id, status, finished_at)
    ended = int((finished_at or 0.0) * 1000)
    study.children[record.key] = replace(child, status=status, ended=ended, result=digest)
    study.points.pop(record.key, None)


def _is_outdated(child: Child, record: Record) -> bool:
    """Return whether the run was trained again, in this home or another, since it was written."""
    finished_at = _modified_at(record.folder / "result.json")
    if finished_at is None:
        return False
    milliseconds = int(finished_at * 1000)
    # Compare times first: there may be thousands of results, and only a later one is read.
    return child.ended < milliseconds and child.outdated(_result_digest(record), milliseconds)


def _result_digest(record: Record) -> str:
    """Identify a result. If the same run is trained again, its timings and digest differ."""
    content = (record.folder / "result.json").read_bytes()
    return hashlib.sha256(content).hexdigest()[:12]


def _modified_at(file: Path) -> float | None:
    return file.stat().st_mtime if file.exists() else None
