"""Arrays whose jobs wait or run, as the driver sees them."""

from collections.abc import Collection
from typing import Any

from ablab.execute.executors.slurm_engine.array import Array
from ablab.execute.executors.slurm_engine.notes import BEGAN, ENDED, STARTED
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_state import RunState


class Live:
    """What is known of an array and of its runs."""

    def __init__(self, array: Array) -> None:
        self.array = array
        self.open = set(array.keys)
        """Runs of which no outcome is known."""
        self.begun: dict[str, int] = {}
        """The job that trains a run, by the run's key."""
        self.job_ids: dict[int, str] = {}
        self.idle = False
        """Whether its waiting jobs were cancelled, since they have nothing to train."""

    def take(self, number: int, row: dict[str, Any]) -> AttemptOutcome | None:
        """Take in what a job has noted; return the outcome if it is that of a run."""
        if row["state"] == STARTED:
            self.job_ids[number] = row["job"]
            self.wait([number])  # until now, if it was queued again
            return None
        if row["state"] == BEGAN:
            self.begun.setdefault(row["key"], number)
            return None
        if row["state"] == ENDED:
            return None
        key = row["key"]
        if self.begun.get(key) == number:
            del self.begun[key]
        if row["state"] in (RunState.HELD, RunState.INTERRUPTED):
            return None  # another job has it, or it goes on in one
        self.open.discard(key)
        return AttemptOutcome(
            RunState(row["state"]), row["reason"], row["busy_seconds"], row["pid"], (*row["notes"],)
        )

    def wait(self, numbers: Collection[int]) -> None:
        """Take in that jobs wait: what they had begun is to be begun again."""
        self.begun = {key: job for key, job in self.begun.items() if job not in numbers}
