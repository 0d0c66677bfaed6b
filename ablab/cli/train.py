"""Trains the missing runs of a study and reports: `ablab run`, and other commands that train."""

import shlex
import sys
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ablab.errors import RunFailed, UserError

if TYPE_CHECKING:
    from rich.console import Console

    from ablab.cli.display import Lines
    from ablab.execute.display import Display
    from ablab.execute.executors.base import Engine
    from ablab.execute.session import Planned, Request, Session
    from ablab.execute.summary import ExecutionSummary
    from ablab.plan.plan import Expected
    from ablab.records.home import Home


@dataclass(frozen=True)
class StudyTraining:
    """Trains studies in a home."""

    home: "Home"
    """Where runs are recorded."""
    workers: int | None = None
    """Number of workers; None for the engine's default."""
    to_stderr: bool = False
    """Whether progress is printed to stderr."""
    answers: bool = True
    """Whether the answer of the study is printed at its end."""

    def train(self, request: "Request", *, detach: bool = False) -> None:
        """Check a request before anything is created, then plan and train under the study's lock.

        Raises:
            UserError: if the request is invalid.
            RunFailed: if runs failed.
            SystemExit: with 128 + the number of the signal that interrupted it.

        """
        from ablab.execute.check_stage import check_arms
        from ablab.execute.earlier_looks import require_planned_looks
        from ablab.execute.session import planned
        from ablab.files import require_writable
        from ablab.records.driver_lock import hold_driver_lease

        root = self.home.root
        study_plan: Planned | None = None
        engine: Engine | None = None
        if not root.exists():  # plan first, so that invalid input creates no home
            study_plan = planned(request, root)
            engine = self._checked_engine(study_plan, detach=detach)
            check_arms(study_plan, root)
        require_writable([root])
        with hold_driver_lease(self.home, request.name):
            # Planned under the lock, so that no finished run it relies on can be removed.
            study_plan = study_plan or planned(request, root)
            engine = engine or self._checked_engine(study_plan, detach=detach)
            require_planned_looks(study_plan, self.home)
            with engine.leading():
                carry_out = self._hand_out if detach else self._carry_out
                carry_out(study_plan, engine)

    @cached_property
    def console(self) -> "Console":
        """Where progress is printed."""
        from rich.console import Console

        return Console(stderr=self.to_stderr)

    def _checked_engine(self, study_plan: "Planned", *, detach: bool) -> "Engine":
        """Return the study's engine, which can train its missing runs."""
        from ablab.execute.executors.choose import choose_engine

        engine = choose_engine(study_plan.study)
        if detach and not engine.queues:
            name = study_plan.study.execution.engine
            raise UserError(f"--detach: engine {name} has no queue: its runs end with `ablab run`")
        root = self.home.root
        engine.check(study_plan.context(root), study_plan.missing(root))
        return engine

    def _hand_out(self, study_plan: "Planned", engine: "Engine") -> None:
        """Leave the runs that can be trained now to the engine's queue."""
        session, _ = self.open(study_plan)
        missing = session.missing
        count = session.hand_out(lambda context: engine.executor(context, self.workers, missing))
        name = shlex.quote(session.record.name)
        print(
            f"left to the queue: {count} of the {missing} runs that are missing; "
            f"`ablab status {name}{self.home.option}` shows the jobs, and the same command "
            "without --detach goes on"
        )

    def open(self, study_plan: "Planned") -> "tuple[Session, Lines]":
        """Return the session of a study whose arms and files are in order, and its display."""
        from ablab.cli.display import make_display
        from ablab.execute.check_stage import check_arms
        from ablab.execute.session import Session

        display = make_display(self.console, study_plan.study.metric)
        session = Session(study_plan, self.home, display)
        session.require_writable()
        check_arms(study_plan, self.home.root)
        session.reset()
        return session, display

    def _carry_out(self, study_plan: "Planned", engine: "Engine") -> None:
        """Train the missing runs with the engine's executor, and report."""
        session, display = self.open(study_plan)
        hardware = study_plan.study.hardware
        layout, reason = study_plan.layout()
        missing = session.missing
        worker_count = engine.slots(self.workers, missing)
        if missing and layout.processes > 1:
            display.say(f"each run on {layout.processes} processes, {layout} ({reason})")
        if missing:
            session.prepare()
            _foretell(study_plan, self.home, display)
        workers_text = f"{worker_count} workers × {hardware.threads} threads"
        _begin(study_plan.plan.expected, missing, display, workers_text)
        try:
            summary = session.run(lambda context: engine.executor(context, self.workers, missing))
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
        self._conclude(session, interrupted=number is not None)
        if number is not None and summary.signal is None:
            sys.exit(128 + number)
        _report_problems(study_plan, summary, display)

    def _conclude(self, session: "Session", *, interrupted: bool) -> None:
        """Print and write the report, and attach it to the study in MLflow."""
        from ablab.analysis.summarise import summarise
        from ablab.report.answer import print_answer
        from ablab.report.files import write_files

        record = session.record
        summary = summarise(record)
        files = write_files(summary, record)
        session.close(files, complete=summary.progress.complete, summary=summary)
        if self.answers and not interrupted:
            print_answer(summary, self.console, self.home.option)
            self.console.print(f"report: {files[0]}", highlight=False, markup=False, soft_wrap=True)
            name = shlex.quote(record.name)
            command = f"ablab ui {name}{self.home.option}"
            self.console.print(f"compare the runs: {command}", highlight=False, markup=False)


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
