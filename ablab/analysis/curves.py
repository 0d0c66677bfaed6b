"""Loss curves from the records of the runs: an arm's mean over its seeds, and their range."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ablab.analysis.costs import tokenizers_of
from ablab.analysis.summary import PartSummary
from ablab.metrics import METRICS
from ablab.records.run_record import Record
from ablab.records.study_content import Arm
from ablab.train.result import RunResult

_POINTS = 100
_MAX_COLORED = 5
_TRAIN = "train/loss"
_MIXED = "Training loss is left out: it is nats per token, and tokens differ between arms."

Row = Mapping[str, Any]
Line = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Curve:
    """One metric of an arm. All arrays have the shape (points,)."""

    arm: str
    """Name of the arm."""
    metric: str
    """Name of the metric."""
    x: np.ndarray
    """Training tokens, or shares of the budget."""
    mean: np.ndarray
    """Mean over the seeds."""
    low: np.ndarray
    """Minimum over the seeds."""
    high: np.ndarray
    """Maximum over the seeds."""


@dataclass(frozen=True)
class Curves:
    """The curves of a part of a study."""

    axis: str
    """Quantity on the x axis."""
    curves: list[Curve]
    """All curves."""
    colored: list[str]
    """Arms with a color of their own; the rest are background."""
    seeds: int
    """Maximum number of seeds of an arm."""
    note: str = ""
    """What is left out."""


def curves_of(summary: PartSummary, home: Path) -> Curves:
    """Return the training loss and the study's metric of all arms.

    Arms that spend equally many tokens are shown by tokens, others by shares of the budget.
    """
    arms = summary.content.arms
    mixed = len(set(tokenizers_of(arms).values())) > 1
    # None where the clock decides, separately for each run.
    tokens = {arm.tokens for arm in arms}
    by_tokens = not mixed and len(tokens) == 1 and None not in tokens
    curves: list[Curve] = []
    seeds = 0
    for arm in arms:
        keys = [run.key for run in summary.content.runs if run.arm == arm.name]
        runs = [_Run.of(Record(home, key)) for key in keys]
        budget = _Budget(arm.tokens, summary.content.study.budget.seconds)
        scale = float(arm.tokens) if by_tokens and arm.tokens is not None else 1.0
        for metric in (summary.metric,) if mixed else (_TRAIN, summary.metric):
            lines = [run.line(metric, budget) for run in runs if run.rows]
            lines = [line for line in lines if len(line[0]) > 1]
            if lines:
                curves.append(_curve(arm, metric, lines, scale))
            seeds = max(seeds, len(lines))
    axis = "tokens" if by_tokens else "share of the budget"
    return Curves(axis, curves, colored_arms(summary), seeds, _MIXED if mixed else "")


def colored_arms(summary: PartSummary) -> list[str]:
    """Return the arms that a figure distinguishes by color.

    The baseline, the best and the last; then those by which a change helps or hurts. All if few.
    """
    names = [arm.name for arm in summary.arms]
    if len(names) <= _MAX_COLORED:
        return names
    means = {arm.name: arm.mean for arm in summary.arms if arm.mean is not None}
    chosen = [summary.baseline]
    if means:
        chosen.append(METRICS[summary.metric].best(means))
    for contrast, effect in zip(summary.content.contrasts, summary.effects, strict=False):
        decided = effect.kind == "total" or effect.verdict in ("helps", "hurts")
        if len(contrast.weights) == 2 and decided:
            chosen += sorted(contrast.weights, key=lambda arm: effect.kind != "total")
    return [name for name in dict.fromkeys(chosen) if name in names][:_MAX_COLORED]


def measurements(rows: Sequence[Row], result: RunResult | None) -> dict[str, dict[int, float]]:
    """Return what a run measured: by metric, the values by step.

    A finished run that did not diverge has its final values at its last step.
    """
    values: dict[str, dict[int, float]] = {}
    for row in rows:
        for metric in row.keys() - {"step", "time"}:
            values.setdefault(metric, {})[row["step"]] = row[metric]
    if result and not result.diverged:
        last = last_step(rows, result)
        for metric, value in result.metrics.items():
            values.setdefault(metric, {})[last] = value
    return values


def last_step(rows: Sequence[Row], result: RunResult | None) -> int:
    """Return the last optimizer step of a run so far."""
    steps = [row["step"] for row in rows[-1:]]
    return max([*steps, result.steps if result else 0])


@dataclass(frozen=True)
class _Run:
    """The rows that a run measured, and its result if it is finished."""

    rows: list[dict[str, Any]]
    result: RunResult | None

    @classmethod
    def of(cls, record: Record) -> "_Run":
        return cls(record.metrics.rows(), record.result)

    def line(self, metric: str, budget: "_Budget") -> Line:
        """Return shares of the run and the metric there, each (points,); empty if unknown.

        A validation has no share of its own: it is interpolated between rows that have one.
        """
        values = measurements(self.rows, self.result).get(metric, {})
        last = last_step(self.rows, self.result)
        shares = budget.shares(self.rows, last, finished=self.result is not None)
        steps = sorted(step for step, value in values.items() if np.isfinite(value))
        if not shares:
            return np.array([]), np.array([])
        x = np.interp(steps, list(shares), list(shares.values()))
        return x, np.array([values[step] for step in steps])


@dataclass(frozen=True)
class _Budget:
    """The budget of a run: `tokens`, or `seconds` if it is limited by time."""

    tokens: int | None
    seconds: float | None

    def shares(self, rows: Sequence[Row], last: int, *, finished: bool) -> dict[float, float]:
        """Return, by step, the share of the budget spent after it; empty if unknown."""
        tokens = {row["step"]: row["cost/tokens"] for row in rows if "cost/tokens" in row}
        elapsed = _seconds(rows)
        if self.tokens is None and self.seconds and elapsed:
            shares = {step: min(1.0, seconds / self.seconds) for step, seconds in elapsed.items()}
            return {0: 0.0, **shares}
        if self.tokens is None and not finished:  # the total of its tokens is not known yet
            return {}
        if not tokens:
            return {0: 0.0, last: 1.0}
        total = self.tokens or max(tokens.values())
        return {0: 0.0, **{step: count / total for step, count in tokens.items()}}


def _seconds(rows: Sequence[Row]) -> dict[int, float]:
    """Return, by step, the training time so far: tokens divided by tokens per second."""
    timed = [row for row in rows if "cost/tokens" in row and row.get("cost/tokens_per_second")]
    return {row["step"]: row["cost/tokens"] / row["cost/tokens_per_second"] for row in timed}


def _curve(arm: Arm, metric: str, lines: Sequence[Line], scale: float) -> Curve:
    """Return the curve over the seeds, up to the end of the longest."""
    x = max((line[0] for line in lines), key=lambda shares: (shares[-1], len(shares)))
    if len(x) > _POINTS:
        x = x[np.linspace(0, len(x) - 1, _POINTS).round().astype(int)]
    every = np.array([np.interp(x, *line, right=np.nan) for line in lines])
    return Curve(
        arm.name,
        metric,
        x * scale,
        np.nanmean(every, 0),
        np.nanmin(every, 0),
        np.nanmax(every, 0),
    )
