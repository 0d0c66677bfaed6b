"""Commands on study files: run, plan, report, schema."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ablab.cli.options import HomeDir, Json, Overrides, Plugins, Profile, StudyFile, StudyName
from ablab.errors import RunFailed, UserError

if TYPE_CHECKING:
    from ablab.study.driver import Display
    from ablab.study.home import Home, StudyRecord
    from ablab.study.session import Planned, Request, Session
    from ablab.study.tally import Tally
    from ablab.train.team import Layout

Workers = Annotated[int | None, typer.Option(min=1, help="Worker processes. Default: one a GPU, or one a CPU core.")]
Accelerator = Annotated[str | None, typer.Option(help="auto, cpu or cuda. Default: the study's `hardware`.")]
Devices = Annotated[int | None, typer.Option(min=1, help="Processes that share each run, each on a GPU or on CPU cores.")]
StrategyName = Annotated[str | None, typer.Option("--strategy", help="auto, ddp, fsdp or tensor.")]
TensorSize = Annotated[int | None, typer.Option("--tensor", min=1, help="How many of them hold the model together.")]
Compile = Annotated[bool | None, typer.Option("--compile/--no-compile", help="Whether torch compiles the blocks.")]


def run(
    file: StudyFile,
    overrides: Overrides = None,
    profile: Profile = None,
    workers: Workers = None,
    accelerator: Accelerator = None,
    devices: Devices = None,
    strategy: StrategyName = None,
    tensor: TensorSize = None,
    compile: Compile = None,
    home: HomeDir = None,
    plugins: Plugins = None,
) -> None:
    """Train what a study lacks, and report. What is finished is never trained again."""
    from ablab.files import require_writable
    from ablab.study.driving import driving
    from ablab.study.home import make_home
    from ablab.study.session import planned

    hardware = {"accelerator": accelerator, "devices": devices, "strategy": strategy, "tensor": tensor, "compile": compile}
    given = [f"hardware.{name}={value}" for name, value in hardware.items() if value is not None]
    place, request = make_home(home), _request(file, profile, [*(overrides or []), *given], plugins)
    fresh = None if place.root.exists() else planned(request, place.root)  # bad input leaves no home behind
    if fresh is not None:
        _layout(fresh)
    require_writable([place.root])
    with driving(place, request.name):
        asked = fresh or planned(request, place.root)  # while nothing that it counts on can be removed
        _carry_out(asked, place, workers)


def _carry_out(asked: "Planned", place: "Home", workers: int | None) -> None:
    from rich.console import Console

    from ablab.cli.display import make_display
    from ablab.study.executor import LocalExecutor
    from ablab.study.session import Session, Share

    console = Console()
    display = make_display(console, asked.study.metric)
    session = Session(asked, place, display)
    session.require_writable()
    session.want_again()
    expected, missing = asked.plan.expected, session.missing
    total = expected.runs + expected.trials
    machine, (layout, why) = asked.study.hardware, _layout(asked)
    count, threads = machine.division(workers, missing)
    if missing:
        if layout.processes > 1:
            display.say(f"each run on {layout.processes} processes, {layout} ({why})")
        trials = f"{expected.trials} trials and " if expected.trials else ""
        display.say(f"{trials}{expected.runs} runs, {total - missing} of them finished; {count} workers × {threads} threads")
        display.begin(missing)
    else:
        display.say(f"all {total} runs are finished: nothing to train")
    try:
        tally = session.run(lambda setting: LocalExecutor(count, setting, machine.shares()), Share(threads, layout))
    finally:
        display.close()
    if tally.signal is not None and tally.killed:  # "end now": no report either
        sys.exit(128 + tally.signal)
    _conclude(session, console, interrupted=tally.signal is not None)
    _tell(asked, tally, display)


def _layout(asked: "Planned") -> "tuple[Layout, str]":
    return asked.study.hardware.layout(max((arm.parameters for arm in asked.plan.arms), default=0))


def _tell(asked: "Planned", tally: "Tally", display: "Display") -> None:
    """How it ended, where not all is well."""
    if tally.signal is not None:
        sys.exit(128 + tally.signal)
    if tally.stopped:
        display.say(f"{len(tally.stopped)} runs were cancelled; `ablab run` takes them up again")
    if tally.broken:
        raise RunFailed(f"no worker process starts: {tally.broken}; `ablab run` goes on from here")
    if tally.failed:
        total = asked.plan.expected.runs + asked.plan.expected.trials
        trials = len(tally.failed.keys() & {trial.run.key for trial in asked.plan.trials})
        note = f" ({trials} of them are trials, which count as without a value: `ablab retry`)" if trials else ""
        raise RunFailed(f"{len(tally.failed)} of {total} runs failed; `ablab run` tries them again{note}")


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
    asked = planned(_request(file, profile, overrides, plugins), root)
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
    overrides: Overrides = None,
    profile: Profile = None,
    as_json: Json = False,
    home: HomeDir = None,
    plugins: Plugins = None,
) -> None:
    """Print a study's arms and effects, and write its HTML report."""
    from ablab.report.summary import summarise

    record = study_record(study, profile, overrides, home)
    summary = summarise(record)
    if as_json:
        print(json.dumps(summary.as_dict(), indent=1))
        return
    from rich.console import Console

    from ablab.report.html import write_report
    from ablab.report.terminal import print_summary

    console = Console()
    print_summary(summary, console)
    console.print(f"report: {write_report(summary, record)}", highlight=False, markup=False, soft_wrap=True)


def schema(home: HomeDir = None, plugins: Plugins = None) -> None:
    """Print the JSON schema of study files, for editors."""
    from ablab.study.schema import Study

    content = Study.model_json_schema(by_alias=True)
    content["properties"]["profiles"] = {"type": "object", "additionalProperties": {"type": "object"}}
    print(json.dumps(content, indent=1))


def _request(file: Path, profile: str | None, overrides: list[str] | None, plugins: list[Path] | None) -> "Request":
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


def _conclude(session: "Session", console: Any, *, interrupted: bool) -> None:
    """Prints and writes the report, and attaches it to the study in MLflow."""
    from ablab.files import write_json
    from ablab.report.html import write_report
    from ablab.report.summary import summarise
    from ablab.report.terminal import print_summary

    record = session.record
    summary = summarise(record)
    files = [write_report(summary, record), record.reports / f"{record.revision}.json"]
    write_json(files[1], summary.as_dict())
    session.close(files, complete=summary.complete)
    if not interrupted:
        print_summary(summary, console)
        console.print(f"report: {files[0]}", highlight=False, markup=False, soft_wrap=True)
        console.print("compare the runs: ablab ui", highlight=False)


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
