"""Submits runs in arrays of jobs, and reads what came of them."""

import math
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress

from ablab.execute.executors.slurm_engine import queue
from ablab.execute.executors.slurm_engine.array import Array, arrays_of
from ablab.execute.executors.slurm_engine.live import Live
from ablab.execute.executors.slurm_engine.notes import ENDED, note
from ablab.execute.executors.slurm_engine.submission import Submission
from ablab.execute.worker import recorded_outcome
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.records.run_state import RunState

_LOOK_SECONDS = 1.0
_ASK_SECONDS = 5.0  # between two questions to the controller, which all users share
_JOB_SECONDS = 600.0  # that a job should take at least, in which starting it hardly counts

Queue = Mapping[str, Sequence[queue.QueuedJob]]


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
        arrays = [array for array in arrays_of(self._home) if _lives(queued, array)]
        self._live = [Live(array, mine=False) for array in arrays if not array.stopping]
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
            arrays = [live for live in self._live if spec.key in live.open]
            for live in arrays:
                live.mine = True
            if outcome is None and self._stopping:
                outcome = AttemptOutcome(RunState.INTERRUPTED)
            if outcome is None and not arrays and record.lease().held():
                outcome = AttemptOutcome(RunState.HELD)
            if outcome is not None:
                self._end(spec.key, outcome)
            elif not arrays:
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
        for live in list(self._live):
            self._conclude_lost(live, queued.get(live.array.name, ()))
            if not _lives(queued, live.array) and not live.begun:
                self._live.remove(live)
                self._conclude(live)
        if not self._stopping:
            self._flush(self._most_jobs - self._jobs)

    def _read(self, queued: Queue | None) -> None:
        """Read what jobs have noted since."""
        if queued is not None:
            self._jobs = sum(
                not job.ends
                for live in self._live
                if live.mine
                for job in queued.get(live.array.name, ())
            )
        for live in self._live:
            for number, row in live.array.new_notes():
                outcome = live.take(number, row)
                if outcome is None:
                    continue
                if outcome.busy_seconds:
                    self._seconds.append(outcome.busy_seconds)
                if outcome.state != RunState.INTERRUPTED or self._stopping:
                    self._end(row["key"], outcome)
            if queued is not None:
                jobs = queued.get(live.array.name, ())
                live.forget([job.number for job in jobs if job.waits])

    def _flush(self, room: int) -> None:
        """Submit runs that were handed in, in `room` jobs at most. The others are left for jobs
        that there is room for later.
        """
        if not self._buffer or room < 1:
            return
        share = max(self._runs_per_job, math.ceil(len(self._buffer) / self._most_jobs))
        jobs = min(room, math.ceil(len(self._buffer) / share))
        self._submit(jobs, jobs * share)

    def _submit(self, jobs: int, runs: int) -> None:
        keys, self._buffer = self._buffer[:runs], self._buffer[runs:]
        try:
            self._live.append(Live(self._submission.submit(keys, jobs), mine=True))
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
        for live in self._live:
            if live.mine and not live.open and not live.idle:
                queue.cancel_waiting(live.array.name)
                live.idle = True

    def _conclude_lost(self, live: Live, jobs: Sequence[queue.QueuedJob]) -> None:
        """Say that runs are lost whose jobs have ended before them."""
        alive = {job.number for job in jobs if not job.ends}
        how = {job.number: job.state for job in jobs if job.ends}
        for key, numbers in list(live.begun.items()):
            if not alive.isdisjoint(numbers):
                continue
            recorded = recorded_outcome(Record(self._home, key))
            if recorded is None and Record(self._home, key).lease().held():
                continue  # its process cannot be seen from here: until its heartbeat is old
            live.conclude(key)
            for number in numbers:
                note(live.array.folder, number, {"state": ENDED, "how": how.get(number, "")})
            number = min(numbers)
            job = live.job_ids.get(number, "?")
            state = f" ({how[number]})" if number in how else ""
            lost = AttemptOutcome(RunState.LOST, f"job {job} ended before the run{state}")
            self._end(key, recorded or lost)

    def _conclude(self, live: Live) -> None:
        """Say what became of the runs that no job of an ended array has reported."""
        for key in live.open:
            if any(key in other.open for other in self._live):
                continue
            reason = f"the jobs of {live.array.folder} ended before it began"
            outcome = AttemptOutcome(RunState.UNSTARTED, reason)
            if live.array.stopping or key in live.interrupted:
                outcome = AttemptOutcome(RunState.INTERRUPTED)
            record = Record(self._home, key)
            if record.lease().held():
                outcome = AttemptOutcome(RunState.HELD)
            self._end(key, recorded_outcome(record) or outcome)

    def _end(self, key: str, outcome: AttemptOutcome) -> None:
        future = self._futures.pop(key, None)
        if future is not None:
            del self._keys[future]
            future.set_result(outcome)

    def waits(self, future: "Future[AttemptOutcome]") -> bool:
        """Return whether a run waits for its job, or for its turn."""
        with self._lock:
            key = self._keys.get(future)
            return key is not None and not any(key in live.begun for live in self._live)

    def cancel(self, future: "Future[AttemptOutcome]") -> None:
        """Kill the job that trains a run; others go on with its list."""
        with self._lock:
            key = self._keys.pop(future, None)
            if key is None:
                return
            del self._futures[key]
            for live in self._live:
                for number in live.begun.get(key, set()):
                    note(live.array.folder, number, {"state": ENDED, "how": ""})
                    with suppress(queue.SlurmError):  # the controller is away
                        queue.kill_job(live.job_ids[number])
                live.conclude(key)

    def stop(self) -> None:
        """Have all runs write checkpoints, and all jobs of this driver end. Signal handlers call
        this.
        """
        self._stopping = True

    def _stop(self) -> None:
        """Stop jobs, and say of all runs that are not under way that they were interrupted."""
        mine = [live for live in self._live if live.mine]
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
            for live in self._live:
                if live.mine:
                    live.array.stop()
                    with suppress(queue.SlurmError):  # they end at their next checkpoint
                        queue.kill(live.array.name)

    def close(self) -> None:
        """Submit what was handed in, whether there is room or not, and leave the jobs to
        themselves.
        """
        self._closed.set()
        with self._lock, suppress(queue.SlurmError):
            if self._buffer:
                room = max(1, self._most_jobs - self._jobs)
                jobs = min(room, math.ceil(len(self._buffer) / self._runs_per_job))
                self._submit(jobs, len(self._buffer))
            self._cancel_idle()


def _lives(queued: Queue, array: Array) -> bool:
    return any(not job.ends for job in queued.get(array.name, ()))
