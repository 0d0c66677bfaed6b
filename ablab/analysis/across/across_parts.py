"""Comparison across the parts of a study: the ranks of its arms at each budget or scale, and where
they change.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, pairwise
from typing import Any

from ablab.analysis.across.ladder import Ladder, PartResult, ladder
from ablab.metrics import METRICS, Metric
from ablab.plan.equal_arms import merged
from ablab.records.study_content import StudyContent
from ablab.spec.study import Study
from ablab.stats.effects import Effect, arm_means
from ablab.stats.inference.error_terms import effect_of
from ablab.stats.inference.table import Table
from ablab.stats.two_way import fit


@dataclass(frozen=True)
class RankedArm:
    """An arm among those of a part."""

    arm: str
    """Name of the arm."""
    rank: int
    """One more than the number of arms that are better: equal arms share theirs."""
    mean: float
    """Mean of the metric."""


@dataclass(frozen=True)
class Ranking:
    """The arms of a part, the best first."""

    part: str
    """Label of the part."""
    flops: float
    """Training FLOPs of one run of the baseline."""
    sd: float | None
    """Run-to-run standard deviation."""
    arms: list[RankedArm]
    """The arms that have a mean."""


@dataclass(frozen=True)
class RankChange:
    """Two arms whose order is not the same in every part."""

    arms: tuple[str, str]
    """The two arms."""
    between: list[tuple[str, str]]
    """Labels of the parts between which the order changes."""
    clear: bool
    """Whether each of them is ahead beyond its 95 % interval in some part."""
    ahead: dict[str, str]
    """By part, the arm that is ahead."""


@dataclass(frozen=True)
class Across:
    """Results that follow only from all parts of a study together."""

    metric: str
    """The metric that arms are ranked by."""
    rankings: list[Ranking]
    """The arms of each part, from little compute to much."""
    changes: list[RankChange]
    """Changes of rank, the clear ones first."""
    ladder: Ladder
    """The ladder that the parts form."""

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "metric": self.metric,
            "rankings": [asdict(ranking) for ranking in self.rankings],
            "changes": [asdict(change) for change in self.changes],
            "ladder": self.ladder.as_json(),
        }


def across(content: StudyContent, results: Sequence[PartResult]) -> Across:
    """Return the comparison across the parts of a study.

    Args:
        content: content of its record.
        results: results of its parts, in the same order.

    """
    ordered = sorted(results, key=lambda result: result.compute)
    metric = METRICS[content.study.metric]
    return Across(
        metric=metric.name,
        rankings=[_ranking(result, metric) for result in ordered],
        changes=_changes(ordered, metric),
        ladder=ladder(
            [result for result in ordered if result.compute],
            content.parts[-1].contrasts,
            _unlike(content.study, metric),
        ),
    )


def _unlike(study: Study, metric: Metric) -> str | None:
    """Return why the parts do not form a ladder; None if they do."""
    if metric.direction == "maximize":
        return "no forecasts and no multipliers: scaling curves are of metrics that fall"
    kinds = dict.fromkeys(budget.kind for budget in study.budgets or ())
    if len(kinds) < 2:
        return None
    return (
        "no forecasts and no multipliers: the budgets are of several kinds "
        f"({', '.join(kinds)}), so parts equalise other things"
    )


def _ranking(result: PartResult, metric: Metric) -> Ranking:
    error = fit(result.distinct) if result.distinct else None
    estimates = arm_means(result.distinct)
    means: dict[str, float] = {}
    for arm in dict.fromkeys(arm for arm, _ in result.cells):
        first = result.first.get(arm, arm)
        if first in estimates:
            means[arm] = estimates[first].value
    losses = {arm: metric.as_loss(mean) for arm, mean in means.items()}
    arms = [
        RankedArm(arm, 1 + sum(other < losses[arm] for other in losses.values()), means[arm])
        for arm in sorted(means, key=losses.__getitem__)
    ]
    return Ranking(result.label, result.compute, error.sd if error else None, arms)


def _changes(results: Sequence[PartResult], metric: Metric) -> list[RankChange]:
    tables = [(result, Table.of(result.distinct)) for result in results if result.distinct]
    arms = list(dict.fromkeys(arm for result, _ in tables for arm, _ in result.cells))
    changes = []
    for a, b in combinations(arms, 2):
        differences = [
            (result.label, effect_of(table, merged({a: 1.0, b: -1.0}, result.first)))
            for result, table in tables
        ]
        estimates = [(label, value) for label, value in differences if value.estimate is not None]
        between = [
            (p, q)
            for (p, before), (q, after) in pairwise(estimates)
            if _sign(before) * _sign(after) < 0
        ]
        if between:
            clear = {_clear_sign(value) for _, value in estimates} >= {-1, 1}
            ahead = {label: a if _sign(value) == metric.sign else b for label, value in estimates}
            changes.append(RankChange((a, b), between, clear, ahead))
    return sorted(changes, key=lambda change: not change.clear)


def _sign(value: Effect) -> int:
    assert value.estimate is not None
    return (value.estimate > 0) - (value.estimate < 0)


def _clear_sign(value: Effect) -> int:
    """Return the sign of an effect whose interval excludes zero, else 0."""
    if value.low is None or value.high is None:
        return 0
    return (value.low > 0) - (value.high < 0)
