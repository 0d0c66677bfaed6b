"""The results of each arm of a study, and the costs of its runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from ablab.analysis.costs import Costs, cost_of
from ablab.analysis.result_table import ResultTable
from ablab.metrics import METRICS
from ablab.records.study_content import Arm, PartContent
from ablab.stats.effects import Estimate, arm_means, mean_sd
from ablab.train.result import RunResult


@dataclass(frozen=True)
class SeedValue:
    """The value of the metric of one run."""

    seed: int
    """Seed of the run."""
    value: float
    """Value of the metric."""


@dataclass(frozen=True)
class ArmSummary:
    """The results of an arm. An arm with a diverged run has neither means nor `sd`."""

    name: str
    """Name of the arm."""
    mean: float | None
    """Mean of the metric over seeds, adjusted for seeds that the arm lacks and others have (see
    `ablab.stats.effects.arm_means`); None where nothing is finished.
    """
    sd: float | None
    """Standard deviation of its own values."""
    n: int
    """Number of finished runs that did not diverge."""
    values: list[SeedValue]
    """The metric of each of them."""
    test: float | None
    """The mean on the test split, adjusted likewise."""
    parameters: int
    """Trainable parameters."""
    tokens: float | None
    """Training tokens of a run; the mean over runs where the clock decides."""
    flops: float | None
    """Training FLOPs of a run, likewise."""
    seconds: float | None
    """Mean training time of a run."""
    tokens_per_second: float | None
    """Mean training speed."""
    peak_memory_bytes: float | None
    """Mean peak memory."""
    diverged: list[int]
    """Seeds of the runs that diverged."""
    cost: Mapping[str, float | None] = field(default_factory=dict)
    """Mean costs by name (see `ablab.analysis.costs`)."""
    tuned: Mapping[str, Any] | None = None
    """Options that tuning chose; None without tuning, or until it has."""
    low: float | None = None
    """Lower end of the 95 % interval of `mean`."""
    high: float | None = None
    """Upper end."""


def arms_of(part: PartContent, table: ResultTable, costs: Costs) -> list[ArmSummary]:
    """Return the arms of a part of a study, in the order of the design."""
    metric = METRICS[part.study.metric]
    means = means_of(table, metric.name)
    tests = means_of(table, metric.on("test"))
    summaries = []
    for arm in part.arms:
        runs = table.results_of(arm.name)
        summary = ArmSummary(
            name=arm.name,
            parameters=arm.parameters,
            test=tests[arm.name].value if arm.name in tests else None,
            **_values(runs, metric.name, means.get(arm.name)),
            **_costs(arm, [result for _, result in runs]),
            cost=costs.of_arm(arm.name),
        )
        summaries.append(summary)
    return summaries


def means_of(table: ResultTable, metric: str) -> dict[str, Estimate]:
    """Return the mean of a metric of every arm that did not diverge, by arm.

    Equal arms share theirs. See `ablab.stats.effects.arm_means`.
    """
    means = arm_means(table.values(metric))
    return {arm: means[first] for arm, first in table.first.items() if first in means}


def uneven(arms: Sequence[ArmSummary]) -> bool:
    """Return whether some arms lack seeds that others have, so that means are adjusted."""
    seeds = {frozenset(value.seed for value in arm.values) for arm in arms if arm.mean is not None}
    return any(a & b for a, b in combinations(seeds, 2))


def _values(
    runs: Sequence[tuple[int, RunResult]], metric: str, mean: Estimate | None
) -> dict[str, Any]:
    values = [SeedValue(seed, result.value(metric)) for seed, result in runs if not result.diverged]
    low, high = mean.interval() if mean is not None else (None, None)
    return {
        "values": values,
        "n": len(values),
        "diverged": [seed for seed, result in runs if result.diverged],
        "mean": mean.value if mean is not None else None,
        "low": low,
        "high": high,
        "sd": mean_sd([v.value for v in values])[1] if mean is not None else None,
    }


def _costs(arm: Arm, results: Sequence[RunResult]) -> dict[str, Any]:
    def average(name: str) -> float | None:
        costs = [cost_of(result, name) for result in results]
        mean, _ = mean_sd([cost for cost in costs if cost is not None])
        return mean

    names = ("seconds", "tokens_per_second", "peak_memory_bytes")
    costs = {name: average(name) for name in names}
    if arm.tokens is None:
        return {**costs, "tokens": average("tokens"), "flops": average("flops")}
    return {**costs, "tokens": arm.tokens, "flops": arm.training_flops}
