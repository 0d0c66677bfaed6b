"""What an execution comes to, and how patient it is with its workers."""

from dataclasses import dataclass, field


@dataclass
class ExecutionSummary:
    """What an execution came to. `failed`, `stopped` (cancelled), `pruned`: reasons by key.
    `broken`: why no worker starts.
    """

    trained: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    stopped: dict[str, str] = field(default_factory=dict)
    pruned: dict[str, str] = field(default_factory=dict)
    busy_seconds: float = 0.0
    signal: int | None = None
    killed: bool = False
    broken: str = ""


@dataclass(frozen=True)
class RetryPolicy:
    """How often a run is tried again whose worker died or hung, and after how many seconds without
    progress it counts as hung.
    """

    retries: int = 1
    stall_seconds: float = 600.0
