"""What a job of an array does: it trains the runs of the array's list, one after another, until
none is left.

All jobs of an array have the same list and begin at different places of it; the lease of a run
decides which of them trains it. So jobs last as long as there is work, however long runs are, and
one that starts late takes over what the others have not begun.
"""

import os
import signal
import socket
from concurrent.futures import Future, wait
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from ablab.execute.executors.base import Executor, outcome_of
from ablab.execute.executors.cluster import ClusterExecutor, find_cluster
from ablab.execute.executors.local import LocalExecutor
from ablab.execute.executors.slurm_engine.array import Array
from ablab.execute.executors.slurm_engine.notes import BEGAN, ENDED, STARTED, note, this_job
from ablab.execute.worker import recorded_outcome
from ablab.execute.worker_context import WorkerContext
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.records.run_state import RunState
from ablab.version import __version__

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

_LOOK_SECONDS = 0.5
_CHECKPOINT_SECONDS = 60.0
_KILL_SECONDS = 900.0  # within which SLURM kills a job that it has sent SIGTERM
_LAST = (RunState.INTERRUPTED, RunState.BLOCKED, RunState.UNSTARTED)  # no other would be trained
_AHEAD = signal.SIGUSR2  # what submitit has SLURM send ahead of the end


@dataclass(frozen=True)
class Task:
    """What a job is to do: `number` tells which of the `jobs` jobs of an array it is."""

    folder: Path
    number: int
    jobs: int
    context: WorkerContext
    version: str = __version__


class Job:
    """A job of an array. submitit pickles it, calls it in each process that srun starts, and calls
    `checkpoint` ahead of the job's end.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._key = ""
        self._running: Future[AttemptOutcome] | None = None
        self._executor: Executor | None = None
        self._terminated = False

    def __call__(self) -> None:
        """Train what is left of the list, or take part in that."""
        context = self._task.context
        cluster = find_cluster() if context.layout.processes > 1 else None
        if cluster is not None and cluster.rank > 0:
            cluster.follow(context)
            return
        self._note(state=STARTED, job=this_job(), host=socket.gethostname())
        if self._task.version != __version__:
            raise RuntimeError(f"ablab {self._task.version} submitted this, here is {__version__}")
        self._take_signals()
        with cluster.lead() if cluster is not None else nullcontext():
            if cluster is not None:
                self._executor = ClusterExecutor(cluster, context)
            else:
                self._executor = self._start_workers()
            interrupted = self._train_all(self._executor)
            self._executor.kill()
        if interrupted and self._terminated:
            self._await_end()
        self._note(state=ENDED, how="COMPLETED")

    def _start_workers(self) -> Executor:
        """Start an executor for runs of one process."""
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES")
        return LocalExecutor(1, self._task.context, [gpus] if gpus else [])

    def _take_signals(self) -> None:
        """Have SIGTERM end the run, and the signal ahead of the end wait for `_wait`. All processes
        that are started meanwhile, and get it as well, never take it.
        """
        signal.signal(signal.SIGTERM, self._terminate)
        signal.pthread_sigmask(signal.SIG_BLOCK, [_AHEAD])

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        self._terminated = True

    def _wait(self, future: "Future[AttemptOutcome]", seconds: float) -> None:
        """Wait for a run; meanwhile SLURM may end the job."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [_AHEAD])
        try:
            wait([future], seconds)
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, [_AHEAD])

    def _train_all(self, executor: Executor) -> bool:
        """Train what nobody else does. Return whether that was interrupted."""
        array = Array.open(self._task.folder)
        first = len(array.keys) * self._task.number // self._task.jobs
        for key in (*array.keys[first:], *array.keys[:first]):
            record = Record(self._task.context.home, key)
            spec = record.spec
            if self._stops(array):
                return True
            if spec is None or recorded_outcome(record) is not None or record.lease().held():
                continue
            state = self._train(executor, array, spec)
            if state in _LAST:
                return state == RunState.INTERRUPTED
        return False

    def _stops(self, array: Array) -> bool:
        return self._terminated or array.stopping

    def _train(self, executor: Executor, array: Array, spec: RunSpec) -> RunState:
        self._key = spec.key
        self._note(key=spec.key, state=BEGAN)
        self._running = executor.submit(spec)
        while not self._running.done():
            if self._stops(array):
                executor.stop()
            self._wait(self._running, _LOOK_SECONDS)
        outcome = outcome_of(self._running)
        self._running = None
        self._note_outcome(outcome)
        return outcome.state

    def _note_outcome(self, outcome: AttemptOutcome) -> None:
        self._note(
            key=self._key,
            state=outcome.state,
            reason=outcome.reason,
            busy_seconds=outcome.busy_seconds,
            pid=outcome.pid,
            notes=list(outcome.notes),
        )

    def _note(self, **row: object) -> None:
        note(self._task.folder, self._task.number, row)

    def _await_end(self) -> None:
        """Wait until SLURM kills this job: one that is preempted and ends by itself before would
        not be queued again.
        """
        never: Future[AttemptOutcome] = Future()
        self._wait(never, _KILL_SECONDS)

    def checkpoint(self) -> "DelayedSubmission":
        """Have the run write a checkpoint, and return what goes on when the job starts again."""
        from submitit.helpers import DelayedSubmission

        if self._executor is not None and self._running is not None:
            self._executor.stop()
            wait([self._running], _CHECKPOINT_SECONDS)
            if self._running.done():
                self._note_outcome(outcome_of(self._running))
        return DelayedSubmission(type(self)(self._task))
