"""Manages the studies and runs of a home: finds, cancels, retries and removes them."""

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ablab.errors import UserError, unknown
from ablab.execute.executors.queues import cancel_idle_jobs
from ablab.files import require_writable
from ablab.records.driver_lock import drivers, no_driver_begins
from ablab.records.home import Home, label
from ablab.records.lease import Lease, held_leases
from ablab.records.lookup import is_file, records_of
from ablab.records.run_record import Record, find_record, run_keys
from ablab.records.run_state import RunState
from ablab.records.status import state
from ablab.records.study_record import StudyRecord, revisions, study_names
from ablab.sealed import DamagedFile


@dataclass(frozen=True)
class Target:
    """What a word on the command line means: a revision of a study, or a run."""

    study: StudyRecord | None = None
    """The revision; None for a run."""
    run: str = ""
    """Key of the run."""
    alone: bool = False
    """Whether that revision is meant, and no other."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the runs and trials."""
        return (self.run,) if self.study is None else self.study.keys


@dataclass(frozen=True)
class Removal:
    """What a removal would delete."""

    studies: tuple[str, ...]
    """Names of the studies."""
    runs: tuple[str, ...]
    """Keys of the runs."""
    shared_runs: int
    """Number of runs of these studies that stay, since other studies list them."""
    affected_studies: tuple[str, ...]
    """Studies that stay and list a run that is deleted."""
    size: int
    """Size of the files, in bytes."""


def find_target(home: Home, name: str, profile: str | None) -> Target:
    """Return a study by its name (its latest revision), NAME:REVISION or its file, or a run by its
    key or a unique prefix of it.

    Raises:
        UserError: with the nearest names.

    """
    names = study_names(home)
    if is_file(name) or ":" in name or profile is not None or name in names:
        record = records_of(home, name, profile)[-1]
        return Target(
            record,
            alone=not is_file(name) and record.name != label(name, profile),
        )
    keys = {*run_keys(home.root), *(key for study in names for key in _listed(home, study))}
    if name and any(key.startswith(name) for key in keys):
        return Target(run=find_record(home.root, name, keys).key)
    if not names:
        raise UserError(
            f"no study has been run in {home.root} yet, and no run's key begins with {name!r}"
        )
    raise UserError(f"{unknown('study', name, names)}, and no run's key begins with it")


def cancel(home: Home, keys: Iterable[str]) -> tuple[int, int]:
    """Ask runs to stop. Return how many were running, and how many were waiting. Jobs in a queue
    that have nothing left to train are cancelled.

    Raises:
        UserError: if the home may only be read.

    """
    home.require_current()
    running = waiting = 0
    for key in keys:
        now = state(home.root, key)
        if now in (RunState.RUNNING, RunState.WAITING):
            Record(home.root, key).stop.request("cancelled by `ablab cancel`")
            running += now == RunState.RUNNING
            waiting += now == RunState.WAITING
    cancel_idle_jobs(home.root)
    return running, waiting


def retry(home: Home, keys: Iterable[str]) -> int:
    """Clear failures and cancellations. Return of how many runs.

    Raises:
        UserError: if the home may only be read.

    """
    home.require_current()
    records = [Record(home.root, key) for key in keys]
    ended = [
        r
        for r in records
        if not r.finished and not r.stop.pruned and (r.stop.requested or r.failure is not None)
    ]
    for record in ended:
        record.reset()
    return len(ended)


def plan_removal(home: Home, targets: Sequence[Target]) -> Removal:
    """Return what removing `targets` would delete.

    Raises:
        UserError: while one of the runs is being trained, or a study that lists one is being run,
            for a single revision, since a study is removed as a whole, and if the home may only be
            read.

    """
    home.require_current()
    revision = next((target.study for target in targets if target.alone), None)
    if revision is not None:
        raise UserError(
            f"a study goes with all its revisions, not with {revision.revision} alone: `ablab rm "
            f"{revision.name}`"
        )
    studies = tuple(dict.fromkeys(target.study.name for target in targets if target.study))
    study_runs = {key for name in studies for key in _listed(home, name)}
    single_runs = {key for target in targets if target.study is None for key in target.keys}
    others = {name: _listed(home, name) for name in study_names(home) if name not in studies}
    other_runs = {key for keys in others.values() for key in keys}
    affected = tuple(name for name, keys in others.items() if keys & single_runs)
    _check_idle(home, (*studies, *affected), study_runs | single_runs, " ".join(studies))
    doomed = (study_runs - other_runs) | single_runs
    runs = tuple(sorted(key for key in doomed if Record(home.root, key).folder.is_dir()))
    folders = [Record(home.root, key).folder for key in runs]
    return Removal(
        studies=studies,
        runs=runs,
        shared_runs=len((study_runs & other_runs) - single_runs),
        affected_studies=affected,
        size=sum(_size(folder) for folder in [*folders, *_folders(home, studies)]),
    )


def _check_idle(home: Home, studies: Sequence[str], runs: set[str], target: str) -> None:
    """Raise UserError while one of the studies is being run, or one of the runs trained."""
    leases = drivers(home, studies, certain=True)
    if leases:
        study = leases[0].owner["study"]
        raise UserError(
            f"study {study} is being run by {leases[0].holder}: let it end, or `ablab cancel "
            f"{study}`, first"
        )
    run_leases = [Record(home.root, key).lease() for key in sorted(runs)]
    for lease in held_leases(run_leases, certain=True):
        key = lease.path.parent.name
        raise _being_trained(key, lease, target or key)


def remove(home: Home, targets: Sequence[Target], removal: Removal) -> None:
    """Delete what `plan_removal` said of `targets`.

    The studies are deleted last, so that a removal that is cut off can be repeated.

    Raises:
        UserError: before anything is deleted, if the studies are being run by now, if more or less
            would be deleted, if this user may not delete it, or if the tracker cannot be opened;
            and if a run is taken up at this very moment.

    """
    from ablab.tracking.mlflow.local_store import LocalStore

    with no_driver_begins(home):
        now = plan_removal(home, targets)
        if (now.studies, now.runs) != (removal.studies, removal.runs):
            raise UserError("the set of runs to delete has changed; run `ablab rm` again")
        records = [Record(home.root, key) for key in removal.runs]
        run_folders = [record.folder for record in records]
        study_folders = [f for f in _folders(home, removal.studies) if f.exists()]
        folders = [*run_folders, *study_folders]
        require_writable([*folders, *(folder.parent for folder in folders)])
        store = LocalStore(home)
        for record in records:
            lease = record.lease()
            if not lease.acquire():  # by a study that has just been started
                raise _being_trained(record.key, lease, record.key)
            shutil.rmtree(record.folder)
        store.forget(removal.studies, removal.runs)
        for folder in study_folders:
            shutil.rmtree(folder)
        for name in removal.studies:
            home.optuna(name).unlink(missing_ok=True)


def _being_trained(key: str, lease: Lease, target: str) -> UserError:
    return UserError(f"run {key} is being trained by {lease.holder}: `ablab cancel {target}` first")


def _listed(home: Home, name: str) -> set[str]:
    """The runs and trials that any revision of a study lists.

    For a revision whose record is damaged, these are the runs that the study planned first.
    """
    keys: set[str] = set()
    for record in revisions(home, name):
        try:
            keys.update(record.keys)
        except DamagedFile:
            keys.update(_first_planned(home, name))
    return keys


def _first_planned(home: Home, name: str) -> Iterator[str]:
    for key in run_keys(home.root):
        spec = Record(home.root, key).spec
        if spec is not None and spec.study == name:
            yield key


def _folders(home: Home, names: Iterable[str]) -> list[Path]:
    return [folder for name in names for folder in (home.reports(name), home.study(name))]


def _size(folder: Path) -> int:
    """Bytes of the files in it. What goes while it is measured counts nothing."""
    size = 0
    for at, _, files in os.walk(folder):
        for file in files:
            with suppress(FileNotFoundError):
                size += os.path.getsize(Path(at) / file)
    return size
