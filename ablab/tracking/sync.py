"""A study as its records tell it, to be written into a store: nothing is planned or trained."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ablab.data.batches import Batches
from ablab.errors import UserError
from ablab.plan.plan import Arm, Expected, PartPlan, Plan, SharedRecipe, Trial
from ablab.records.driver_lock import drivers
from ablab.records.home import StudyRecord
from ablab.records.run_record import Record, settled_keys
from ablab.records.run_spec import RunSpec
from ablab.records.status import listed, state
from ablab.spec.study import Study
from ablab.tracking.mlflow.mirror import Mirror
from ablab.tracking.mlflow.stored import Heard, unheard
from ablab.tracking.mlflow.view import explained
from ablab.train.budget import TimeLimit

_Entry = Mapping[str, Any]


def sync(
    record: StudyRecord, uri: str, files: Sequence[Path], progress: Heard = unheard
) -> set[str]:
    """Writes a revision into the store at `uri`, with `files` as its artifacts: the keys of the
    runs that it has to show. What stands there stays, so that a second time changes nothing.
    `progress` hears of how many runs how many are written. Raises UserError where the store can't
    be written.
    """
    study, plan = recorded(record)
    mirror = Mirror(record, study, lambda text: None, uri)
    mirror.take(plan)
    shown = set()
    for spec in plan.unique.values():
        now = state(record.home.root, spec.key)
        if (
            now != "waiting" or Record(record.home.root, spec.key).metrics()
        ):  # one that was interrupted has measured something
            mirror.note(
                spec,
                {"done": "finished", "running": "running", "failed": "failed"}.get(now, "stopped"),
            )
            shown.add(spec.key)
    settled = settled_keys(record.home.root, [trial.run.key for trial in plan.trials])
    complete = all(key in settled or Record(record.home.root, key).finished for key in plan.unique)
    status = (
        "RUNNING" if drivers(record.home, [record.name]) else "FINISHED" if complete else "KILLED"
    )
    try:
        mirror.write(files, status, progress)
    except Exception as error:  # MLflow's clients raise what their transports raise
        raise UserError(explained(error, uri)) from error
    return shown


def recorded(record: StudyRecord) -> tuple[Study, Plan]:
    """A revision's study, and the plan of those of its runs that were begun. Raises UserError where
    it was never run here, or by a version of the lab whose studies read otherwise.
    """
    content = record.read()
    try:
        parts = tuple(_part(record, part) for part in content.get("parts", ()))
        return Study.model_validate(content["config"]), _joined(content, parts) if parts else _plan(
            record, content
        )
    except (ValidationError, TypeError, KeyError):
        told = "was recorded by another version of the lab: `ablab run` its file again"
        raise UserError(f"{record.name!r} (revision {record.revision}) {told}") from None


def _part(record: StudyRecord, content: _Entry) -> PartPlan:
    study, label = Study.model_validate(content["config"]), content["label"]
    return PartPlan(label, study, _plan(record, content, label), content["baseline"])


def _joined(content: _Entry, parts: tuple[PartPlan, ...]) -> Plan:
    """The plan of a study in several parts."""
    plans = [part.plan for part in parts]
    arms, runs, trials = (
        tuple(v for plan in plans for v in getattr(plan, name))
        for name in ("arms", "runs", "trials")
    )
    return Plan(
        arms, runs, (), content["infeasible"], {}, _expected(content), trials=trials, parts=parts
    )


def _plan(record: StudyRecord, content: _Entry, part: str = "") -> Plan:
    """The plan of a study, or of one part of it."""
    arms = {arm["name"]: _arm(arm) for arm in content["arms"]}
    _, tried = listed(content)
    trials = [
        Trial(_tried(arms.get(spec.arm), spec, entry), spec)
        for entry, spec in _begun(record, tried.values(), part)
    ]
    runs = tuple(spec for _, spec in _begun(record, content["runs"], part))
    return Plan(
        tuple(arms.values()),
        runs,
        (),
        content["infeasible"],
        {},
        _expected(content),
        trials=tuple(trials),
        shared=_shared(record, content, arms, part),
    )


def _expected(content: _Entry) -> Expected:
    return Expected(**{"flops": 0.0, **content["expected"]})


def _begun(
    record: StudyRecord, entries: Iterable[_Entry], part: str
) -> Iterator[tuple[_Entry, RunSpec]]:
    """Those of a record's entries whose run was begun, each with its specification under the names
    that this study gives it.
    """
    for entry in entries:
        written = Record(record.home.root, entry["key"]).spec
        if written is not None:
            own = replace(
                RunSpec.read(written),
                study=record.name,
                arm=entry["arm"],
                trial=entry.get("number"),
                part=part,
            )
            yield entry, own


def _arm(content: _Entry) -> Arm:
    spent = content["batches"]
    batches = (
        Batches(tuple((size, count) for size, count in spent["runs"]))
        if "runs" in spent
        else TimeLimit(**spent)
    )
    return Arm(**{**content, "plugins": tuple(content["plugins"]), "batches": batches})


def _tried(arm: Arm | None, spec: RunSpec, entry: _Entry) -> Arm:
    """A trial's arm: the arm as it was decided, or as far as the run tells, with what was tried."""
    plugins = tuple(name for name, _ in spec.plugins)
    known = arm or Arm(
        spec.arm, "", plugins, 0, spec.flops_per_token, 0, 0, spec.allowance, spec.recipe
    )
    recipe = entry.get("recipe", {**known.recipe, **spec.recipe})
    return replace(known, recipe=recipe, params=entry["params"])


def _shared(
    record: StudyRecord, content: _Entry, arms: Mapping[str, Arm], part: str
) -> SharedRecipe | None:
    """One recipe for all arms, with those of its runs that were begun: each arm's is that of its
    trial at the same point.
    """
    if not (shared := content.get("shared")):
        return None
    at = {trial["arm"]: trial for trial in content["trials"] if trial["params"] == shared["params"]}
    runs = {spec.key: spec for _, spec in _begun(record, shared["runs"], part)}
    first = {spec.arm: spec for spec in reversed(runs.values())}
    alike = [_tried(arms[name], spec, at.get(name, shared)) for name, spec in first.items()]
    return SharedRecipe(shared["params"], tuple(alike), tuple(runs.values()))
