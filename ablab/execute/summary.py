"""The summary of an execution, and its policy for workers that die or hang."""

from dataclasses import dataclass, field


@dataclass
class ExecutionSummary:
    """What an execution came to.

    `trained` counts the runs that were trained to their end, and `workers` is how many of them were
    trained at once. `failed`, `stopped` (by a cancellation) and `pruned` have the reasons by run
    key. `busy_seconds` is the time that all
    workers spent in training steps and validation. `signal` is the number of the signal that
    stopped the execution, `killed` whether a second one ended it at once, and `broken` why it was
    broken off: no worker starts, or the machine cannot go on (as with a full disk).
    """

    trained: int = 0
    workers: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    stopped: dict[str, str] = field(default_factory=dict)
    pruned: dict[str, str] = field(default_factory=dict)
    busy_seconds: float = 0.0
    signal: int | None = None
    killed: bool = False
    broken: str = ""


@dataclass(frozen=True)
class RetryPolicy:
    """How often a run is retried whose worker died or hung. It counts as hung after
    `stall_seconds` without progress.
    """

    retries: int = 1
    stall_seconds: float = 600.0
