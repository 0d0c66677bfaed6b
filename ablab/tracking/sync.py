"""Writes a study into a store from its records: nothing is planned or trained."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ablab.errors import UserError
from ablab.plan.plan import PartPlan, Plan, SharedRecipe, StudyPlan, Trial
from ablab.records.driver_lock import drivers
from ablab.records.home import StudyRecord
from ablab.records.run_record import Record, settled_keys
from ablab.records.run_spec import RunSpec
from ablab.records.run_state import RunState
from ablab.records.status import state
from ablab.records.study_content import Arm, Entry, PartContent, TrialEntry
from ablab.tracking.mlflow.errors import explained
from ablab.tracking.mlflow.tracker import MlflowTracker, ProgressCallback, no_progress


def sync(
    record: StudyRecord, uri: str, files: Sequence[Path], progress: ProgressCallback = no_progress
) -> set[str]:
    """Write a revision into the store at `uri`.

    What stands there stays, so that a second time changes nothing.

    Args:
        record: the revision's record.
        uri: address of the store.
        files: artifacts of the study.
        progress: called with the number of runs written, and of all.

    Returns:
        The keys of the runs that the store has to show.

    Raises:
        UserError: if the store cannot be written.

    """
    plan = recorded_plan(record)
    home = record.home.root
    tracker = MlflowTracker(record, record.read().study, lambda text: None, uri)
    tracker.set_plan(plan)
    keys = set()
    for spec in plan.unique.values():
        now = state(home, spec.key)
        # An interrupted run has measured something.
        if now != RunState.WAITING or Record(home, spec.key).metrics.rows():
            tracker.set_state(spec, now)
            keys.add(spec.key)
    try:
        tracker.write(files, _status(record, plan), progress)
    except Exception as error:  # MLflow's clients raise what their transports raise
        raise UserError(explained(error, uri)) from error
    return keys


def _status(record: StudyRecord, plan: StudyPlan) -> str:
    """The status of the study's parent run."""
    if drivers(record.home, [record.name]):
        return "RUNNING"
    home = record.home.root
    settled = settled_keys(home, [trial.run.key for trial in plan.trials])
    complete = all(key in settled or Record(home, key).finished for key in plan.unique)
    return "FINISHED" if complete else "KILLED"


def recorded_plan(record: StudyRecord) -> StudyPlan:
    """Return the plan of those runs of a revision that were begun.

    Raises:
        UserError: if it was never run here, or by a version of ablab whose records cannot be read.

    """
    content = record.read()
    parts = [PartPlan(part.label, part.study, _plan(record, part)) for part in content.parts]
    return StudyPlan(tuple(parts), content.expected)


def _plan(record: StudyRecord, part: PartContent) -> Plan:
    arms = {arm.name: arm for arm in part.arms}
    trials = part.trial_entries
    specs = _begun(record, part, [*trials.values(), *part.runs])
    return Plan(
        arms=part.arms,
        runs=tuple(specs[run.key] for run in part.runs if run.key in specs),
        contrasts=(),
        infeasible=part.infeasible,
        data={},
        expected=part.expected,
        trials=tuple(
            Trial(_trial_arm(arms, specs[key], entry), specs[key])
            for key, entry in trials.items()
            if key in specs
        ),
        baseline=part.baseline,
        shared_recipe=_shared(record, part, arms),
    )


def _begun(record: StudyRecord, part: PartContent, entries: Iterable[Entry]) -> dict[str, RunSpec]:
    """The specifications of the runs that were begun, by key, under the names of this study."""
    specs = {}
    for entry in entries:
        spec = Record(record.home.root, entry.key).spec
        if spec is not None:
            specs[entry.key] = replace(
                spec,
                study=record.name,
                arm=entry.arm,
                trial=entry.number if isinstance(entry, TrialEntry) else None,
                part=part.label,
            )
    return specs


def _trial_arm(arms: Mapping[str, Arm], spec: RunSpec, entry: TrialEntry | None) -> Arm:
    """The arm of a trial, with the options that were tried.

    The arms of a search are known by their runs alone.
    """
    arm = arms.get(spec.arm) or Arm(
        name=spec.arm,
        expression=spec.arm,
        plugins=tuple(name for name, _ in spec.plugins),
        parameters=0,
        flops_per_token=spec.flops_per_token,
        tokens=None,
        steps=None,
        batches=spec.batches,
        recipe=spec.recipe,
    )
    params = arm.params if entry is None else entry.params
    if entry is None or entry.recipe is None:
        return replace(arm, recipe={**arm.recipe, **spec.recipe}, params=params)
    return replace(arm, recipe=entry.recipe, params=params)


def _shared(record: StudyRecord, part: PartContent, arms: Mapping[str, Arm]) -> SharedRecipe | None:
    """One recipe for all arms, with those of its runs that were begun.

    Each arm has the recipe of its trial at the same point.
    """
    if part.shared is None:
        return None
    params = part.shared.params
    trials = {trial.arm: trial for trial in part.trials if trial.params == params}
    specs = _begun(record, part, part.shared.runs)
    first = {spec.arm: spec for spec in reversed(specs.values())}
    shared = []
    for name, spec in first.items():
        arm = _trial_arm(arms, spec, trials.get(name))
        shared.append(replace(arm, params=params))
    return SharedRecipe(params, tuple(shared), tuple(specs.values()))
