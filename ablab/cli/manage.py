"""Commands that look after what a home holds: studies, cancel, retry, rm."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ablab.cli.options import HomeDir, Json, Profile
from ablab.errors import UserError

if TYPE_CHECKING:
    from ablab.execute.manage import Removal, Target
    from ablab.records.home import Home, StudyRecord

Targets = Annotated[
    list[str],
    typer.Argument(
        metavar="TARGET...",
        help=("Study names, NAME:REVISION, study files, or run keys or unique prefixes of them."),
    ),
]


def studies(as_json: Json = False, home: HomeDir = None) -> None:
    """List the studies of a home, with their latest and earlier revisions."""
    from ablab.records.home import make_home, revisions, study_names

    place = make_home(home)
    found = [_figures(every) for name in study_names(place) if (every := revisions(place, name))]
    if as_json:
        print(json.dumps(found, indent=1))
        return
    if not found:
        print(f"no study has been run in {place.root} yet")
    for study in found:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(study["last_used"]))
        failed = f"  {study['failed']} failed" if study["failed"] else ""
        runs = f"{study['finished']}/{study['runs']} runs{failed}"
        print(
            f"{study['study']}  revision {study['revision']}  {runs}  last run {used}  "
            f"{study['question']}"
        )
        if study["earlier"]:
            print(f"  earlier revisions: {', '.join(study['earlier'])}")


def cancel(targets: Targets, profile: Profile = None, home: HomeDir = None) -> None:
    """Stop unfinished runs: running ones write a checkpoint and end, waiting ones do not start."""
    from ablab.execute.manage import cancel as ask

    place, found = _found(targets, profile, home)
    running, waiting = ask(place, _keys(found))
    print(
        f"asked {_runs(running)} under way and {_runs(waiting)} waiting to stop; `ablab run` "
        "or `ablab retry` wants them again"
    )


def retry(targets: Targets, profile: Profile = None, home: HomeDir = None) -> None:
    """Clear failures and cancellations, so that the current or next `ablab run` tries again."""
    from ablab.execute.manage import retry as forget

    place, found = _found(targets, profile, home)
    count = forget(place, _keys(found))
    print(f"wanted again: {_runs(count)}, by the `ablab run` that is at work, else by the next")


def rm(
    targets: Targets,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    profile: Profile = None,
    home: HomeDir = None,
) -> None:
    """Remove studies with their reports and the runs no other study uses, or single runs."""
    from ablab.execute.manage import plan_removal, remove

    place, found = _found(targets, profile, home)
    removal = plan_removal(place, found)
    text = _described(removal)
    if not yes:
        if not sys.stdin.isatty():
            raise UserError(f"this would remove {text}; give --yes to do it")
        typer.confirm(f"remove {text}?", abort=True)
    remove(place, found, removal)
    print(f"removed {text}")
    if removal.wanted:
        print(f"`ablab run` would train them again for {', '.join(removal.wanted)}")


def _figures(every: "list[StudyRecord]") -> dict[str, Any]:
    """Of the latest revision; of the others their names, the latest first."""
    from ablab.records.run_state import RunState
    from ablab.records.status import state

    *earlier, record = every
    content = record.read()
    states = [state(record.home.root, key) for key in content.entries]
    return {
        "study": record.name,
        "revision": record.revision,
        "question": content.study.question,
        "runs": len(states),
        "finished": states.count(RunState.FINISHED),
        "failed": states.count(RunState.FAILED),
        "last_used": record.last_used,
        "earlier": [older.revision for older in reversed(earlier)],
    }


def _found(
    targets: list[str], profile: str | None, home: Path | None
) -> tuple["Home", list["Target"]]:
    """All of them are found before anything is done to one."""
    from ablab.execute.manage import find_target
    from ablab.records.home import make_home

    place = make_home(home)
    return place, [find_target(place, target, profile) for target in targets]


def _keys(targets: list["Target"]) -> list[str]:
    return list(dict.fromkeys(key for target in targets for key in target.keys))


def _described(removal: "Removal") -> str:
    parts = [f"study {name} with its reports" for name in removal.studies]
    kept = f" ({removal.kept} more stay: other studies list them)" if removal.kept else ""
    parts.append(f"{_runs(len(removal.runs))}{kept}")
    size = float(removal.size)
    unit = next(
        unit
        for unit in ("bytes", "kB", "MB", "GB", "TB")
        if size < 1000 or unit == "TB" or not (size := size / 1000)
    )
    return f"{', '.join(parts)}: {size:.3g} {unit}"


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"
