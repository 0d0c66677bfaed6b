"""Submits runs in arrays of jobs, and reads what came of them."""

import math
import signal
import threading
import time
from concurrent.futures import Future
from contextlib import suppress

from ablab.execute.executors.slurm_engine import queue
from ablab.execute.executors.slurm_engine.live_arrays import LiveArrays, Queue
from ablab.execute.executors.slurm_engine.submission import Submission
from ablab.execute.worker import recorded_outcome
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.records.run_state import RunState

_LOOK_SECONDS = 1.0
_ASK_SECONDS = 5.0  # between two questions to the controller, which all users share
_JOB_SECONDS = 600.0  # that a job should take at least, in which starting it hardly counts


class SlurmExecutor:
    """Runs that are submitted within about a second become one array. Arrays of an earlier driver
    that still wait or run are taken over: their runs are not submitted again.

    A thread of its own submits arrays and looks what has become of them; `submit` and `stop` only
    tell it what to do.

    Args:
        submission: how runs are submitted.
        slots: how many runs may wait or run at a time.
        most_jobs: how many jobs may wait or run at a time.

    """

    def __init__(self, submission: Submission, slots: int, most_jobs: int) -> None:
        self.slots = slots
        self._submission = submission
        self._home = submission.context.home
        self._most_jobs = most_jobs
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._stopping = False
        self._stopped = False
        self._buffer: list[str] = []
        self._futures: dict[str, Future[AttemptOutcome]] = {}  # by run key
        self._keys: dict[Future[AttemptOutcome], str] = {}
        self._seconds: list[float] = []  # that runs took
        self._jobs = 0  # of this driver's runs, that wait or run
        queued = queue.jobs()
        self._ask_time = time.monotonic()
        self._arrays = LiveArrays(self._home, queued)
        self._read(queued)
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        # Commands that are started here inherit that: a Ctrl-C is for the driver.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM])
        while not self._closed.wait(_LOOK_SECONDS):
            try:
                asks = bool(self._buffer) or time.monotonic() - self._ask_time > _ASK_SECONDS
                queued = queue.jobs() if asks else None  # takes a while if the controller is busy
                with self._lock:
                    if not self._closed.is_set():
                        self._look(queued)
            except queue.SlurmError:
                continue  # the controller may be away for a while
            except Exception as error:  # the driver must hear of it
                with self._lock:
                    self._buffer.clear()
                    for key in list(self._futures):
                        self._end(key, AttemptOutcome(RunState.UNSTARTED, str(error)))

    def submit(self, spec: RunSpec) -> "Future[AttemptOutcome]":
        """Have a run submitted with the next array, unless a live array has it."""
        future: Future[AttemptOutcome] = Future()
        record = Record(self._home, spec.key)
        with self._lock:
            self._futures[spec.key] = future
            self._keys[future] = spec.key
            outcome = recorded_outcome(record)
            is_submitted = self._arrays.claim(spec.key)
            if outcome is None and self._stopping:
                outcome = AttemptOutcome(RunState.INTERRUPTED)
            if outcome is None and not is_submitted and record.lease().held():
                outcome = AttemptOutcome(RunState.HELD)
            if outcome is not None:
                self._end(spec.key, outcome)
            elif not is_submitted:
                self._buffer.append(spec.key)
        return future

    def _look(self, queued: Queue | None) -> None:
        """Do what is to be done now. `queued`: what the queue says, if it was asked."""
        self._read(queued)
        if self._stopping:
            self._stop()
        if queued is None:
            return
        self._ask_time = time.monotonic()
        self._cancel_idle()
        for key, outcome in self._arrays.concluded(queued):
            self._end(key, outcome)
        if not self._stopping:
            self._flush(self._most_jobs - self._jobs)

    def _read(self, queued: Queue | None) -> None:
        """Read what jobs have noted since."""
        for key, outcome in self._arrays.reported(queued):
            if outcome.busy_seconds:
                self._seconds.append(outcome.busy_seconds)
            if outcome.state != RunState.INTERRUPTED or self._stopping:
                self._end(key, outcome)
        if queued is not None:
            self._jobs = self._arrays.jobs(queued)

    def _flush(self, room: int, *, everything: bool = False) -> None:
        """Submit runs that were handed in, in `room` jobs at most: `everything`, or else this many
        jobs' share. The others are left for jobs that there is room for later.
        """
        if not self._buffer or room < 1:
            return
        wanted = min(self._most_jobs, math.ceil(len(self._buffer) / self._runs_per_job))
        jobs = min(room, wanted)
        runs = len(self._buffer) if everything else math.ceil(len(self._buffer) * jobs / wanted)
        keys, self._buffer = self._buffer[:runs], self._buffer[runs:]
        try:
            self._arrays.add(self._submission.submit(keys, jobs))
            self._jobs += jobs
        except (queue.SlurmError, OSError) as error:
            for key in keys:
                self._end(key, AttemptOutcome(RunState.UNSTARTED, str(error)))

    @property
    def _runs_per_job(self) -> int:
        chosen = self._submission.options.runs_per_job
        if chosen is not None or not self._seconds:
            return chosen or 1
        return max(1, round(_JOB_SECONDS * len(self._seconds) / sum(self._seconds)))

    def _cancel_idle(self) -> None:
        """Cancel waiting jobs that have nothing left to train."""
        for live in self._arrays.mine:
            if not live.open and not live.idle:
                live.idle = True
                with suppress(queue.SlurmError):  # they find nothing to do once they start
                    queue.cancel_waiting(live.array.name)

    def _end(self, key: str, outcome: AttemptOutcome) -> None:
        future = self._futures.pop(key, None)
        if future is not None:
            del self._keys[future]
            future.set_result(outcome)

    def waits(self, future: "Future[AttemptOutcome]") -> bool:
        """Return whether a run waits for its job, or for its turn."""
        with self._lock:
            key = self._keys.get(future)
            return key is not None and not self._arrays.has_begun(key)

    def cancel(self, future: "Future[AttemptOutcome]") -> None:
        """Kill the job that trains a run; others go on with its list."""
        with self._lock:
            key = self._keys.pop(future, None)
            if key is None:
                return
            del self._futures[key]
            for job in self._arrays.withdraw(key):
                with suppress(queue.SlurmError):  # the controller is away
                    queue.kill_job(job)

    def stop(self) -> None:
        """Have all runs write checkpoints, and all jobs of this driver end. Signal handlers call
        this.
        """
        self._stopping = True

    def _stop(self) -> None:
        """Stop jobs, and say of all runs that are not under way that they were interrupted."""
        mine = self._arrays.mine
        if not self._stopped:
            self._stopped = True
            self._buffer.clear()
            for live in mine:
                live.array.stop()
                with suppress(queue.SlurmError):  # they find nothing to do once they start
                    queue.cancel_waiting(live.array.name)
        begun = {key for live in mine for key in live.begun}
        for key in self._futures.keys() - begun:
            self._end(key, AttemptOutcome(RunState.INTERRUPTED))

    def kill(self) -> None:
        """Kill all jobs of this driver."""
        self._closed.set()
        with self._lock:
            self._buffer.clear()
            for live in self._arrays.mine:
                live.array.stop()
                with suppress(queue.SlurmError):  # they end at their next checkpoint
                    queue.kill(live.array.name)

    def close(self) -> None:
        """Submit what was handed in, whether there is room or not, and leave the jobs to
        themselves.
        """
        self._closed.set()
        with self._lock:
            self._flush(max(1, self._most_jobs - self._jobs), everything=True)
            self._cancel_idle()
