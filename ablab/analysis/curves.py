"""Loss curves from the runs' records: an arm's mean over its seeds, and the seeds' range."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ablab.analysis.scope import own_tokenizers
from ablab.analysis.summary import Summary
from ablab.metrics import METRICS
from ablab.records.home import StudyRecord
from ablab.records.run_record import Record

_POINTS = 100
_MOST = 5
_TRAIN = "train/loss"
_MIXED = "Training loss is left out: it is nats per token, and tokens differ between arms."


@dataclass(frozen=True)
class Curve:
    """One metric of an arm. `x`: tokens, or shares of the budget. `low`, `high`: over the seeds.
    All of one length.
    """

    arm: str
    metric: str
    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Curves:
    """`axis`: what `x` is. `shown`: arms with a color of their own; the rest are background.
    `seeds`: the most an arm has. `note`: what is left out.
    """

    axis: str
    curves: list[Curve]
    shown: list[str]
    seeds: int
    note: str = ""


def curves_of(summary: Summary, content: Mapping[str, Any], record: StudyRecord) -> Curves:
    """All arms' training loss and the study's metric. Arms that spend as many tokens are shown by
    tokens, others by shares.
    """
    mixed = len(set(own_tokenizers(content["arms"]).values())) > 1
    # None: the clock decides, of each run anew.
    alike = not mixed and len({arm["tokens"] for arm in content["arms"]} | {None}) == 2
    curves: list[Curve] = []
    seeds = 0
    for arm in content["arms"]:
        records = [
            Record(record.home.root, run["key"])
            for run in content["runs"]
            if run["arm"] == arm["name"]
        ]
        rows = [(found, held.result) for held in records if (found := held.metrics())]
        whole = float(arm["tokens"] if alike else 1.0)
        budget = _Budget(arm["tokens"], content["config"]["budget"].get("seconds"))
        for metric in (summary.metric,) if mixed else (_TRAIN, summary.metric):
            lines = [
                line
                for found, result in rows
                if len((line := _line(found, result, metric, budget))[0]) > 1
            ]
            curves += [_curve(arm["name"], metric, lines, whole)] if lines else []
            seeds = max(seeds, len(lines))
    axis = "tokens" if alike else "share of the budget"
    return Curves(axis, curves, telling(summary, content), seeds, _MIXED if mixed else "")


def telling(summary: Summary, content: Mapping[str, Any]) -> list[str]:
    """The arms that a figure tells apart: baseline, best, last; then those by which a change helps
    or hurts. All, if few.
    """
    names = [arm.name for arm in summary.arms]
    if len(names) <= _MOST:
        return names
    means = {arm.name: arm.mean for arm in summary.arms if arm.mean is not None}
    chosen = [summary.baseline, *([METRICS[summary.metric].best(means)] if means else [])]
    for contrast, effect in zip(content["contrasts"], summary.effects, strict=False):
        if len(contrast["weights"]) == 2 and (
            effect.kind == "total" or effect.verdict in ("helps", "hurts")
        ):
            chosen += sorted(contrast["weights"], key=lambda arm: effect.kind != "total")
    return [name for name in dict.fromkeys(chosen) if name in names][:_MOST]


def _line(
    rows: Sequence[Mapping[str, Any]],
    result: Mapping[str, Any] | None,
    metric: str,
    budget: "_Budget",
) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the run and the metric at them, each (points,); none where the shares are not
    known. A validation says no share: it is read between the rows.
    """
    last = max(result["steps"] if result else 0, rows[-1]["step"])
    found = {row["step"]: row[metric] for row in rows if metric in row}
    if result and not result["diverged"] and metric in result["metrics"]:
        found[last] = result["metrics"][metric]
    known = budget.shares(rows, last, done=result is not None)
    steps = sorted(step for step, value in found.items() if np.isfinite(value)) if known else []
    shares = np.interp(steps, list(known), list(known.values())) if known else np.array([])
    return shares, np.array([found[step] for step in steps])


@dataclass(frozen=True)
class _Budget:
    """What a run of an arm may spend: `tokens`; or `seconds`, where the clock decides."""

    tokens: int | None
    seconds: float | None

    def shares(
        self, rows: Sequence[Mapping[str, Any]], last: int, *, done: bool
    ) -> dict[float, float]:
        """By step, the share of the budget that is spent after it; nothing where that can't be
        told.
        """
        tokens = {row["step"]: row["cost/tokens"] for row in rows if "cost/tokens" in row}
        if self.tokens is None and self.seconds and (spent := _seconds(rows)):
            return {
                0: 0.0,
                **{step: min(1.0, seconds / self.seconds) for step, seconds in spent.items()},
            }
        if self.tokens is None and not done:  # its tokens are a share of nothing yet
            return {}
        if not tokens:
            return {0: 0.0, last: 1.0}
        whole = self.tokens or max(tokens.values())
        return {0: 0.0, **{step: count / whole for step, count in tokens.items()}}


def _seconds(rows: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    """By step, the seconds in training steps so far: rows tell them by tokens, and tokens a
    second.
    """
    told = [row for row in rows if "cost/tokens" in row and row.get("cost/tokens_per_second")]
    return {row["step"]: row["cost/tokens"] / row["cost/tokens_per_second"] for row in told}


def _curve(
    arm: str, metric: str, lines: Sequence[tuple[np.ndarray, np.ndarray]], whole: float
) -> Curve:
    """Over the seeds, as far as the longest goes; each counts as far as it goes itself."""
    x = max((line[0] for line in lines), key=lambda found: (found[-1], len(found)))
    if len(x) > _POINTS:
        x = x[np.linspace(0, len(x) - 1, _POINTS).round().astype(int)]
    every = np.array([np.interp(x, *line, right=np.nan) for line in lines])
    return Curve(
        arm, metric, x * whole, np.nanmean(every, 0), np.nanmin(every, 0), np.nanmax(every, 0)
    )
