"""`ablab sync`: write a study to an MLflow store, from its records or from another store."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablab.cli.options import HomeDir, Profile, StudyName
from ablab.errors import UserError

if TYPE_CHECKING:
    from ablab.records.study_record import StudyRecord

To = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="URI",
        help="Store or server to write to. Default: the one that tracks the study.",
    ),
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="URI",
        help="Copy from this store; for runs whose records are not in the home.",
    ),
]


def sync(
    study: StudyName,
    to: To = None,
    source: From = None,
    profile: Profile = None,
    home: HomeDir = None,
) -> None:
    """Update a study's MLflow store, or write the study to another one. Runs that are up to date
    there are not sent again.
    """
    from ablab.records.home import make_home
    from ablab.records.lookup import records_of
    from ablab.spec.addresses import redacted
    from ablab.tracking.mlflow.connection import available

    if not available():
        raise UserError("MLflow is not installed (`pip install mlflow`)")
    if source is not None:
        _copy(study, source, to, profile)
        return
    home_folder = make_home(home)
    home_folder.require_current()
    records = records_of(home_folder, study, profile)
    if not records[-1].path.exists():
        records[-1].read()  # raises UserError, since this revision has never been run
    records = _readable(records)
    uri = to or tracked_at(records[-1], study, profile)
    run_count = _write(records, uri)
    print(f"{records[-1].name}: {run_count} runs stand in {redacted(uri, uri)}")


def _readable(records: "list[StudyRecord]") -> "list[StudyRecord]":
    """Return the records that can be read, and print the errors of the others.

    Raises UserError if none can be read.
    """
    from ablab.tracking.sync import recorded_runs

    readable: list[StudyRecord] = []
    errors: list[str] = []
    for record in records:
        try:
            recorded_runs(record)
            readable.append(record)
        except UserError as error:
            errors.append(str(error))
    if not readable:
        raise UserError("\n".join(errors))
    for error in errors:
        warn(error)
    return readable


def _write(records: "list[StudyRecord]", uri: str) -> int:
    """Write the records to the store at `uri`, and return the number of distinct runs."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress

    from ablab.analysis.summarise import summarise
    from ablab.report.files import write_files
    from ablab.tracking.sync import sync as write

    keys: set[str] = set()
    console = Console(stderr=True)
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        for record in records:
            task = bar.add_task(f"{record.name}, revision {record.revision}", total=None)
            summary = summarise(record)
            files = write_files(summary, record)
            keys |= write(
                record,
                uri,
                files,
                summary,
                lambda completed, total, task=task: bar.update(
                    task, completed=completed, total=total
                ),
            )
    return len(keys)


def _copy(study: str, source: str, to: str | None, profile: str | None) -> None:
    from ablab.records.home import label, label_of
    from ablab.records.lookup import is_file
    from ablab.spec.addresses import redacted
    from ablab.tracking.mlflow.copy import copy

    if to is None:
        raise UserError("--from needs --to: the store that the study is copied into")
    name = label_of(Path(study), profile) if is_file(study) else label(study, profile)
    print(f"{name}: {copy(name, source, to, warn)} runs stand in {redacted(to, to)}")


def warn(text: str) -> None:
    """Print a line about what was not done as asked."""
    print(f"ablab: {text}", file=sys.stderr)


def tracked_at(record: "StudyRecord", study: str, profile: str | None) -> str:
    """Return the address of the store that a study is tracked in.

    Raises UserError if only the study's file has it.
    """
    from ablab.records.lookup import is_file

    if is_file(study):
        from ablab.spec.study import load_study

        return record.home.tracking_uri(load_study(Path(study), profile, [])[0])
    address = record.read().sources.tracking
    if address is not None and "***" in address:
        raise UserError(
            f"{address} holds a password, which is not kept: name the study by its file, or "
            "give the address with --to"
        )
    return address or record.home.tracking_uri()
