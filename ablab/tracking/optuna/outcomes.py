"""Read the outcomes of trials from their run records."""

from collections.abc import Sequence

from ablab.records.run_record import Record
from ablab.tracking.optuna.study import Outcome


def rungs(record: Record, metric: str) -> dict[int, float]:
    """Return a run's values of `metric` by the number of the validation, from 1."""
    values = [row[metric] for row in record.metrics.rows() if metric in row]
    return dict(enumerate(values, start=1))


def outcome(record: Record, metrics: Sequence[str], owner: str) -> Outcome | None:
    """Return how a trial ended for the study `owner`; None while it may still have a result.

    A trial that diverged has no values. `pruned` is set only if `owner` pruned it.
    """
    result = record.result
    pruned = record.stop.pruned_by == owner
    if result is None and not pruned and record.failure is None:
        return None
    values = None
    if result is not None and not result.diverged:
        values = tuple(result.value(metric) for metric in metrics)
    return Outcome(values, rungs(record, metrics[0]), pruned)
