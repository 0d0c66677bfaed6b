"""Metrics of a run in MLflow, each logged once for each step."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ablab.tracking.mlflow.store import Store

Point = tuple[str, int]  # a metric's name and step
Row = Mapping[str, Any]  # metrics by name, with `step` and `time` (Unix seconds)
_METRICS_PER_REQUEST = 1000


def logged_points(store: Store, run_id: str) -> set[Point]:
    """Return the metrics that the run has already, by name and step."""
    names = store.client.get_run(run_id).data.metrics
    return {
        (name, metric.step)
        for name in names
        for metric in store.client.get_metric_history(run_id, name)
    }


def log_metrics(
    store: Store, run_id: str, rows: Iterable[Row], exclude: Collection[Point] = ()
) -> set[Point]:
    """Log the metrics of `rows` except those in `exclude`, and return which ones were logged.

    Sending the same batch again changes nothing.
    """
    from mlflow.entities import Metric

    metrics = {
        (name, int(row["step"])): Metric(
            name, float(value), int(row["time"] * 1000), int(row["step"])
        )
        for row in rows
        for name, value in row.items()
        if name not in ("step", "time") and (name, int(row["step"])) not in exclude
    }
    entries = list(metrics.values())
    for first in range(0, len(entries), _METRICS_PER_REQUEST):
        store.client.log_batch(run_id, metrics=entries[first : first + _METRICS_PER_REQUEST])
    return set(metrics)
