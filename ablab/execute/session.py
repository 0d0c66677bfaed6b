"""One `ablab run`: from a file to a driven plan in a home."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from ablab.arch.counting.account import FLOP_CONVENTION
from ablab.errors import RunFailed, UserError
from ablab.execute.display import Display
from ablab.execute.driver import Driver
from ablab.execute.executors.base import Engine, Executor
from ablab.execute.notices import notices
from ablab.execute.request import Planned, Request, planned
from ablab.execute.summary import ExecutionSummary, RetryPolicy
from ablab.execute.worker_context import WorkerContext
from ablab.files import locked, require_writable, set_aside
from ablab.plan.content import study_content
from ablab.plan.plan import StudyPlan
from ablab.records.home import Home
from ablab.records.provenance import provenance
from ablab.records.run_record import Record
from ablab.records.study_content import TrackerState
from ablab.records.study_origin import record_file
from ablab.records.study_record import Execution, StudyRecord
from ablab.spec.addresses import redacted
from ablab.text.numbers import duration
from ablab.tracking.mlflow.tracker import MlflowTracker
from ablab.tracking.optuna.tracker import OptunaTracker
from ablab.tracking.trackers import Trackers, closing_seconds

if TYPE_CHECKING:
    from ablab.analysis.summary import StudySummary
    from ablab.execute.timing.stage import TimingStage

__all__ = ["Planned", "Request", "Session", "planned"]


class Session:
    """An execution of a planned study in a home."""

    def __init__(self, planned: Planned, home: Home, display: Display) -> None:
        self.planned = planned
        self.home = home
        self.display = display
        study = planned.study
        self.record = StudyRecord(home, planned.request.name, study.revision())
        mlflow = MlflowTracker(self.record, study, display.say)
        optuna = OptunaTracker(self.record, study, display.say)
        self.trackers = Trackers(
            [mlflow, optuna], display.say, closing_seconds([mlflow.uri, optuna.storage])
        )
        self._expected = 0
        self._prepared: set[str] = set()  # fingerprints of the corpora
        uri = study.tracking.uri if study.tracking is not None else None
        self._sources = provenance(
            command=planned.request.command,
            flop_convention=FLOP_CONVENTION,
            tracking=redacted(uri, uri) if uri else None,
            checked=not planned.request.skip_checks,
        )

    def require_writable(self) -> None:
        """Raise UserError if this user may not write what the study needs.

        Runs that another driver trains are not this one's to write.
        """
        root = self.home.root
        records = [
            Record(root, key)
            for key in self.planned.plan.unique.keys() - self.planned.settled(root)
        ]
        folders = [record.folder for record in records if not record.lease().held()]
        require_writable([self.home.tokens, self.record.path.parent, self.record.reports, *folders])

    @property
    def missing(self) -> int:
        """Number of runs and trials that are not finished, as far as it is known."""
        return self.planned.missing(self.home.root)

    def reset(self) -> None:
        """Make runs that failed or were cancelled available again.

        A trial that failed counts as one without a value, since others were chosen on its account;
        `ablab retry` tries it again.
        """
        for key in self.planned.plan.unique.keys() - self.planned.settled(self.home.root):
            Record(self.home.root, key).reset()

    def run(self, make_executor: Callable[[WorkerContext], Executor]) -> ExecutionSummary:
        """Train the runs that are not finished. The records are complete before the trackers."""
        source = self.planned.source
        plan = self.planned.plan
        if source.done:
            self.write()
            if not self.is_tracked():
                self.trackers.open(plan)
            return ExecutionSummary()
        self._begin()
        driver = self._driver(make_executor)
        try:
            summary = driver.drive(source)
        finally:
            driver.close()
        if summary.broken:  # the disk may be full
            return summary
        self.planned.costs.write()  # a search counts arms as it goes
        if summary.signal is None:
            self.write()  # another driver that knew less may have written meanwhile
        self.record.executed(self._execution(summary))
        return summary

    def hand_out(self, make_executor: Callable[[WorkerContext], Executor]) -> int:
        """Leave the runs that can be trained now to the queue of an engine. Return their number.

        Raises:
            RunFailed: if the engine does not take them.

        """
        if self.planned.source.done:
            return 0
        self._begin()
        driver = self._driver(make_executor)
        count = driver.hand_out(self.planned.source)
        if driver.summary.broken:
            raise RunFailed(driver.summary.broken)
        return count

    def _begin(self) -> None:
        """Write what is to be there before the first run."""
        self.home.create()
        for line in notices(self.planned, self.record):
            self.display.say(line)
        self.prepare()
        plan = self.planned.plan
        self._expected = plan.expected.runs + plan.expected.trials
        self.planned.source.changed = self._replanned
        self.write()

    def _driver(self, make_executor: Callable[[WorkerContext], Executor]) -> Driver:
        retry_policy = RetryPolicy(self.planned.study.retries, self.planned.study.stall_seconds)
        executor = make_executor(self.planned.context(self.home.root))
        return Driver(self.home.root, executor, self.trackers, self.display, retry_policy)

    def time_arms(self, engine: Engine) -> str:
        """Time the arms side by side, if that is due. Return what went wrong; empty if nothing did.

        Runs that several processes share are not timed.

        Raises:
            KeyboardInterrupt: the rounds so far are recorded.

        """
        from ablab.execute.timing.stage import TimingStage  # imports Lightning

        context = self.planned.context(self.home.root)
        if context.layout.processes > 1 or not self.planned.source.done:
            return ""
        devices = self.planned.study.hardware.shares()
        device = devices[0] if devices else None
        context = replace(context, device=device)
        stall_seconds = self.planned.study.stall_seconds
        # Another driver of the study that ends at the same time waits, and finds it done.
        with locked(self.record.timings.path.with_suffix(".lock")):
            try:
                stage = TimingStage(self.record, self.planned.plan, context, stall_seconds)
            except UserError as error:
                return str(error)
            return self._run_stage(stage, engine) if stage.due else ""

    def _run_stage(self, stage: "TimingStage", engine: Engine) -> str:
        self.display.say(
            f"timing {len(stage.specs)} arm(s) side by side: about {duration(stage.seconds)}, "
            "longer if other processes are busy"
        )
        begin = time.time()
        try:
            return engine.time_arms(stage)
        finally:
            now = time.time()
            self.record.executed(Execution(now, now - begin, 1, busy_seconds=0.0, trained=0))

    def write(self) -> None:
        """Write the study's record, and the costs that were counted for it."""
        self._write(self.planned.plan)
        moved = record_file(self.home, self.record.name, self.planned.request.file)
        if moved is not None:
            self.display.say(
                f"this study was run from {moved}, which is gone: it goes on with "
                f"{self.planned.request.file}"
            )
        self.planned.costs.write()

    def _replanned(self, plan: StudyPlan) -> None:
        expected = plan.expected.runs + plan.expected.trials
        if expected != self._expected:
            self.display.expect(expected - self._expected)
            self._expected = expected
        self._write(plan)
        self.trackers.replanned(plan)

    def _write(self, plan: StudyPlan) -> None:
        content = study_content(self.record, self.planned.study, plan, self._sources)
        self.record.write(content)

    def is_tracked(self) -> bool:
        """Return whether MLflow shows all of this plan already."""
        is_local = not self.home.tracking_uri(self.planned.study).startswith("http")
        if is_local and not any(self.home.mlflow.glob("*.db")):
            return False  # the store was deleted
        return self.record.mirrored == self._tracked_content()

    def close(
        self, files: Sequence[Path], *, complete: bool, summary: "StudySummary | None" = None
    ) -> None:
        """Attach the report's files and results to the study in its trackers, and wait for them."""
        if self.trackers.close(files, complete=complete, summary=summary) and complete:
            self.record.note_mirrored(self._tracked_content())

    def _tracked_content(self) -> TrackerState:
        uri = self.home.tracking_uri(self.planned.study)
        return TrackerState(redacted(uri, uri), tuple(sorted(self.planned.plan.unique)))

    def prepare(self) -> None:
        """Tokenize the corpus, unless it is done. Damaged tokens are set aside and made again.

        Raise UserError if there is too little text, or if it changed after it was planned.
        """
        from ablab.data.store import prepare, store_damage

        plan = self.planned.plan
        longest: dict[str, int] = {}
        for run in (*plan.runs, *(trial.run for trial in plan.trials)):
            longest[run.data] = max(longest.get(run.data, 0), run.dims["context"] or 0)
        for fingerprint in longest.keys() - self._prepared:
            folder = self.home.tokens / fingerprint
            damage = store_damage(folder)
            if damage:
                self.display.say(f"{damage}: the tokens are set aside")
                set_aside([folder])
            if not folder.exists():
                self.display.say("preparing the corpus: tokenizing once, for all runs")
            excluded = self.planned.excluded
            store = prepare(plan.data[fingerprint], self.home.tokens, excluded)
            if store.fingerprint != fingerprint:
                raise UserError("the corpus changed after it was planned: run the command again")
            tokens = store.splits["train"].tokens
            if tokens <= longest[fingerprint]:
                raise UserError(
                    f"the training split has {tokens} tokens, fewer than one sequence of "
                    f"{longest[fingerprint] + 1}"
                )
            self._prepared.add(fingerprint)

    def _execution(self, summary: ExecutionSummary) -> Execution:
        now = time.time()
        return Execution(
            time=now,
            # From the start of this process: importing and planning are overhead too.
            wall_seconds=now - psutil.Process().create_time(),
            workers=summary.workers,
            busy_seconds=summary.busy_seconds,
            trained=summary.trained,
        )
