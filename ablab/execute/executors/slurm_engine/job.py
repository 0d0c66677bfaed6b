"""What a job of an array does: it trains the runs of the array's list, one after another, until
none is left.

All jobs of an array have the same list and begin at different places of it; the lease of a run
decides which of them trains it. So jobs last as long as there is work, however long runs are, and
one that starts late takes over what the others have not begun.
"""

import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from ablab.execute.executors.base import Executor, outcome_of
from ablab.execute.executors.cluster import ClusterExecutor, find_cluster
from ablab.execute.executors.local import LocalExecutor
from ablab.execute.executors.slurm_engine.array import Array
from ablab.execute.executors.slurm_engine.notes import BEGAN, ENDED, STARTED, note
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
_SHARE_FOR_CHECKPOINT = 0.8  # of the time that SLURM leaves to a job
_SHARE_FOR_WORKER = 0.9  # of the memory of a job
_KILL_SECONDS = 900.0  # within which SLURM kills a job that it has sent SIGTERM
_LAST = (RunState.INTERRUPTED, RunState.BLOCKED, RunState.UNSTARTED)  # no other would be trained
_AHEAD = signal.SIGUSR2  # what submitit has SLURM send ahead of the end


@dataclass(frozen=True)
class Task:
    """What a job is to do: `number` tells which of the `jobs` jobs of an array it is."""

    folder: Path
    number: int
    jobs: int
    signal_seconds: int
    """How long before its end SLURM tells a job."""
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
        self._ends_soon = False

    def __call__(self) -> None:
        """Train what is left of the list, or take part in that."""
        context = self._task.context
        cluster = find_cluster() if context.layout.processes > 1 else None
        if cluster is not None and cluster.rank > 0:
            cluster.follow(context)
            return
        self._note(state=STARTED, job=_own_id(), host=socket.gethostname())
        if self._task.version != __version__:
            raise RuntimeError(f"ablab {self._task.version} submitted this, here is {__version__}")
        self._array = Array.open(self._task.folder)
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
        context = replace(self._task.context, memory=_allocated_memory())
        with _kept_from_children(_AHEAD):
            return LocalExecutor(1, context, [gpus] if gpus else [])

    def _take_signals(self) -> None:
        """Note signals, so that they are dealt with between runs or while one is waited for."""
        self._requeue = signal.getsignal(_AHEAD)  # submitit's
        signal.signal(_AHEAD, self._note_end)
        signal.signal(signal.SIGTERM, self._terminate)

    def _note_end(self, number: int, frame: FrameType | None) -> None:
        self._ends_soon = True

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        self._terminated = True

    def _look_at_signals(self) -> None:
        """Have submitit queue this job again and end it, if SLURM is about to."""
        if self._ends_soon and callable(self._requeue):
            self._requeue(_AHEAD, None)

    def _train_all(self, executor: Executor) -> bool:
        """Train what nobody else does. Return whether that was interrupted."""
        keys = self._array.keys
        first = len(keys) * self._task.number // self._task.jobs
        for key in (*keys[first:], *keys[:first]):
            self._look_at_signals()
            if self._stops():
                return True
            record = Record(self._task.context.home, key)
            spec = record.spec
            if spec is None or recorded_outcome(record) is not None or record.lease().held():
                continue
            if not self._array.take(key, self._task.number):
                continue
            state = self._train(executor, spec)
            if state in _LAST:
                return state == RunState.INTERRUPTED
        return False

    def _stops(self) -> bool:
        return self._terminated or self._array.stopping

    def _train(self, executor: Executor, spec: RunSpec) -> RunState:
        self._key = spec.key
        self._note(key=spec.key, state=BEGAN)
        with _kept_from_children(_AHEAD):
            self._running = executor.submit(spec)
        while not self._running.done():
            self._look_at_signals()
            if self._stops():
                executor.stop()
            wait([self._running], _LOOK_SECONDS)
        outcome = outcome_of(self._running)
        self._running = None
        self._note_outcome(outcome)
        return outcome.state

    def _note_outcome(self, outcome: AttemptOutcome) -> None:
        if outcome.state == RunState.LOST:
            # It is seen from this machine that its process is gone, but perhaps not from others.
            Record(self._task.context.home, self._key).lease().clear()
        if outcome.state == RunState.INTERRUPTED:
            self._array.give_back(self._key)
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
        end = time.monotonic() + _KILL_SECONDS
        while time.monotonic() < end:
            self._look_at_signals()
            time.sleep(_LOOK_SECONDS)

    def checkpoint(self) -> "DelayedSubmission":
        """Have the run write a checkpoint, and return what goes on when the job starts again."""
        from submitit.helpers import DelayedSubmission

        if self._executor is not None and self._running is not None:
            self._executor.stop()
            wait([self._running], _SHARE_FOR_CHECKPOINT * self._task.signal_seconds)
            if self._running.done():
                self._note_outcome(outcome_of(self._running))
        return DelayedSubmission(type(self)(self._task))


@contextmanager
def _kept_from_children(number: signal.Signals) -> Iterator[None]:
    """Have the processes and threads that are started meanwhile never take a signal, which SLURM
    sends to all processes of a job.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [number])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _allocated_memory() -> int | None:
    """Return the bytes that a worker may allocate of the memory that SLURM gave to this job; None
    if it did not say.
    """
    of_node = int(os.environ.get("SLURM_MEM_PER_NODE", "0"))
    of_cpu = int(os.environ.get("SLURM_MEM_PER_CPU", "0"))
    megabytes = of_node or of_cpu * int(os.environ.get("SLURM_CPUS_ON_NODE", "1"))
    return int(_SHARE_FOR_WORKER * megabytes * 2**20) if megabytes else None


def _own_id() -> str:
    """Return the id of the job that this process belongs to, as `12_3`."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    if array is None:
        return os.environ["SLURM_JOB_ID"]
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
