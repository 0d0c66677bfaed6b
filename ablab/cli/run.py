"""`ablab run`: train the missing runs of a study, and report."""

import shlex
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ablab.cli.options import EngineName, HomeDir, Overrides, Plugins, Profile, StudyFile, Workers
from ablab.cli.run_options import (
    Accelerator,
    Compile,
    Detach,
    Devices,
    Nodes,
    SkipChecks,
    StrategyName,
    TensorSize,
    Threads,
)
from ablab.cli.studies import request_of
from ablab.errors import RunFailed, UserError

if TYPE_CHECKING:
    from ablab.cli.display import Lines
    from ablab.execute.display import Display
    from ablab.execute.executors.base import Engine
    from ablab.execute.session import Planned, Request, Session
    from ablab.execute.summary import ExecutionSummary
    from ablab.plan.plan import Expected
    from ablab.records.home import Home


def run(
    file: StudyFile,
    overrides: Overrides = None,
    profile: Profile = None,
    workers: Workers = None,
    engine: EngineName = None,
    accelerator: Accelerator = None,
    devices: Devices = None,
    nodes: Nodes = None,
    strategy: StrategyName = None,
    tensor: TensorSize = None,
    compile: Compile = None,
    threads: Threads = None,
    home: HomeDir = None,
    plugins: Plugins = None,
    skip_checks: SkipChecks = False,
    detach: Detach = False,
) -> None:
    """Train the missing runs of a study and report. Finished runs are never trained again."""
    from ablab.execute.executors.choose import follow_driver
    from ablab.execute.worker_context import WorkerContext
    from ablab.records.home import make_home

    home_folder = make_home(home)
    folders = tuple(folder.resolve() for folder in plugins or ())
    if follow_driver(WorkerContext(home_folder.root.resolve(), folders)):
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
    settings = [f"hardware.{name}={value}" for name, value in hardware.items() if value is not None]
    if engine is not None:
        settings.append(f"execution.engine={engine}")
    request = request_of(file, profile, [*(overrides or []), *settings], plugins)
    request = replace(request, skip_checks=skip_checks)
    _plan_and_train(request, home_folder, workers, detach=detach)


def _plan_and_train(
    request: "Request", home_folder: "Home", workers: int | None, *, detach: bool
) -> None:
    """Check the request before anything is created, then plan and train under the study's lock."""
    from ablab.execute.check_stage import check_arms
    from ablab.execute.earlier_looks import require_planned_looks
    from ablab.execute.session import planned
    from ablab.files import require_writable
    from ablab.records.driver_lock import hold_driver_lease

    study_plan: Planned | None = None
    engine: Engine | None = None
    if not home_folder.root.exists():  # plan first, so that invalid input creates no home
        study_plan = planned(request, home_folder.root)
        engine = _checked_engine(study_plan, home_folder, detach=detach)
        check_arms(study_plan, home_folder.root)
    require_writable([home_folder.root])
    with hold_driver_lease(home_folder, request.name):
        # Planned under the lock, so that no finished run it relies on can be removed.
        study_plan = study_plan or planned(request, home_folder.root)
        engine = engine or _checked_engine(study_plan, home_folder, detach=detach)
        require_planned_looks(study_plan, home_folder)
        with engine.leading():
            carry_out = _hand_out if detach else _carry_out
            carry_out(study_plan, home_folder, workers, engine)


def _checked_engine(study_plan: "Planned", home: "Home", *, detach: bool) -> "Engine":
    """Return the study's engine, which can train its missing runs."""
    from ablab.execute.executors.choose import choose_engine

    engine = choose_engine(study_plan.study)
    if detach and not engine.queues:
        name = study_plan.study.execution.engine
        raise UserError(f"--detach: engine {name} has no queue: its runs end with `ablab run`")
    engine.check(study_plan.context(home.root), study_plan.missing(home.root))
    return engine


def _hand_out(study_plan: "Planned", home: "Home", workers: int | None, engine: "Engine") -> None:
    """Leave the runs that can be trained now to the engine's queue."""
    session, _ = _open(study_plan, home)
    missing = session.missing
    count = session.hand_out(lambda context: engine.executor(context, workers, missing))
    name = shlex.quote(session.record.name)
    print(
        f"left to the queue: {count} of the {missing} runs that are missing; "
        f"`ablab status {name}` shows the jobs, and the same command without --detach goes on"
    )


def _open(study_plan: "Planned", home: "Home") -> "tuple[Session, Lines]":
    """Return the session of a study whose arms and files are in order, and its display."""
    from rich.console import Console

    from ablab.cli.display import make_display
    from ablab.execute.check_stage import check_arms
    from ablab.execute.session import Session

    display = make_display(Console(), study_plan.study.metric)
    session = Session(study_plan, home, display)
    session.require_writable()
    check_arms(study_plan, home.root)
    session.reset()
    return session, display


def _carry_out(study_plan: "Planned", home: "Home", workers: int | None, engine: "Engine") -> None:
    """Train the missing runs with the engine's executor, and report."""
    session, display = _open(study_plan, home)
    hardware = study_plan.study.hardware
    layout, reason = study_plan.layout()
    missing = session.missing
    worker_count = engine.slots(workers, missing)
    if missing and layout.processes > 1:
        display.say(f"each run on {layout.processes} processes, {layout} ({reason})")
    if missing:
        session.prepare()
        _foretell(study_plan, home, display)
    workers_text = f"{worker_count} workers × {hardware.threads} threads"
    _begin(study_plan.plan.expected, missing, display, workers_text)
    try:
        summary = session.run(lambda context: engine.executor(context, workers, missing))
    finally:
        display.close()
    if summary.signal is not None and summary.killed:  # a second Ctrl-C: end without a report
        sys.exit(128 + summary.signal)
    if summary.broken:
        session.close([], complete=False)
        raise RunFailed(f"{summary.broken}; run `ablab run` again to continue")
    number = summary.signal
    if not (number or summary.failed or summary.stopped):
        number = _time_arms(session, engine, display)
    _conclude(session, display.console, interrupted=number is not None)
    if number is not None and summary.signal is None:
        sys.exit(128 + number)
    _report_problems(study_plan, summary, display)


def _time_arms(session: "Session", engine: "Engine", display: "Display") -> int | None:
    """Time the arms side by side. Return the number of the signal that interrupted it, if any."""
    from ablab.execute.signals import stop_signals_handled

    received: list[int] = []

    def handle(number: int, frame: Any) -> None:
        received.append(number)
        raise KeyboardInterrupt

    try:
        with stop_signals_handled(handle):
            problem = session.time_arms(engine)
    except KeyboardInterrupt:
        display.say("the arms are not timed completely; `ablab run` goes on with it")
        return received[0]
    if problem:
        display.say(f"the arms could not be timed: {problem}")
    return None


def _foretell(study_plan: "Planned", home: "Home", display: "Lines") -> None:
    """Print the sizes of the corpora, and what the study can tell, where that is known."""
    from ablab.analysis.forecast.power import power_forecasts
    from ablab.plan.corpus import corpora_of, uses_of
    from ablab.report.corpus import corpus_lines
    from ablab.report.forecast import forecast_lines

    plan = study_plan.plan
    corpora = corpora_of(plan, home.tokens, study_plan.excluded)
    for line in corpus_lines(uses_of(plan, corpora)):
        display.say(line)
    forecasts = power_forecasts(home, study_plan.request.name, plan)
    for part, forecast in zip(plan.parts, forecasts, strict=True):
        for line in forecast_lines(forecast, study_plan.study.metric) if forecast else ():
            display.say(f"{part.label}: {line}" if part.label else line)


def _begin(expected: "Expected", missing: int, display: "Lines", workers: str) -> None:
    """Print how many runs are expected and finished, and start the display."""
    total = expected.runs + expected.trials
    if not missing:
        display.say(f"all {total} runs are finished: nothing to train")
        return
    trials = f"{expected.trials} trials and " if expected.trials else ""
    display.say(f"{trials}{expected.text}, {total - missing} of them finished; {workers}")
    display.begin(missing, missing + (expected.most or expected.runs) - expected.runs)


def _report_problems(
    study_plan: "Planned", summary: "ExecutionSummary", display: "Display"
) -> None:
    """Exit or raise RunFailed unless all runs were trained."""
    if summary.signal is not None:
        sys.exit(128 + summary.signal)
    if summary.stopped:
        display.say(f"{len(summary.stopped)} runs were cancelled; `ablab run` resumes them")
    if summary.failed:
        plan = study_plan.plan
        total = plan.expected.runs + plan.expected.trials
        trials = len(summary.failed.keys() & {trial.run.key for trial in plan.trials})
        note = ""
        if trials:
            note = f" ({trials} of them are trials, which count as without a value: `ablab retry`)"
        raise RunFailed(
            f"{len(summary.failed)} of {total} runs failed; `ablab run` tries them again{note}"
        )


def _conclude(session: "Session", console: Any, *, interrupted: bool) -> None:
    """Print and write the report, and attach it to the study in MLflow."""
    from ablab.analysis.summarise import summarise
    from ablab.report.answer import print_answer
    from ablab.report.files import write_files

    record = session.record
    summary = summarise(record)
    files = write_files(summary, record)
    session.close(files, complete=summary.progress.complete, summary=summary)
    if not interrupted:
        print_answer(summary, console)
        console.print(f"report: {files[0]}", highlight=False, markup=False, soft_wrap=True)
        name = shlex.quote(record.name)
        console.print(f"compare the runs: ablab ui {name}", highlight=False, markup=False)
