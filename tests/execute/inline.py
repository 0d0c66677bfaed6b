"""Runs a study as `ablab run` does, in this process: without trackers, and without timing."""

from concurrent.futures import Future
from pathlib import Path

from ablab.analysis.summarise import summarise
from ablab.execute.session import Request, Session, planned
from ablab.execute.worker import Worker
from ablab.execute.worker_context import WorkerContext
from ablab.records.driver_lock import hold_driver_lease
from ablab.records.home import Home
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_spec import RunSpec
from ablab.tracking.trackers import Trackers
from tests.standin import Silent

# CORPUS stands for the pattern of the corpus' files, STEPS for the length of a run.
STUDY = """
question: Do rotary positions help?
from: gpt2
to: gpt2 + rope
model: {layers: 1, width: 16, heads: 2, context: 16}
data: {source: text, files: [CORPUS], tokenizer: {kind: byte}, holdout_bytes: 500}
budget: {steps: STEPS}
recipe: {batch_tokens: 32}
checkpoint_seconds: 1.0e-9
seeds: 2
"""


def write_study(file: Path, corpus: Path, steps: int) -> None:
    """Write a study of two arms on two seeds, whose runs write a checkpoint after every step."""
    text = STUDY.replace("CORPUS", str(corpus / "0*.txt")).replace("STEPS", str(steps))
    file.write_text(text)


class Never:
    """A stop signal that is never set."""

    def is_set(self) -> bool:
        return False


class InThisProcess:
    """An executor that trains each run at once, in this process."""

    slots = 1

    def __init__(self, context: WorkerContext) -> None:
        self._worker = Worker(context, Never())

    def submit(self, spec: RunSpec) -> "Future[AttemptOutcome]":
        future: Future[AttemptOutcome] = Future()
        future.set_result(self._worker.train(spec))
        return future

    def waits(self, future: "Future[AttemptOutcome]") -> bool:
        """Nothing ever waits."""
        return False

    def cancel(self, future: "Future[AttemptOutcome]") -> None: ...

    def stop(self) -> None: ...

    def kill(self) -> None: ...

    def close(self) -> None: ...


def carry_out(file: Path, home: Home) -> tuple[Session, list[str]]:
    """Train the missing runs of a study, and return what was said."""
    display = Silent()
    with hold_driver_lease(home, file.stem):
        session = Session(planned(Request(file, None, (), ()), home.root), home, display)
        session.trackers = Trackers([])
        session.require_writable()
        session.reset()
        summary = session.run(InThisProcess)
    assert not summary.failed
    return session, display.said


def figures(session: Session) -> dict[tuple[str, int], float]:
    """The metric by arm and seed, as the report states it."""
    arms = summarise(session.record).parts[0].arms
    return {(arm.name, item.seed): item.value for arm in arms for item in arm.values}
