"""The states of a run: one vocabulary for workers, driver, `ablab status`, trials and trackers."""

from enum import StrEnum


class RunState(StrEnum):
    """State of a run, or how an attempt at it ended."""

    WAITING = "waiting"
    """It has not begun, or is to be taken up again."""
    RUNNING = "running"
    """A live process trains it."""
    FINISHED = "finished"
    """It has a result. Diverging is a result too."""
    FAILED = "failed"
    """It was given up; `ablab retry` or the next `ablab run` tries it again."""
    CANCELLED = "cancelled"
    """It was asked to stop; `ablab retry` or the next `ablab run` takes it up again."""
    PRUNED = "pruned"
    """A tuning or a search ended it, since it lagged behind the other trials."""

    # States of an attempt alone; the run itself is waiting or running then.
    INTERRUPTED = "interrupted"
    """The attempt wrote a checkpoint and ended, since its driver was asked to stop."""
    HELD = "held"
    """Another driver trains the run."""
    LOST = "lost"
    """The attempt ended with its process."""
    UNSTARTED = "unstarted"
    """No process could be set up for the attempt, which is not the run's fault."""
    BLOCKED = "blocked"
    """The machine could not go on with the attempt, as with a full disk."""

    @property
    def ended(self) -> bool:
        """Whether the run ended without a result, and nothing follows by itself."""
        return self in (RunState.FAILED, RunState.CANCELLED, RunState.PRUNED)

    @property
    def stopped(self) -> bool:
        """Whether it was asked to stop."""
        return self in (RunState.CANCELLED, RunState.PRUNED)


# States of a run, as opposed to those of an attempt.
RUN_STATES = (
    RunState.FINISHED,
    RunState.RUNNING,
    RunState.WAITING,
    RunState.FAILED,
    RunState.CANCELLED,
    RunState.PRUNED,
)
