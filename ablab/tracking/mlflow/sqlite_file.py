"""SQLite files of MLflow stores, which are made completely or not at all.

MLflow creates its tables in dozens of steps, each committed by itself. Neither MLflow nor `mlflow
db upgrade` can open what a process leaves that ends between them.
"""

import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from ablab.files import locked

_SUFFIXES = ("", "-journal", "-wal", "-shm")  # the database, and what SQLite writes beside it


def is_half_made(file: Path) -> bool:
    """Return whether the creation of a store was interrupted, so that nothing is in it yet.

    MLflow's last step adds an experiment, and the first table is that of experiments. An empty file
    counts, too. Raises sqlite3.Error if the file cannot be read or is no database.
    """
    if not file.exists():
        return False
    with closing(sqlite3.connect(file)) as database:  # rolls an interrupted transaction back
        tables = {name for (name,) in database.execute("select name from sqlite_master")}
        if "experiments" not in tables:
            return not tables
        return database.execute("select 1 from experiments limit 1").fetchone() is None


def make_store(file: Path) -> None:
    """Create a store, unless it exists. One that is half made is set aside first."""
    if file.exists() and not is_half_made(file):
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with locked(file.with_name(f".{file.name}.lock")):
        if is_half_made(file):
            _set_aside(file)
        if not file.exists():
            _create(file)


def _create(file: Path) -> None:
    from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    draft = file.with_name(f".{file.name}.draft")
    for suffix in _SUFFIXES:  # of a process that was killed
        _beside(draft, suffix).unlink(missing_ok=True)
    store = SqlAlchemyStore(f"sqlite:///{draft}", DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH)
    store.engine.dispose()
    draft.replace(file)


def _set_aside(file: Path) -> None:
    if file.stat().st_size == 0:
        file.unlink()
        return
    aside = file.with_name(f"{file.name}.half-made")
    for suffix in _SUFFIXES:
        if _beside(file, suffix).exists():
            os.replace(_beside(file, suffix), _beside(aside, suffix))
    logging.getLogger(__name__).warning(
        "%s: its creation was interrupted; it is set aside as %s, and made anew", file, aside.name
    )


def _beside(file: Path, suffix: str) -> Path:
    return file.with_name(file.name + suffix)
