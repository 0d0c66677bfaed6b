"""Arrays whose jobs wait or run, as the driver sees them."""

from collections.abc import Collection
from typing import Any

from ablab.execute.executors.slurm_engine.array import Array
from ablab.execute.executors.slurm_engine.notes import BEGAN, ENDED, STARTED
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_state import RunState


class Live:
    """What is known of an array and of its runs.

    Args:
        array: the array.
        mine: whether runs of this driver are in it; others belong to other studies of the home.

    """

    def __init__(self, array: Array, *, mine: bool) -> None:
        self.array = array
        self.mine = mine
        self.open = set(array.keys)
        """Runs of which no outcome is known."""
        self.interrupted: set[str] = set()
        """Runs that wrote a checkpoint and are not through."""
        self.job_ids: dict[int, str] = {}
        self.idle = False
        """Whether its waiting jobs were cancelled, since they have nothing to train."""
        self.begun: dict[str, set[int]] = {}
        """The jobs that have begun a run and not reported on it, by the run's key. If there are
        several, one of them trains it, and the others are about to see that.
        """

    def forget(self, numbers: Collection[int]) -> None:
        """Forget what jobs had begun: they have ended, or are queued again."""
        left = {key: jobs.difference(numbers) for key, jobs in self.begun.items()}
        self.begun = {key: jobs for key, jobs in left.items() if jobs}

    def conclude(self, key: str) -> None:
        """Take in that the outcome of a run is known."""
        self.open.discard(key)
        self.begun.pop(key, None)

    def take(self, number: int, row: dict[str, Any]) -> AttemptOutcome | None:
        """Take in what a job has noted; return the outcome if it is that of a run."""
        state = row["state"]
        if state == STARTED:
            self.job_ids[number] = row["job"]
        if state == ENDED:  # what it had begun was dealt with then
            for key in [key for key, jobs in self.begun.items() if jobs == {number}]:
                self.conclude(key)
        if state in (STARTED, ENDED):
            self.forget([number])
            return None
        key = row["key"]
        if state == BEGAN:
            self.begun.setdefault(key, set()).add(number)
            return None
        jobs = self.begun.pop(key, set()) - {number}
        if jobs:
            self.begun[key] = jobs
        if state == RunState.HELD:
            return None  # another job has it
        if state == RunState.INTERRUPTED:
            self.interrupted.add(key)
        else:
            self.conclude(key)
        return AttemptOutcome(
            RunState(state), row["reason"], row["busy_seconds"], row["pid"], (*row["notes"],)
        )
