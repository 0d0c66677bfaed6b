"""A study as its records tell it, to be written into a store: nothing is planned or trained."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ablab.data.batches import Batches
from ablab.errors import UserError
from ablab.study.driving import drivers
from ablab.study.home import StudyRecord
from ablab.study.mirror import Mirror
from ablab.study.plan import Arm, Expected, Plan, RunSpec, Trial
from ablab.study.records import Record, settled_keys
from ablab.study.schema import Study
from ablab.study.status import listed, state
from ablab.tracking.mlflow_view import explained


def sync(record: StudyRecord, uri: str, files: Sequence[Path]) -> int:
    """Writes a revision into the store at `uri`, with `files` as its artifacts: how many runs it has to show. What stands there
    stays, so that a second time changes nothing. Raises UserError where the store can't be written.
    """
    study, plan = recorded(record)
    mirror = Mirror(record, study, lambda text: None, uri)
    mirror.take(plan)
    shown = 0
    for spec in plan.unique.values():
        now = state(record.home.root, spec.key)
        if now != "waiting":
            mirror.note(spec, {"done": "finished", "running": "running", "failed": "failed"}.get(now, "stopped"))
            shown += 1
    settled = settled_keys(record.home.root, [trial.run.key for trial in plan.trials])
    complete = all(key in settled or Record(record.home.root, key).finished for key in plan.unique)
    status = "RUNNING" if drivers(record.home, [record.name]) else "FINISHED" if complete else "KILLED"
    try:
        mirror.write(files, status)
    except Exception as error:  # MLflow's clients raise what their transports raise
        raise UserError(explained(error, uri)) from error
    return shown


def recorded(record: StudyRecord) -> tuple[Study, Plan]:
    """A revision's study, and the plan of those of its runs that were begun. Raises UserError where it was never run here, or
    by a version of the lab whose studies read otherwise.
    """
    content = record.read()
    runs, trials = listed(content)
    try:
        study = Study.model_validate(content["config"])
        arms = {arm["name"]: _arm(arm) for arm in content["arms"]}
        specs = {key: spec for key, entry in {**runs, **trials}.items() if (spec := _spec(record, entry)) is not None}
    except (ValidationError, TypeError, KeyError):
        told = "was recorded by another version of the lab: `ablab run` its file again"
        raise UserError(f"{record.name!r} (revision {record.revision}) {told}") from None
    tried = [Trial(_tried(arms.get(e["arm"]), specs[key], e), specs[key]) for key, e in trials.items() if key in specs]
    wanted = tuple(specs[key] for key in runs if key in specs)
    expected = Expected(**{"flops": 0.0, **content["expected"]})
    return study, Plan(tuple(arms.values()), wanted, (), content["infeasible"], {}, expected, trials=tuple(tried))


def _spec(record: StudyRecord, entry: Mapping[str, Any]) -> RunSpec | None:
    """The run's specification, under the names that this study gives it; None where it was not begun."""
    written = Record(record.home.root, entry["key"]).spec
    if written is None:
        return None
    return replace(RunSpec.read(written), study=record.name, arm=entry["arm"], trial=entry.get("number"))


def _arm(content: Mapping[str, Any]) -> Arm:
    batches = Batches(tuple((size, count) for size, count in content["batches"]["runs"]))
    return Arm(**{**content, "plugins": tuple(content["plugins"]), "batches": batches})


def _tried(arm: Arm | None, spec: RunSpec, entry: Mapping[str, Any]) -> Arm:
    """A trial's arm: the arm as it was decided, or as far as the run tells, with what was tried."""
    plugins = tuple(name for name, _ in spec.plugins)
    known = arm or Arm(spec.arm, "", plugins, 0, spec.flops_per_token, 0, 0, Batches(spec.batches), spec.recipe)
    recipe = entry.get("recipe", {**known.recipe, **spec.recipe})
    return replace(known, recipe=recipe, params=entry["params"])
