"""Arms of equal value: their runs are the same runs, and count once."""

from collections.abc import Hashable, Iterable, Mapping
from typing import Any


def first_of(made: Mapping[str, Hashable]) -> dict[str, str]:
    """By arm, the first arm of equal value. `made`: what an arm's runs are made of, by arm."""
    seen: dict[Hashable, str] = {}
    return {arm: seen.setdefault(value, arm) for arm, value in made.items()}


def first_by_runs(runs: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The same from the runs of a study's record: equal arms have a run's key in common."""
    keys: dict[str, str] = {}
    first: dict[str, str] = {}
    for run in runs:
        owner = keys.setdefault(run["key"], run["arm"])
        first.setdefault(run["arm"], first.get(owner, owner))
    return first


def merged(weights: Mapping[str, float], first: Mapping[str, str]) -> dict[str, float]:
    """A contrast's weights on the first of equal arms; those that cancel are left out."""
    sums: dict[str, float] = {}
    for arm, weight in weights.items():
        name = first.get(arm, arm)
        sums[name] = sums.get(name, 0.0) + weight
    return {arm: weight for arm, weight in sums.items() if abs(weight) > 1e-12}
