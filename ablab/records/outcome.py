"""How an attempt at a run ended."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["finished", "interrupted", "failed", "held", "stopped", "lost", "unstarted"]


@dataclass(frozen=True)
class AttemptOutcome:
    """How an attempt ended, and the seconds it spent in training steps and validation. `lost`: with
    its process, `pid`, where known. `unstarted`: a process could not be set up, which is not the
    run's fault.
    """

    status: Status
    reason: str = ""
    busy_seconds: float = 0.0
    pid: int | None = None
