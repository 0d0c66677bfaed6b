"""The arms of a study and their costs as frames."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd

from ablab.analysis.summary import PartSummary, StudySummary
from ablab.frames.table import ANY, COUNT, NUMBER, TEXT, make_frame

_ARMS = {
    "part": TEXT,
    "metric": TEXT,
    "name": TEXT,
    "expression": TEXT,
    "mean": NUMBER,
    "low": NUMBER,
    "high": NUMBER,
    "sd": NUMBER,
    "n": COUNT,
    "test": NUMBER,
    "diverged": TEXT,
    "parameters": COUNT,
    "tokens": NUMBER,
    "flops": NUMBER,
    "seconds": NUMBER,
    "tokens_per_second": NUMBER,
    "peak_memory_bytes": NUMBER,
}
_COSTS = {"part": TEXT, "arm": TEXT, "cost": TEXT, "mean": NUMBER, "reason": TEXT}


def arms_frame(summary: StudySummary) -> pd.DataFrame:
    """Return one row per arm and part of a study, with the names of the report's JSON.

    `diverged` lists the seeds of runs that diverged. Options that tuning chose are in columns
    `tuned.NAME`. The values by seed are in the frame of the runs.
    """
    rows = [row for part in summary.parts for row in _arms(part)]
    tuned = {f"tuned.{name}": ANY for row in rows for name in row["tuned"] or {}}
    return make_frame(rows, _ARMS | tuned)


def _arms(part: PartSummary) -> Iterator[Mapping[str, Any]]:
    expressions = {arm.name: arm.expression for arm in part.content.arms}
    for arm in part.arms:
        yield {
            **asdict(arm),
            "part": part.label,
            "metric": part.metric,
            "expression": expressions[arm.name],
            "diverged": ", ".join(map(str, arm.diverged)),
        }


def costs_frame(summary: StudySummary) -> pd.DataFrame:
    """Return one row per cost, arm and part of a study.

    `mean` is missing where a cost was not measured; `reason` is why it is not compared between
    arms, if it is not.
    """
    rows = [
        {
            "part": part.label,
            "arm": arm.name,
            "cost": cost,
            "mean": mean,
            "reason": part.not_compared.get(cost, ""),
        }
        for part in summary.parts
        for arm in part.arms
        for cost, mean in arm.cost.items()
    ]
    return make_frame(rows, _COSTS)
