"""Across the parts of a study: how its arms rank at each budget or scale, and where the ranking
changes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any

from ablab.analysis.ladder import Listing, ladder, ladder_lines, ladder_listings
from ablab.plan.equal_arms import first_by_runs, merged
from ablab.report.numbers import digits, plain
from ablab.stats.effects import Effect, arm_means, effect, fit

if TYPE_CHECKING:
    from ablab.analysis.summary import Summary

_SHOWN = 12  # pairs that change places; the JSON has all


@dataclass(frozen=True)
class PartResult:
    """A part's label, its baseline, the baseline's training FLOPs a run, the values by (arm, seed)
    of the arms that did not diverge, each arm's training FLOPs (0 where the clock decides and no
    run is finished), and by arm the first of equal value.
    """

    label: str
    baseline: str
    compute: float
    cells: dict[tuple[str, int], float]
    flops: dict[str, float]
    first: Mapping[str, str] = field(default_factory=dict)

    @property
    def own(self) -> dict[tuple[str, int], float]:
        """The values of the first of equal arms: the same run counts once."""
        return {
            (arm, seed): value
            for (arm, seed), value in self.cells.items()
            if self.first.get(arm, arm) == arm
        }


def across(content: Mapping[str, Any], parts: Sequence["Summary"]) -> dict[str, Any]:
    """What only the parts together tell, in plain JSON types: `rankings`, `changes` of rank, and
    the `ladder`.
    """
    found = [_result(part, summary) for part, summary in zip(content["parts"], parts, strict=True)]
    found.sort(key=lambda result: result.compute)
    return {
        "metric": parts[0].metric,
        "rankings": [_ranking(result) for result in found],
        "changes": _changes(found),
        "ladder": ladder(
            [result for result in found if result.compute],
            content["parts"][-1]["contrasts"],
            _unlike(content),
        ),
    }


def listings(told: Mapping[str, Any]) -> list[Listing]:
    """The tables of `across`."""
    rankings = told["rankings"]
    arms = list(dict.fromkeys(row["arm"] for ranking in rankings for row in ranking["arms"]))
    places = min((digits(ranking["sd"]) for ranking in rankings if ranking["sd"]), default=4)
    ranked = [
        {row["arm"]: f"{row['rank']} · {plain(row['mean'], places)}" for row in r["arms"]}
        for r in rankings
    ]
    rows = [[arm, *(row.get(arm, "–") for row in ranked)] for arm in arms]
    title = (
        f"Rank of each arm by {told['metric']} (1 is the lowest), from little training compute "
        "to much"
    )
    ranks = (
        [Listing(title, ["arm", *(ranking["part"] for ranking in rankings)], rows)] if rows else []
    )
    return [*ranks, *ladder_listings(told["ladder"])]


def lines(told: Mapping[str, Any]) -> list[str]:
    """Where the ranking changes, and what to know of the ladder."""
    changes = told["changes"]
    compared = sum(len(ranking["arms"]) > 1 for ranking in told["rankings"])
    said = (
        []
        if changes or compared < 2
        else [f"the arms rank alike in all {compared} parts that have results"]
    )
    for change in changes[:_SHOWN]:
        a, b = change["arms"]
        where = " and ".join(f"between {before} and {after}" for before, after in change["between"])
        sure = (
            "each is ahead beyond its interval once"
            if change["clear"]
            else "within the error: not a finding"
        )
        said.append(f"{a} and {b} change places {where} ({sure})")
    if len(changes) > _SHOWN:
        said.append(
            f"{len(changes) - _SHOWN} more pairs change places within the error or beyond "
            "(--json tells all)"
        )
    return [*said, *ladder_lines(told["ladder"])]


def _unlike(content: Mapping[str, Any]) -> str | None:
    """Why the parts are no ladder; None where they are one."""
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


def _ranking(result: PartResult) -> dict[str, Any]:
    """An arm's rank is one more than how many arms are lower: those of equal value share theirs."""
    fitted = fit(result.own) if result.own else None
    own, arms = arm_means(result.own), dict.fromkeys(arm for arm, _ in result.cells)
    means = {arm: own[first].value for arm in arms if (first := result.first.get(arm, arm)) in own}
    order = sorted(means, key=means.__getitem__)
    ranks = {arm: 1 + sum(other < means[arm] for other in means.values()) for arm in order}
    return {
        "part": result.label,
        "flops": result.compute,
        "sd": fitted.sd if fitted else None,
        "arms": [{"arm": arm, "rank": ranks[arm], "mean": means[arm]} for arm in order],
    }


def _changes(results: Sequence[PartResult]) -> list[dict[str, Any]]:
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
            ahead = {label: a if _sign(found) < 0 else b for label, found in seen}
            changes.append({"arms": [a, b], "between": between, "clear": clear, "ahead": ahead})
    return sorted(changes, key=lambda change: not change["clear"])


def _sign(found: Effect) -> int:
    assert found.estimate is not None
    return (found.estimate > 0) - (found.estimate < 0)


def _clear(found: Effect) -> int:
    """The sign, where the interval leaves no doubt of it."""
    return 0 if found.low is None or found.high is None else (found.low > 0) - (found.high < 0)
