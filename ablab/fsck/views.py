"""Checks the stores of MLflow and Optuna in a home, which can be written again from the records."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from ablab.fsck.finding import Finding, damaged
from ablab.records.home import Home
from ablab.tracking.optuna.journal import journal_damage

_CONSEQUENCE = "`ablab run` or `ablab sync` of each study writes a new one"


def check_views(home: Home) -> Iterator[Finding]:
    """Yield the faults of the stores of trackers in a home."""
    for file in sorted(home.mlflow.glob("*.db")):
        reason = _database_damage(file)
        if reason:
            yield damaged(file, reason, _CONSEQUENCE)
    for file in sorted((home.root / "optuna").glob("*.journal")):
        reason = journal_damage(file)
        if reason:
            yield damaged(file, reason, "`ablab run` of the study writes a new one")


def _database_damage(file: Path) -> str:
    """Return what is wrong with an SQLite database; empty if nothing is."""
    try:
        # Opened as read-only: a check must not create or change anything.
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as database:
            (answer,) = database.execute("pragma quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if answer == "ok" else str(answer).replace("\n", ", ")
