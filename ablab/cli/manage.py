"""Commands that manage the studies and runs of a home: studies, cancel, retry, rm."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ablab.cli.examples import list_examples
from ablab.cli.options import HomeDir, Json, Profile
from ablab.errors import UserError
from ablab.names import printable

if TYPE_CHECKING:
    from ablab.execute.manage import Removal, Target
    from ablab.records.home import Home
    from ablab.records.study_record import StudyRecord

Targets = Annotated[
    list[str],
    typer.Argument(
        metavar="TARGET...",
        help=("Study names, NAME:REVISION, study files, or run keys or unique prefixes of them."),
    ),
]


def studies(
    examples: Annotated[
        bool, typer.Option("--examples", help="List the installed example studies instead.")
    ] = False,
    as_json: Json = False,
    home: HomeDir = None,
) -> None:
    """List the studies of a home, with their latest and earlier revisions."""
    if examples:
        list_examples(as_json=as_json)
        return
    from ablab.records.home import make_home
    from ablab.records.study_record import revisions, study_names

    home_folder = make_home(home)
    histories = [revisions(home_folder, name) for name in study_names(home_folder)]
    rows = [_row(history) for history in histories if history]
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    if not rows:
        print(f"no study has been run in {home_folder.root} yet")
    for study in rows:
        last_run = time.strftime("%Y-%m-%d %H:%M", time.localtime(study["last_used"]))
        failed = f"  {study['failed']} failed" if study["failed"] else ""
        runs = f"{study['finished']}/{study['runs']} runs{failed}"
        line = f"{study['study']}  revision {study['revision']}  {runs}  last run {last_run}"
        print(printable(f"{line}  {study['question']}"))
        if study["earlier"]:
            print(f"  earlier revisions: {', '.join(study['earlier'])}")


def cancel(targets: Targets, profile: Profile = None, home: HomeDir = None) -> None:
    """Stop unfinished runs: running ones write a checkpoint and end, waiting ones do not start."""
    from ablab.execute.manage import cancel as request_stop

    home_folder, resolved = _resolve(targets, profile, home)
    running, waiting = request_stop(home_folder, _keys(resolved))
    print(
        f"asked {_runs(running)} under way and {_runs(waiting)} waiting to stop; `ablab run` "
        "or `ablab retry` resumes them"
    )


def retry(targets: Targets, profile: Profile = None, home: HomeDir = None) -> None:
    """Clear failures and cancellations, so that the current or next `ablab run` tries again."""
    from ablab.execute.manage import retry as clear_failures

    home_folder, resolved = _resolve(targets, profile, home)
    count = clear_failures(home_folder, _keys(resolved))
    print(f"to be tried again: {_runs(count)}, by the current `ablab run` or the next one")


def rm(
    targets: Targets,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    profile: Profile = None,
    home: HomeDir = None,
) -> None:
    """Remove studies with their reports and the runs no other study uses, or single runs."""
    from ablab.execute.manage import plan_removal, remove

    home_folder, resolved = _resolve(targets, profile, home)
    removal = plan_removal(home_folder, resolved)
    text = _describe(removal)
    if not yes:
        if not sys.stdin.isatty():
            raise UserError(f"this would remove {text}; give --yes to do it")
        typer.confirm(f"remove {text}?", abort=True)
    remove(home_folder, resolved, removal)
    print(f"removed {text}")
    if removal.affected_studies:
        print(f"`ablab run` would train them again for {', '.join(removal.affected_studies)}")


def _row(history: "list[StudyRecord]") -> dict[str, Any]:
    """Describe a study: its latest revision, and the names of earlier ones, the latest first.

    `history`: its revisions from the earliest to the latest.
    """
    from ablab.records.run_state import RunState
    from ablab.records.status import state
    from ablab.sealed import DamagedFile

    *earlier, record = history
    try:
        states = [state(record.home.root, key) for key in record.keys]
    except DamagedFile:
        states = []
    try:
        question = record.read().study.question
    except UserError as error:
        question = str(error)
    return {
        "study": record.name,
        "revision": record.revision,
        "question": question,
        "runs": len(states),
        "finished": states.count(RunState.FINISHED),
        "failed": states.count(RunState.FAILED),
        "last_used": record.last_used,
        "earlier": [older.revision for older in reversed(earlier)],
    }


def _resolve(
    targets: list[str], profile: str | None, home: Path | None
) -> tuple["Home", list["Target"]]:
    """Return the home and all targets, so that an unknown one is reported before any change."""
    from ablab.execute.manage import find_target
    from ablab.records.home import make_home

    home_folder = make_home(home)
    return home_folder, [find_target(home_folder, target, profile) for target in targets]


def _keys(targets: list["Target"]) -> list[str]:
    return list(dict.fromkeys(key for target in targets for key in target.keys))


def _describe(removal: "Removal") -> str:
    parts = [f"study {name} with its reports" for name in removal.studies]
    runs = _runs(len(removal.runs))
    if removal.shared_runs:
        runs += f" ({removal.shared_runs} more stay: other studies list them)"
    parts.append(runs)
    return f"{', '.join(parts)}: {_file_size(removal.size)}"


def _file_size(size: float) -> str:
    """Format a size in bytes with three significant digits."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"
