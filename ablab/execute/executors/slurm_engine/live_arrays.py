"""The arrays of a home whose jobs wait or run, and what becomes of their runs."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ablab.execute.executors.slurm_engine.array import Array, arrays_of
from ablab.execute.executors.slurm_engine.live import Live
from ablab.execute.executors.slurm_engine.notes import ENDED, note
from ablab.execute.executors.slurm_engine.queue import QueuedJob
from ablab.execute.worker import recorded_outcome
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_record import Record
from ablab.records.run_state import RunState

Queue = Mapping[str, Sequence[QueuedJob]]
Outcomes = Iterator[tuple[str, AttemptOutcome]]
"""Keys of runs, and what has become of them."""


class LiveArrays:
    """Starts with the arrays that are alive according to `queued`, whoever submitted them."""

    def __init__(self, home: Path, queued: Queue) -> None:
        self._home = home
        arrays = [array for array in arrays_of(home) if _lives(queued, array)]
        self._live = [Live(array, mine=False) for array in arrays if not array.stopping]

    @property
    def mine(self) -> list[Live]:
        """The arrays that have runs of this driver."""
        return [live for live in self._live if live.mine]

    def add(self, array: Array) -> None:
        """Add an array that this driver has submitted."""
        self._live.append(Live(array, mine=True))

    def claim(self, key: str) -> bool:
        """Return whether an array has a run of this driver that no job has reported on."""
        claimed = [live for live in self._live if key in live.open]
        for live in claimed:
            live.mine = True
        return bool(claimed)

    def jobs(self, queued: Queue) -> int:
        """Return how many jobs with runs of this driver wait or run."""
        return sum(not job.ends for live in self.mine for job in queued.get(live.array.name, ()))

    def has_begun(self, key: str) -> bool:
        """Return whether a job has begun a run and not reported on it."""
        return any(key in live.begun for live in self._live)

    def withdraw(self, key: str) -> list[str]:
        """Forget a run whose jobs are to be killed, and return their ids."""
        ids = []
        for live in self._live:
            for number in live.begun.get(key, set()):
                note(live.array.folder, number, {"state": ENDED, "how": ""})
                ids.append(live.job_ids[number])
            live.conclude(key)
        return ids

    def reported(self, queued: Queue | None) -> Outcomes:
        """Yield what jobs have noted since the last call."""
        for live in self._live:
            for number, row in live.array.new_notes():
                outcome = live.take(number, row)
                if outcome is not None:
                    yield row["key"], outcome
            if queued is not None:
                jobs = queued.get(live.array.name, ())
                live.forget([job.number for job in jobs if job.waits])

    def concluded(self, queued: Queue) -> Outcomes:
        """Yield what became of runs whose jobs have ended, and forget arrays that have ended."""
        for live in list(self._live):
            yield from self._lost(live, queued.get(live.array.name, ()))
            if not _lives(queued, live.array) and not live.begun:
                self._live.remove(live)
                yield from self._left(live)

    def _lost(self, live: Live, jobs: Sequence[QueuedJob]) -> Outcomes:
        """Yield the runs whose jobs have ended before them."""
        alive = {job.number for job in jobs if not job.ends}
        how = {job.number: job.state for job in jobs if job.ends}
        for key, numbers in list(live.begun.items()):
            if not alive.isdisjoint(numbers):
                continue
            record = Record(self._home, key)
            recorded = recorded_outcome(record)
            if recorded is None and record.lease().held():
                continue  # its process cannot be seen from here: until its heartbeat is old
            live.conclude(key)
            for number in numbers:
                note(live.array.folder, number, {"state": ENDED, "how": how.get(number, "")})
            number = min(numbers)
            state = f" ({how[number]})" if number in how else ""
            reason = f"job {live.job_ids.get(number, '?')} ended before the run{state}"
            yield key, recorded or AttemptOutcome(RunState.LOST, reason)

    def _left(self, live: Live) -> Outcomes:
        """Yield the runs that no job of an array reported on."""
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
            yield key, recorded_outcome(record) or outcome


def _lives(queued: Queue, array: Array) -> bool:
    return any(not job.ends for job in queued.get(array.name, ()))
