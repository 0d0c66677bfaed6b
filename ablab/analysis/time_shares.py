"""How the workers of a study spent their time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ablab.records.study_record import Execution
from ablab.train.result import RunCost


@dataclass(frozen=True)
class TimeShares:
    """Shares of the workers' time; they add up to one."""

    training: float
    """Training steps."""
    validation: float
    """Validation and scoring."""
    measuring: float
    """Measuring memory and decoding; in results of earlier versions a part of `validation`."""
    other: float
    """Everything else, such as start-up, planning, checkpoints and idle workers."""


def time_shares(executions: Sequence[Execution], costs: Iterable[RunCost]) -> TimeShares | None:
    """Return the shares over the executions that trained something; None if there are none, or no
    run is finished.

    Args:
        executions: the executions of a study.
        costs: costs of its finished runs and trials, which divide the busy time.

    """
    trained = [e for e in executions if e.busy_seconds > 0]
    available = sum(e.wall_seconds * e.workers for e in trained)
    finished = list(costs)
    training = sum(cost.seconds for cost in finished)
    validation = sum(cost.validation_seconds for cost in finished)
    measuring = sum(cost.measuring_seconds or 0.0 for cost in finished)
    total = training + validation + measuring
    if not available or not total:
        return None
    busy = min(1.0, sum(e.busy_seconds for e in trained) / available)
    return TimeShares(
        busy * training / total, busy * validation / total, busy * measuring / total, 1 - busy
    )
