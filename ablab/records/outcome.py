"""How an attempt at a run ended."""

from dataclasses import dataclass

from ablab.records.run_state import RunState


@dataclass(frozen=True)
class AttemptOutcome:
    """The outcome of an attempt at a run."""

    state: RunState
    """How it ended."""
    reason: str = ""
    """Why, unless the run is finished."""
    busy_seconds: float = 0.0
    """Time in training steps, validation and measuring costs."""
    pid: int | None = None
    """Process of the attempt, where known."""
    notes: tuple[str, ...] = ()
    """What else happened, a line each: damaged files that were set aside, for example."""
    retire: bool = False
    """Whether the process must not train another run."""
