"""Commands on study files: plan, report, schema."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablab.cli.browser import open_page
from ablab.cli.options import HomeDir, Json, Overrides, Plugins, Profile, StudyFile, StudyName
from ablab.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from ablab.study.home import Home, StudyRecord
    from ablab.study.session import Planned, Request

More = Annotated[
    list[str] | None,
    typer.Argument(metavar="[STUDY] [KEY=VALUE]...", help="A second study, to set beside the first; settings, with a file."),
]
Open = Annotated[bool, typer.Option("--open", help="Open the page in a browser, where there is one.")]


def plan(
    file: StudyFile,
    overrides: Overrides = None,
    profile: Profile = None,
    as_json: Json = False,
    home: HomeDir = None,
    plugins: Plugins = None,
) -> None:
    """List a study's arms, runs and cost, and which runs are done. Trains and creates nothing."""
    from ablab.study.home import make_home
    from ablab.study.session import planned

    root = make_home(home).root
    asked = planned(request_of(file, profile, overrides, plugins), root)
    done = asked.settled(root)
    expected = asked.plan.expected
    if as_json:
        arms = [
            {
                "name": a.name, "expression": a.expression, "plugins": list(a.plugins), "parameters": a.parameters,
                "flops_per_token": a.flops_per_token, "tokens": a.tokens, "steps": a.steps,
            }
            for a in asked.plan.arms
        ]  # fmt: skip
        content = {
            "study": asked.request.name, "revision": asked.study.revision(), "arms": arms, "runs": expected.runs,
            "trials": expected.trials, "to_train": expected.runs + expected.trials - len(done),
            "training_flops": expected.flops, "infeasible": dict(asked.plan.infeasible), "notes": list(asked.plan.notes),
        }  # fmt: skip
        print(json.dumps(content, indent=1))
        return
    _print_plan(asked, done)


def report(
    study: StudyName,
    more: More = None,
    profile: Profile = None,
    open_it: Open = False,
    as_json: Json = False,
    home: HomeDir = None,
    plugins: Plugins = None,
) -> None:
    """Print a study's arms and effects, and write its report; or two studies side by side."""
    from ablab.report.summary import summarise

    others = [word for word in more or [] if "=" not in word]
    overrides = [word for word in more or [] if "=" in word]
    if len(others) > 1:
        raise UserError(f"one study, or two side by side, not {1 + len(others)} (settings are KEY=VALUE)")
    record = study_record(study, profile, overrides, home)
    if others:
        _beside(record, study_record(others[0], profile, overrides, home), as_json=as_json, open_it=open_it)
        return
    summary = summarise(record)
    if as_json:
        print(json.dumps(summary.as_dict(), indent=1))
        return
    from rich.console import Console

    from ablab.report.html import write_report
    from ablab.report.terminal import print_summary

    console = Console()
    print_summary(summary, console)
    _written(write_report(summary, record), console, open_it=open_it)


def _beside(record: "StudyRecord", other: "StudyRecord", *, as_json: bool, open_it: bool) -> None:
    from rich.console import Console

    from ablab.report.beside import print_comparison
    from ablab.report.comparison import compare, write_comparison
    from ablab.report.summary import summarise

    if (record.name, record.revision) == (other.name, other.revision):
        raise UserError(f"{record.name} (revision {record.revision}) is named twice: nothing to compare")
    found = compare((summarise(record), record), (summarise(other), other))
    if as_json:
        print(json.dumps(found.as_dict(), indent=1))
        return
    console = Console()
    print_comparison(found, console)
    _written(write_comparison(found, record, other), console, open_it=open_it)


def _written(page: Path, console: "Console", *, open_it: bool) -> None:
    console.print(f"report: {page}", highlight=False, markup=False, soft_wrap=True)
    if open_it and not open_page(page):
        console.print("no browser here: open the file by hand", highlight=False)


def schema(home: HomeDir = None, plugins: Plugins = None) -> None:
    """Print the JSON schema of study files, for editors."""
    from ablab.study.schema import Study

    content = Study.model_json_schema(by_alias=True)
    content["properties"]["profiles"] = {"type": "object", "additionalProperties": {"type": "object"}}
    print(json.dumps(content, indent=1))


def request_of(file: Path, profile: str | None, overrides: list[str] | None, plugins: list[Path] | None) -> "Request":
    """What was asked for."""
    from ablab.study.session import Request

    return Request(file, profile, tuple(overrides or ()), tuple(plugins or ()))


def study_record(study: str, profile: str | None, overrides: list[str] | None, home: Path | None) -> "StudyRecord":
    """A study's record by file (the exact revision) or by name (the latest in this home)."""
    from ablab.study.home import StudyRecord, label, latest, make_home

    place: Home = make_home(home)
    if not study.endswith((".yaml", ".yml")):
        if overrides:
            raise UserError("overrides go with a study file: a name means its latest revision")
        record = latest(place, label(study, profile))
        print(f"{record.name}: the latest revision in {place.root}, {record.revision}", file=sys.stderr)
        return record
    from ablab.study.schema import load_study

    resolved, _ = load_study(Path(study), profile, overrides or [])
    return StudyRecord(place, label(Path(study).stem, profile), resolved.revision())


def _print_plan(asked: "Planned", done: set[str]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from ablab.report.numbers import short

    table = Table(title=f"{escape(asked.request.name)} (revision {asked.study.revision()})", title_justify="left")
    table.add_column("arm", overflow="fold", ratio=1)
    for name in ("params", "FLOPs/token", "tokens", "steps", "done"):
        table.add_column(name, justify="right", no_wrap=True)
    for arm in asked.plan.arms:
        keys = [run.key for run in asked.plan.runs if run.arm == arm.name]
        finished = f"{sum(key in done for key in keys)}/{len(asked.study.seed_list())}"
        table.add_row(
            escape(arm.name), short(arm.parameters), short(arm.flops_per_token), short(arm.tokens), str(arm.steps), finished
        )
    console = Console(highlight=False)
    console.print(table)
    expected = asked.plan.expected
    trials = f"{expected.trials} trials and " if expected.trials else ""
    left = expected.runs + expected.trials - len(done)
    console.print(f"{trials}{expected.runs} runs, {left} to train; {short(expected.flops)} training FLOPs in all")
    for note in asked.plan.notes:
        console.print(note, markup=False)
    for name, reason in asked.plan.infeasible.items():
        console.print(f"left out: {name}: {reason}", markup=False)
