"""Writes a study into a store from its records: nothing is planned or trained."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ablab.analysis.summary import StudySummary
from ablab.errors import UserError
from ablab.records.driver_lock import drivers
from ablab.records.run_record import Record, settled_keys
from ablab.records.run_spec import RunSpec
from ablab.records.run_state import RunState
from ablab.records.status import state
from ablab.records.study_content import Arm, Entry, PartContent, TrialEntry
from ablab.records.study_record import StudyRecord
from ablab.spec.nuisance import varied
from ablab.tracking.mlflow.errors import explained
from ablab.tracking.mlflow.parameters import TrackedRuns
from ablab.tracking.mlflow.tracker import MlflowTracker
from ablab.tracking.trackers import ProgressCallback, no_progress


def sync(
    record: StudyRecord,
    uri: str,
    files: Sequence[Path],
    summary: StudySummary | None = None,
    progress: ProgressCallback = no_progress,
) -> set[str]:
    """Write a revision into the store at `uri`.

    What stands there stays, so that a second time changes nothing.

    Args:
        record: the revision's record.
        uri: address of the store.
        files: artifacts of the study.
        summary: its results.
        progress: called with the number of runs written, and of all.

    Returns:
        The keys of the runs that the store has to show.

    Raises:
        UserError: if the store cannot be written.

    """
    runs = recorded_runs(record)
    home = record.home.root
    tracker = MlflowTracker(record, record.read().study, lambda text: None, uri)
    tracker.set_runs(runs)
    keys = set()
    for spec in runs.specs.values():
        now = state(home, spec.key)
        # An interrupted run has measured something.
        if now != RunState.WAITING or Record(home, spec.key).metrics.rows():
            tracker.set_state(spec, now)
            keys.add(spec.key)
    try:
        tracker.write(files, _status(record, runs), summary, progress)
    except Exception as error:  # MLflow's clients raise what their transports raise
        raise UserError(explained(error, uri)) from error
    return keys


def _status(record: StudyRecord, runs: TrackedRuns) -> str:
    """The status of the study's parent run."""
    if drivers(record.home, [record.name]):
        return "RUNNING"
    home = record.home.root
    trials = [key for key, spec in runs.specs.items() if spec.trial is not None]
    settled = settled_keys(home, trials)
    complete = all(key in settled or Record(home, key).finished for key in runs.specs)
    return "FINISHED" if complete else "KILLED"


def recorded_runs(record: StudyRecord) -> TrackedRuns:
    """Return those runs and trials of a revision that were begun.

    Raises:
        UserError: if it was never run here, or by a version of ablab whose records cannot be read.

    """
    content = record.read()
    specs: dict[str, RunSpec] = {}
    recipes: dict[str, Mapping[str, Any]] = {}
    for part in content.parts:
        arms = {arm.name: arm for arm in part.arms}
        shared = part.shared.runs if part.shared else ()
        # A trial or a run with the shared recipe that is a run of the design too counts as that.
        for entry in (*part.trials, *shared, *part.runs):
            spec = _spec(record, part, entry)
            if spec is not None:
                specs[entry.key] = spec
                recipes[entry.key] = _tried_recipe(part, arms.get(entry.arm), spec, entry)
        for run in part.runs:
            own = varied(part.study.nuisance, specs[run.key].recipe) if run.key in specs else {}
            recipes[run.key] = {**arms[run.arm].recipe, **own}
    return TrackedRuns(specs, recipes, {part.label: part.study for part in content.parts})


def _spec(record: StudyRecord, part: PartContent, entry: Entry) -> RunSpec | None:
    """The specification of a run under the names of this study; None if it was not begun."""
    spec = Record(record.home.root, entry.key).spec
    if spec is None:
        return None
    number = entry.number if isinstance(entry, TrialEntry) else None
    return replace(spec, study=record.name, arm=entry.arm, trial=number, part=part.label)


def _tried_recipe(
    part: PartContent, arm: Arm | None, spec: RunSpec, entry: Entry
) -> Mapping[str, Any]:
    """The recipe in force of a trial, or of a run with the shared recipe."""
    trial = entry if isinstance(entry, TrialEntry) else _shared_trial(part, entry.arm)
    if trial is not None and trial.recipe is not None:
        return trial.recipe
    # The specification has the options of the study, without the edits of the plugins.
    return {**(arm.recipe if arm else {}), **spec.recipe}


def _shared_trial(part: PartContent, arm: str) -> TrialEntry | None:
    """The trial of an arm with the recipe that all arms share."""
    params = part.shared.params if part.shared else None
    return next((t for t in part.trials if t.arm == arm and t.params == params), None)
