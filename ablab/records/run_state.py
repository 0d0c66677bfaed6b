"""The states of a run: one vocabulary for the driver, `ablab status`, trials and trackers."""

from enum import StrEnum


class RunState(StrEnum):
    """State of a run, or how an attempt at it ended."""

    WAITING = "waiting"
    """Not begun, or to be taken up again."""
    RUNNING = "running"
    """A live process trains it."""
    FINISHED = "finished"
    """It has a result, be it that it diverged."""
    FAILED = "failed"
    """It was given up; `ablab retry` or the next `ablab run` tries it again."""
    CANCELLED = "cancelled"
    """It was asked to stop; `ablab retry` or the next `ablab run` takes it up again."""
    PRUNED = "pruned"
    """A tuning or a search ended it, since it lagged behind the other trials."""

    @property
    def ended(self) -> bool:
        """Whether nothing follows by itself without a result."""
        return self in (RunState.FAILED, RunState.CANCELLED, RunState.PRUNED)
