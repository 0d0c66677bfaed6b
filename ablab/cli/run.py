"""The command that trains: `ablab run`."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ablab.cli.options import HomeDir, Overrides, Plugins, Profile, StudyFile
from ablab.cli.studies import request_of
from ablab.errors import RunFailed

if TYPE_CHECKING:
    from ablab.execute.display import Display
    from ablab.execute.executors.base import Engine
    from ablab.execute.session import Planned, Session
    from ablab.execute.summary import ExecutionSummary
    from ablab.records.home import Home

Workers = Annotated[
    int | None, typer.Option(min=1, help="Worker processes. Default: one per GPU, or per CPU core.")
]
Accelerator = Annotated[
    str | None, typer.Option(help="auto, cpu or cuda. Default: the study's `hardware`.")
]
Devices = Annotated[
    int | None,
    typer.Option(min=1, help="Processes per run, each on one GPU or on CPU cores."),
]
Nodes = Annotated[
    int | None,
    typer.Option(min=1, help="Number of nodes; start `ablab run` on each of them with torchrun."),
]
StrategyName = Annotated[str | None, typer.Option("--strategy", help="auto, ddp, fsdp or tensor.")]
TensorSize = Annotated[
    int | None,
    typer.Option(
        "--tensor", min=1, help="Tensor-parallel size: processes that share one copy of the model."
    ),
]
Compile = Annotated[
    bool | None,
    typer.Option("--compile/--no-compile", help="Compile the blocks with torch.compile."),
]

Threads = Annotated[
    int | None,
    typer.Option(
        min=1, help="CPU threads of each process of a run; part of its key. Default: the study's."
    ),
]


def run(
    file: StudyFile,
    overrides: Overrides = None,
    profile: Profile = None,
    workers: Workers = None,
    accelerator: Accelerator = None,
    devices: Devices = None,
    nodes: Nodes = None,
    strategy: StrategyName = None,
    tensor: TensorSize = None,
    compile: Compile = None,
    threads: Threads = None,
    home: HomeDir = None,
    plugins: Plugins = None,
) -> None:
    """Train the missing runs of a study and report. Finished runs are never trained again."""
    from ablab.execute.executors.choose import choose_engine
    from ablab.execute.session import planned
    from ablab.execute.worker_context import WorkerContext
    from ablab.files import require_writable
    from ablab.records.driver_lock import driving
    from ablab.records.home import make_home

    place = make_home(home)
    engine = choose_engine()
    folders = tuple(folder.resolve() for folder in plugins or ())
    if engine.follow(WorkerContext(place.root.resolve(), folders)):
        return
    hardware = {
        "accelerator": accelerator,
        "devices": devices,
        "nodes": nodes,
        "strategy": strategy,
        "tensor": tensor,
        "compile": compile,
        "threads": threads,
    }
    given = [f"hardware.{name}={value}" for name, value in hardware.items() if value is not None]
    request = request_of(file, profile, [*(overrides or []), *given], plugins)
    fresh = (
        None if place.root.exists() else planned(request, place.root)
    )  # bad input leaves no home behind
    if fresh is not None:
        engine.check(fresh.layout()[0])
    require_writable([place.root])
    with driving(place, request.name):
        asked = fresh or planned(
            request, place.root
        )  # while nothing that it counts on can be removed
        engine.check(asked.layout()[0])
        with engine.leading():
            _carry_out(asked, place, workers, engine)


def _carry_out(asked: "Planned", place: "Home", workers: int | None, engine: "Engine") -> None:
    from rich.console import Console

    from ablab.cli.display import make_display
    from ablab.execute.session import Session

    console = Console()
    display = make_display(console, asked.study.metric)
    session = Session(asked, place, display)
    session.require_writable()
    session.reset()
    expected, missing = asked.plan.expected, session.missing
    total = expected.runs + expected.trials
    machine = asked.study.hardware
    layout, why = asked.layout()
    count = engine.slots(asked.study, workers, missing)
    if missing:
        if layout.processes > 1:
            display.say(f"each run on {layout.processes} processes, {layout} ({why})")
        trials = f"{expected.trials} trials and " if expected.trials else ""
        display.say(
            f"{trials}{expected.text}, {total - missing} of them finished; {count} workers × "
            f"{machine.threads} threads"
        )
        display.begin(missing)
    else:
        display.say(f"all {total} runs are finished: nothing to train")
    try:
        tally = session.run(lambda context: engine.executor(asked.study, context, count))
    finally:
        display.close()
    if tally.signal is not None and tally.killed:  # "end now": no report either
        sys.exit(128 + tally.signal)
    _conclude(session, console, interrupted=tally.signal is not None)
    _tell(asked, tally, display)


def _tell(asked: "Planned", tally: "ExecutionSummary", display: "Display") -> None:
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
        note = (
            f" ({trials} of them are trials, which count as without a value: `ablab retry`)"
            if trials
            else ""
        )
        raise RunFailed(
            f"{len(tally.failed)} of {total} runs failed; `ablab run` tries them again{note}"
        )


def _conclude(session: "Session", console: Any, *, interrupted: bool) -> None:
    """Prints and writes the report, and attaches it to the study in MLflow."""
    from ablab.analysis.summarise import summarise
    from ablab.report.files import write_files
    from ablab.report.terminal import print_summary

    record = session.record
    summary = summarise(record)
    files = write_files(summary, record)
    session.close(files, complete=summary.progress.complete)
    if not interrupted:
        print_summary(summary, console)
        console.print(f"report: {files[0]}", highlight=False, markup=False, soft_wrap=True)
        console.print("compare the runs: ablab ui", highlight=False)
