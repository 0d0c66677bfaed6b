"""Commands on study files: plan, report, schema."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ablab.cli.browser import open_page
from ablab.cli.options import HomeDir, Json, Overrides, Plugins, Profile, StudyFile, StudyName
from ablab.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ablab.analysis.power import PowerForecast
    from ablab.execute.session import Planned, Request
    from ablab.plan.plan import Plan
    from ablab.records.home import StudyRecord

More = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[STUDY] [KEY=VALUE]...",
        help="A second study to compare with; overrides if STUDY is a file.",
    ),
]
Open = Annotated[bool, typer.Option("--open", help="Open the page in a browser, if there is one.")]


def plan(
    file: StudyFile,
    overrides: Overrides = None,
    profile: Profile = None,
    as_json: Json = False,
    home: HomeDir = None,
    plugins: Plugins = None,
) -> None:
    """List a study's arms, runs and cost, and which runs are done. Trains and creates nothing."""
    from ablab.analysis.power import power_forecasts
    from ablab.execute.session import planned
    from ablab.records.home import make_home

    place = make_home(home)
    asked = planned(request_of(file, profile, overrides, plugins), place.root)
    forecasts = power_forecasts(place, asked.request.name, asked.plan)
    settled = asked.settled(place.root)
    if as_json:
        print(json.dumps(_plan_json(asked, settled, forecasts), indent=1))
    else:
        _print_plan(asked, settled, forecasts)


def _plan_json(
    asked: "Planned", settled: set[str], forecasts: "Sequence[PowerForecast | None]"
) -> dict[str, Any]:
    plan = asked.plan
    expected = plan.expected
    parts = [
        {
            "label": part.label,
            "baseline": part.plan.baseline,
            "arms": _arms(part.plan),
            "runs": part.plan.expected.runs,
            "trials": part.plan.expected.trials,
            "training_flops": part.plan.expected.flops,
            "detectable_effect": forecast.effect if forecast else None,
            "sd": forecast.sd if forecast else None,
        }
        for part, forecast in zip(plan.parts, forecasts, strict=True)
    ]
    return {
        "study": asked.request.name,
        "revision": asked.study.revision(),
        "parts": parts,
        "runs": expected.runs,
        "most_runs": expected.most or expected.runs,
        "trials": expected.trials,
        "to_train": expected.runs + expected.trials - len(settled),
        "training_flops": expected.flops,
        "infeasible": plan.infeasible,
        "notes": list(plan.notes),
    }


def report(
    study: StudyName,
    more: More = None,
    profile: Profile = None,
    open_it: Open = False,
    as_json: Json = False,
    home: HomeDir = None,
) -> None:
    """Print a study's effects and arms and write its report, or compare two studies."""
    from ablab.analysis.summarise import summarise

    others = [word for word in more or [] if "=" not in word]
    overrides = [word for word in more or [] if "=" in word]
    if len(others) > 1:
        raise UserError(
            f"one study, or two side by side, not {1 + len(others)} (settings are KEY=VALUE)"
        )
    record = study_record(study, profile, overrides, home)
    if others:
        _beside(
            record,
            study_record(others[0], profile, overrides, home),
            as_json=as_json,
            open_it=open_it,
        )
        return
    summary = summarise(record)
    if as_json:
        print(json.dumps(summary.as_json(), indent=1))
        return
    from rich.console import Console

    from ablab.report.html import write_report
    from ablab.report.terminal import print_summary

    console = Console()
    print_summary(summary, console)
    _written(write_report(summary, record), console, open_it=open_it)


def _beside(record: "StudyRecord", other: "StudyRecord", *, as_json: bool, open_it: bool) -> None:
    from rich.console import Console

    from ablab.analysis.comparison import compare
    from ablab.analysis.summarise import summarise
    from ablab.report.comparison import write_comparison
    from ablab.report.comparison_terminal import print_comparison

    if (record.name, record.revision) == (other.name, other.revision):
        what = f"{record.name} (revision {record.revision}) is named twice: nothing to compare"
        raise UserError(f"{what} (NAME:REVISION is another revision; `ablab studies` lists them)")
    found = compare(summarise(record), summarise(other))
    if as_json:
        print(json.dumps(found.as_json(), indent=1))
        return
    console = Console()
    print_comparison(found, console)
    _written(write_comparison(found, record, other), console, open_it=open_it)


def _written(page: Path, console: "Console", *, open_it: bool) -> None:
    console.print(f"report: {page}", highlight=False, markup=False, soft_wrap=True)
    if open_it and not open_page(page):
        console.print("no browser here: open the file by hand", highlight=False)


def schema() -> None:
    """Print the JSON schema of study files, for editors."""
    from ablab.spec.study import Study

    content = Study.model_json_schema(by_alias=True)
    content["required"].remove("budget")
    content["anyOf"] = [{"required": [name]} for name in ("budget", "budgets", "scales")]
    content["properties"]["profiles"] = {
        "description": "Named sets of settings that override the file's: `--profile NAME`.",
        "type": "object",
        "additionalProperties": {"type": "object"},
    }
    print(json.dumps(content, indent=1))


def request_of(
    file: Path, profile: str | None, overrides: list[str] | None, plugins: list[Path] | None
) -> "Request":
    """What was asked for."""
    from ablab.execute.session import Request

    return Request(file, profile, tuple(overrides or ()), tuple(plugins or ()))


def study_record(
    study: str, profile: str | None, overrides: list[str] | None, home: Path | None
) -> "StudyRecord":
    """A study's record by file (the exact revision), by NAME:REVISION, or by name (the latest in
    this home).
    """
    from ablab.records.home import label, make_home
    from ablab.records.lookup import is_file, records_of

    place = make_home(home)
    record = records_of(place, study, profile, overrides or ())[-1]
    if not is_file(study) and record.name == label(study, profile):
        print(
            f"{record.name}: the latest revision in {place.root}, {record.revision}",
            file=sys.stderr,
        )
    return record


def _arms(plan: "Plan") -> list[dict[str, Any]]:
    return [
        {
            "name": a.name,
            "expression": a.expression,
            "plugins": list(a.plugins),
            "parameters": a.parameters,
            "flops_per_token": a.flops_per_token,
            "tokens": a.tokens,
            "steps": a.steps,
            "mismatch": a.mismatch,
            "feed_forward": list(a.feed_forward),
        }
        for a in plan.arms
    ]


def _plan_table(title: str, plan: "Plan", seeds: int, done: set[str]) -> "Table":
    from rich.markup import escape
    from rich.table import Table

    from ablab.text.numbers import short

    table = Table(title=escape(title) or None, title_justify="left")
    table.add_column("arm", overflow="fold", ratio=1)
    matched = ["mismatch"] if any(arm.mismatch is not None for arm in plan.arms) else []
    for name in ("params", "FLOPs/token", "tokens", "steps", *matched, "done"):
        table.add_column(name, justify="right", no_wrap=True)
    for arm in plan.arms:
        keys = [run.key for run in plan.runs if run.arm == arm.name]
        finished = f"{sum(key in done for key in keys)}/{len(keys) or seeds}"
        table.add_row(
            escape(arm.name),
            short(arm.parameters),
            short(arm.flops_per_token),
            short(arm.tokens),
            "–" if arm.steps is None else str(arm.steps),
            *(["–" if arm.mismatch is None else f"{arm.mismatch:+.2%}"] if matched else []),
            finished,
        )
    return table


def _print_plan(
    asked: "Planned", settled: set[str], forecasts: "Sequence[PowerForecast | None]"
) -> None:
    from rich.console import Console

    from ablab.report.sentences import power_text
    from ablab.text.numbers import short

    study = asked.study
    console = Console(highlight=False)
    seeds = study.adaptive.start if study.adaptive else len(study.seed_list())
    console.print(f"{asked.request.name} (revision {study.revision()})", markup=False)
    for part, forecast in zip(asked.plan.parts, forecasts, strict=True):
        console.print(_plan_table(part.label, part.plan, seeds, settled))
        if forecast is not None:
            console.print(power_text(forecast, study.metric), markup=False)
    expected = asked.plan.expected
    trials = f"{expected.trials} trials and " if expected.trials else ""
    left = expected.runs + expected.trials - len(settled)
    least = "at least " if expected.most not in (None, expected.runs) else ""
    flops = ""
    if expected.flops is not None:
        flops = f"; {least}{short(expected.flops)} training FLOPs in all"
    console.print(f"{trials}{expected.text}, {least}{left} to train{flops}")
    for note in asked.plan.notes:
        console.print(note, markup=False)
    for name, reason in asked.plan.infeasible.items():
        console.print(f"left out: {name}: {reason}", markup=False)
