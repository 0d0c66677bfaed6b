"""Across the parts of a study: how its arms rank at each budget or scale, and where the ranking
changes.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any

from ablab.analysis.ladder import ladder
from ablab.analysis.part_result import PartResult
from ablab.metrics import METRICS, Metric
from ablab.plan.equal_arms import first_by_runs, merged
from ablab.stats.effects import Effect, arm_means, effect, fit

if TYPE_CHECKING:
    from ablab.analysis.summary import Summary


def across(content: Mapping[str, Any], parts: Sequence["Summary"]) -> dict[str, Any]:
    """What only the parts together tell, in plain JSON types: `rankings`, `changes` of rank, and
    the `ladder`.
    """
    found = [_result(part, summary) for part, summary in zip(content["parts"], parts, strict=True)]
    found.sort(key=lambda result: result.compute)
    metric = METRICS[parts[0].metric]
    return {
        "metric": metric.name,
        "rankings": [_ranking(result, metric) for result in found],
        "changes": _changes(found, metric),
        "ladder": ladder(
            [result for result in found if result.compute],
            content["parts"][-1]["contrasts"],
            _unlike(content, metric),
        ),
    }


def _unlike(content: Mapping[str, Any], metric: Metric) -> str | None:
    """Why the parts are no ladder; None where they are one."""
    if metric.direction == "maximize":
        return "no forecasts and no multipliers: scaling curves are of metrics that fall"
    kinds = dict.fromkeys(
        k
        for budget in content["config"].get("budgets") or ()
        for k, amount in budget.items()
        if amount
    )
    if len(kinds) < 2:
        return None
    return (
        "no forecasts and no multipliers: the budgets are of several kinds "
        f"({', '.join(kinds)}), so parts equalise other things"
    )


def _result(record: Mapping[str, Any], part: "Summary") -> PartResult:
    baseline: str = record["baseline"]
    whole = [arm for arm in part.arms if not arm.diverged]
    cells = {(arm.name, value["seed"]): value["value"] for arm in whole for value in arm.values}
    flops = {arm.name: arm.flops or 0.0 for arm in part.arms}
    return PartResult(
        part.part, baseline, flops[baseline], cells, flops, first_by_runs(record["runs"])
    )


def _ranking(result: PartResult, metric: Metric) -> dict[str, Any]:
    """An arm's rank is one more than how many arms are better: those of equal value share
    theirs.
    """
    fitted = fit(result.own) if result.own else None
    own, arms = arm_means(result.own), dict.fromkeys(arm for arm, _ in result.cells)
    means = {arm: own[first].value for arm in arms if (first := result.first.get(arm, arm)) in own}
    losses = {arm: metric.as_loss(mean) for arm, mean in means.items()}
    order = sorted(means, key=losses.__getitem__)
    ranks = {arm: 1 + sum(other < losses[arm] for other in losses.values()) for arm in order}
    return {
        "part": result.label,
        "flops": result.compute,
        "sd": fitted.sd if fitted else None,
        "arms": [{"arm": arm, "rank": ranks[arm], "mean": means[arm]} for arm in order],
    }


def _changes(results: Sequence[PartResult], metric: Metric) -> list[dict[str, Any]]:
    """Pairs of arms whose order is not the same in every part, those first of which each is clearly
    ahead somewhere.
    """
    fits = [(result, fit(result.own)) for result in results if result.own]
    arms = list(dict.fromkeys(arm for result, _ in fits for arm, _ in result.cells))
    changes = []
    for a, b in combinations(arms, 2):
        both = [
            (result.label, effect(fitted, merged({a: 1.0, b: -1.0}, result.first)))
            for result, fitted in fits
        ]
        seen = [(label, found) for label, found in both if found.estimate is not None]
        between = [
            [p, q] for (p, before), (q, after) in pairwise(seen) if _sign(before) * _sign(after) < 0
        ]
        if between:
            clear = {_clear(found) for _, found in seen} >= {-1, 1}
            ahead = {label: a if _sign(found) == metric.sign else b for label, found in seen}
            changes.append({"arms": [a, b], "between": between, "clear": clear, "ahead": ahead})
    return sorted(changes, key=lambda change: not change["clear"])


def _sign(found: Effect) -> int:
    assert found.estimate is not None
    return (found.estimate > 0) - (found.estimate < 0)


def _clear(found: Effect) -> int:
    """The sign, where the interval leaves no doubt of it."""
    return 0 if found.low is None or found.high is None else (found.low > 0) - (found.high < 0)
