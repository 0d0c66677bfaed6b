"""Across the parts of a study: tables and sentences."""

from collections.abc import Mapping
from typing import Any

from ablab.metrics import METRICS
from ablab.report.ladder import Listing, ladder_lines, ladder_listings
from ablab.text.numbers import digits, plain

_SHOWN = 12  # pairs that change places; the JSON has all


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
        f"Rank of each arm by {told['metric']} (1 is the {METRICS[told['metric']].best_is}), "
        "from little training compute to much"
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
