"""Looking after studies and runs in a home: which a name means, asking them to stop, wanting them
again, removing them.
"""

import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ablab.errors import UserError, unknown
from ablab.files import require_writable
from ablab.records.driver_lock import drivers, no_driver_begins
from ablab.records.home import Home, StudyRecord, label, revisions, study_names
from ablab.records.lease import Lease
from ablab.records.lookup import is_file, records_of
from ablab.records.run_record import Record, find_record, run_keys
from ablab.records.run_state import RunState
from ablab.records.status import state


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
    """What would go. `kept`: runs of the studies that others list. `wanted`: studies that stay and
    list a run that goes.
    """

    studies: tuple[str, ...]
    runs: tuple[str, ...]
    kept: int
    wanted: tuple[str, ...]
    size: int


def find_target(home: Home, name: str, profile: str | None) -> Target:
    """A study by its name (its latest revision), NAME:REVISION or its file, else a run by its key
    or the beginning of it. Raises UserError with the nearest names.
    """
    known = study_names(home)
    if is_file(name) or ":" in name or profile is not None or name in known:
        record = records_of(home, name, profile)[-1]
        return Target(
            record,
            alone=not is_file(name) and record.name != label(name, profile),
        )
    keys = {*run_keys(home.root), *(key for study in known for key in _listed(home, study))}
    if name and any(key.startswith(name) for key in keys):
        return Target(run=find_record(home.root, name, keys).key)
    if not known:
        raise UserError(
            f"no study has been run in {home.root} yet, and no run's key begins with {name!r}"
        )
    raise UserError(f"{unknown('study', name, known)}, and no run's key begins with it")


def cancel(home: Home, keys: Iterable[str]) -> tuple[int, int]:
    """Asks runs to stop: how many ran, and how many were not begun."""
    running = waiting = 0
    for key in keys:
        now = state(home.root, key)
        if now in (RunState.RUNNING, RunState.WAITING):
            Record(home.root, key).stop.request("cancelled by `ablab cancel`")
            running += now == RunState.RUNNING
            waiting += now == RunState.WAITING
    return running, waiting


def retry(home: Home, keys: Iterable[str]) -> int:
    """Forgets failures and cancellations: of how many runs."""
    records = [Record(home.root, key) for key in keys]
    again = [
        r
        for r in records
        if not r.finished and not r.stop.pruned and (r.stop.requested or r.failure is not None)
    ]
    for record in again:
        record.reset()
    return len(again)


def plan_removal(home: Home, targets: Sequence[Target]) -> Removal:
    """What removing `targets` takes away. Raises UserError while a run of theirs is being trained,
    or a study being run that names one, and for a revision alone: a study goes with all it has.
    """
    if alone := next((target.study for target in targets if target.alone), None):
        raise UserError(
            f"a study goes with all its revisions, not with {alone.revision} alone: `ablab "
            f"rm {alone.name}`"
        )
    going = tuple(
        dict.fromkeys(target.study.name for target in targets if target.study is not None)
    )
    theirs = {key for name in going for key in _listed(home, name)}
    named = {key for target in targets if target.study is None for key in target.keys}
    staying = {name: _listed(home, name) for name in study_names(home) if name not in going}
    elsewhere = {key for keys in staying.values() for key in keys}
    wanted = tuple(name for name, keys in staying.items() if keys & named)
    if at_work := drivers(home, (*going, *wanted)):
        study = at_work[0].owner["study"]
        raise UserError(
            f"study {study} is being run by {at_work[0].holder}: let it end, or `ablab "
            f"cancel {study}`, first"
        )
    for key in sorted(theirs | named):
        if (lease := Record(home.root, key).lease()).held():
            raise _trained(key, lease, " ".join(going) or key)
    runs = tuple(
        sorted(
            key for key in (theirs - elsewhere) | named if Record(home.root, key).folder.is_dir()
        )
    )
    folders = [Record(home.root, key).folder for key in runs]
    return Removal(
        studies=going,
        runs=runs,
        kept=len((theirs & elsewhere) - named),
        wanted=wanted,
        size=sum(_size(folder) for folder in [*folders, *_folders(home, going)]),
    )


def remove(home: Home, targets: Sequence[Target], removal: Removal) -> None:
    """Takes away what `plan_removal` said of `targets`. The studies go last: what is cut off can be
    removed again. Raises UserError, before anything goes, where they are at work by now, more or
    less would go, this user may not remove it, or the tracker can't be opened; and where a run is
    taken up in this very moment.
    """
    from ablab.tracking.mlflow.local_store import LocalStore

    with no_driver_begins(home):
        now = plan_removal(home, targets)
        if (now.studies, now.runs) != (removal.studies, removal.runs):
            raise UserError("what would go is not what it was a moment ago: `ablab rm` again")
        records = [Record(home.root, key) for key in removal.runs]
        folders = [record.folder for record in records] + [
            f for f in _folders(home, removal.studies) if f.exists()
        ]
        require_writable([*folders, *(folder.parent for folder in folders)])
        store = LocalStore(home)
        for record in records:
            if not (lease := record.lease()).acquire():  # by a study that has just come to want it
                raise _trained(record.key, lease, record.key)
            shutil.rmtree(record.folder)
        store.forget(removal.studies, removal.runs)
        for folder in folders[len(records) :]:
            shutil.rmtree(folder)
        for name in removal.studies:
            home.optuna(name).unlink(missing_ok=True)


def _trained(key: str, lease: Lease, target: str) -> UserError:
    return UserError(f"run {key} is being trained by {lease.holder}: `ablab cancel {target}` first")


def _listed(home: Home, name: str) -> set[str]:
    """The runs and trials that any revision of a study names."""
    return {key for record in revisions(home, name) for key in record.keys}


def _folders(home: Home, names: Iterable[str]) -> list[Path]:
    return [home.root / kind / name for name in names for kind in ("reports", "studies")]


def _size(folder: Path) -> int:
    """Bytes of the files in it. What goes while it is measured counts nothing."""
    size = 0
    for at, _, files in os.walk(folder):
        for file in files:
            with suppress(FileNotFoundError):
                size += os.path.getsize(Path(at) / file)
    return size
