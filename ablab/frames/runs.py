"""The runs of a study as a frame."""

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pandas as pd

from ablab.analysis.summary import StudySummary
from ablab.frames.planned_run import PlannedRun, planned_runs, plugins_off
from ablab.frames.table import ANY, COUNT, FLAG, NUMBER, TEXT, make_frame
from ablab.records.run_record import Record
from ablab.records.run_state import RunState
from ablab.records.status import state
from ablab.train.result import RunCost, RunResult

_IDENTITY = {
    "key": TEXT,
    "part": TEXT,
    "arm": TEXT,
    "seed": COUNT,
    "trial": COUNT,
    "shared": FLAG,
    "state": TEXT,
    "reason": TEXT,
    "diverged": FLAG,
}
_COSTS = {f"cost/{field.name}": NUMBER for field in fields(RunCost)}
_CONDITIONS = {
    "steps": COUNT,
    "precision": TEXT,
    "device": TEXT,
    "layout": TEXT,
    "threads": COUNT,
}


def runs_frame(summary: StudySummary, home: Path) -> pd.DataFrame:
    """Return one row per run and trial of each part of a study.

    A key occurs again where arms of equal value, or several parts, share a run. Settings have the
    names of the parameters in MLflow: `plugin.NAME` (`off`, `on`, or its options), `recipe.NAME`,
    `budget.NAME` and `dims.NAME`. `nuisance.NAME` is the level of a nuisance factor, and
    `params.NAME` an option that a trial tried or that tuning chose. Metrics and costs are final
    ones, named as in study files.
    """
    runs = [run for part in summary.content.parts for run in planned_runs(part)]
    specs = {key: Record(home, key).spec for key in summary.content.entries}
    settings = [run.settings(specs[run.entry.key]) for run in runs]
    names = dict.fromkeys(name for values in settings for name in values)
    off = plugins_off(names)
    rows = [
        {
            **_identity(run, summary, home),
            # Of a trial that was not started, only its options are known.
            **(off if run.arm or specs[run.entry.key] else {}),
            **values,
            **_measured(summary.results.get(run.entry.key)),
        }
        for run, values in zip(runs, settings, strict=True)
    ]
    metrics = dict.fromkeys(name for result in summary.results.values() for name in result.metrics)
    columns = {
        **_IDENTITY,
        **dict.fromkeys(sorted(names), ANY),
        **dict.fromkeys(sorted(metrics), NUMBER),
        **_COSTS,
        **_CONDITIONS,
    }
    return make_frame(rows, columns)


def _identity(run: PlannedRun, summary: StudySummary, home: Path) -> dict[str, Any]:
    key = run.entry.key
    result = summary.results.get(key)
    now = RunState.FINISHED if result else state(home, key)
    if now == RunState.FINISHED and result is None:
        now = RunState.RUNNING  # it was, when the summary was made
    return {
        "key": key,
        "part": run.part.label,
        "arm": run.entry.arm,
        "seed": run.entry.seed,
        "trial": run.trial,
        "shared": run.shared,
        "state": now.value,
        "reason": summary.progress.failed.get(key) or Record(home, key).stop.reason,
        "diverged": result.diverged if result else None,
    }


def _measured(result: RunResult | None) -> dict[str, Any]:
    if result is None:
        return {}
    costs = {f"cost/{name}": value for name, value in asdict(result.cost).items()}
    return {**result.metrics, **costs, **{name: getattr(result, name) for name in _CONDITIONS}}
