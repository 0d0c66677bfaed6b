"""Outcomes of trials, read from their run records."""

from collections.abc import Sequence

from ablab.records.run_record import Record
from ablab.tracking.optuna.study import Outcome


def rungs(record: Record, metric: str) -> dict[int, float]:
    """What a run's validations gave on its way, by their order."""
    values = [row[metric] for row in record.metrics() if metric in row]
    return dict(enumerate(values, start=1))


def outcome(record: Record, metrics: Sequence[str], owner: str) -> Outcome | None:
    """How a trial ended for `owner`: finished (without values if it diverged), pruned by it,
    failed; None while it may still come to something.
    """
    result, pruned = record.result, record.pruned_by == owner
    if result is None and not pruned and record.failure is None:
        return None
    values = (
        None
        if result is None or result.diverged
        else tuple(result.value(metric) for metric in metrics)
    )
    return Outcome(values, rungs(record, metrics[0]), pruned)
