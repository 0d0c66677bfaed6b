"""Submits runs in arrays of jobs, and reads what came of them."""

import math
import threading
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
_JOB_SECONDS = 600.0  # that a job should take at least, in which starting it hardly counts

Queue = Mapping[str, Sequence[queue.QueuedJob]]


class SlurmExecutor:
    """Runs that are submitted within about a second become one array. Arrays of an earlier driver
    that still wait or run are taken over: their runs are not submitted again.

    A thread of its own submits arrays and looks what has become of them.

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
        self._buffer: list[str] = []
        self._futures: dict[str, Future[AttemptOutcome]] = {}  # by run key
        self._keys: dict[Future[AttemptOutcome], str] = {}
        self._seconds: list[float] = []  # that runs took
        queued = queue.jobs()
        self._live = [
            Live(a) for a in arrays_of(self._home) if _lives(queued, a) and not a.stopping
        ]
        self._jobs = 0  # that wait or run
        self._read(queued)
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        while not self._closed.wait(_LOOK_SECONDS):
            try:
                queued = queue.jobs()  # takes a while if the controller is busy
                with self._lock:
                    self._look(queued)
                    self._flush()
            except queue.SlurmError:
                continue  # the controller may be away for a while
            except Exception as error:  # the driver must hear of it
                with self._lock:
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
            if outcome is not None:
                self._end(spec.key, outcome)
            elif not any(spec.key in live.open for live in self._live):
                if record.lease().held():
                    self._end(spec.key, AttemptOutcome(RunState.HELD))
                else:
                    self._buffer.append(spec.key)
        return future

    def _flush(self) -> None:
        """Submit the runs that were handed in, as long as there may be more jobs."""
        room = self._most_jobs - self._jobs
        if not self._buffer or room < 1:
            return
        jobs = min(room, math.ceil(len(self._buffer) / self._runs_per_job))
        keys, self._buffer = self._buffer, []
        try:
            self._live.append(Live(self._submission.submit(keys, jobs)))
            self._jobs += jobs
        except queue.SlurmError as error:
            for key in keys:
                self._end(key, AttemptOutcome(RunState.UNSTARTED, str(error)))

    @property
    def _runs_per_job(self) -> int:
        chosen = self._submission.options.runs_per_job
        if chosen is not None or not self._seconds:
            return chosen or 1
        return max(1, round(_JOB_SECONDS * len(self._seconds) / sum(self._seconds)))

    def _look(self, queued: Queue) -> None:
        """Look what has become of runs, and forget arrays that have ended."""
        self._read(queued)
        self._cancel_idle()
        for live in list(self._live):
            self._conclude_lost(live, queued.get(live.array.name, ()))
            if not _lives(queued, live.array):
                self._live.remove(live)
                self._conclude(live)

    def _read(self, queued: Queue) -> None:
        """Read what jobs have noted since."""
        self._jobs = 0
        for live in self._live:
            jobs = queued.get(live.array.name, ())
            self._jobs += sum(not job.ends for job in jobs)
            live.wait([job.number for job in jobs if job.waits])
            for number, row in live.array.new_notes():
                outcome = live.take(number, row)
                if outcome is not None:
                    if outcome.busy_seconds:
                        self._seconds.append(outcome.busy_seconds)
                    self._end(row["key"], outcome)

    def _cancel_idle(self) -> None:
        """Cancel waiting jobs that have nothing left to train."""
        idle = [live for live in self._live if not live.open and not live.idle]
        queue.cancel_waiting([live.array.name for live in idle])
        for live in idle:
            live.idle = True

    def _conclude_lost(self, live: Live, jobs: Sequence[queue.QueuedJob]) -> None:
        """Say that runs are lost whose jobs have ended before them."""
        alive = {job.number for job in jobs if not job.ends}
        how = {job.number: job.state for job in jobs if job.ends}
        for key, number in list(live.begun.items()):
            if number in alive:
                continue
            del live.begun[key]
            live.open.discard(key)
            note(live.array.folder, number, {"state": ENDED, "how": how.get(number, "")})
            state = f" ({how[number]})" if number in how else ""
            reason = f"job {live.job_ids.get(number, '')} ended before the run{state}"
            self._end(key, self._outcome(key, AttemptOutcome(RunState.LOST, reason)))

    def _conclude(self, live: Live) -> None:
        """Say what became of the runs that no job of an ended array has reported."""
        for key in live.open:
            if any(key in other.open for other in self._live):
                continue
            state = RunState.INTERRUPTED if live.array.stopping else RunState.UNSTARTED
            outcome = AttemptOutcome(
                state, f"the jobs of {live.array.folder} ended before it began"
            )
            self._end(key, self._outcome(key, outcome))

    def _outcome(self, key: str, otherwise: AttemptOutcome) -> AttemptOutcome:
        """Return what the record of a run says of it, if anything."""
        record = Record(self._home, key)
        recorded = recorded_outcome(record)
        if recorded is not None:
            return recorded
        return AttemptOutcome(RunState.HELD) if record.lease().held() else otherwise

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
                live.open.discard(key)
                number = live.begun.pop(key, None)
                if number is not None:
                    with suppress(queue.SlurmError):  # the controller is away
                        queue.kill_job(live.job_ids[number])

    def stop(self) -> None:
        """Have all runs write checkpoints, and all jobs end."""
        with self._lock:
            for key in self._buffer:
                self._end(key, AttemptOutcome(RunState.INTERRUPTED))
            self._buffer = []
            for live in self._live:
                live.array.stop()
            with suppress(queue.SlurmError):  # they find nothing to do once they start
                queue.cancel_waiting([live.array.name for live in self._live])

    def kill(self) -> None:
        """Kill all jobs."""
        self._closed.set()
        with self._lock:
            for live in self._live:
                live.array.stop()
            with suppress(queue.SlurmError):  # they end at their next checkpoint
                queue.kill([live.array.name for live in self._live])

    def close(self) -> None:
        """Submit what was handed in, and leave the jobs to themselves."""
        self._closed.set()
        with self._lock, suppress(queue.SlurmError):
            self._flush()
            self._cancel_idle()


def _lives(queued: Queue, array: Array) -> bool:
    return any(not job.ends for job in queued.get(array.name, ()))
