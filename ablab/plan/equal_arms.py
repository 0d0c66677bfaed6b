"""Arms of equal value, which have the same runs and count once."""

from collections.abc import Hashable, Iterable, Mapping
from typing import Protocol


class Run(Protocol):
    """A run of an arm: its specification, or its entry in a record."""

    @property
    def arm(self) -> str:
        """Name of the arm."""
        ...

    @property
    def key(self) -> str:
        """Key of the run."""
        ...


def first_by_value(values: Mapping[str, Hashable]) -> dict[str, str]:
    """Return, by arm, the first arm of equal value."""
    first: dict[Hashable, str] = {}
    return {arm: first.setdefault(value, arm) for arm, value in values.items()}


def first_by_runs(runs: Iterable[Run]) -> dict[str, str]:
    """Return, by arm, the first arm of equal value: equal arms have the same runs, as far as both
    have any.
    """
    keys: dict[str, dict[str, None]] = {}  # in the order of the runs
    owners: dict[str, str] = {}
    for run in runs:
        keys.setdefault(run.arm, {})[run.key] = None
        owners.setdefault(run.key, run.arm)
    first: dict[str, str] = {}
    for arm, own in keys.items():
        owner = owners[next(iter(own))]
        is_equal = own.keys() <= keys[owner].keys() or keys[owner].keys() <= own.keys()
        first[arm] = first.get(owner, owner) if is_equal else arm
    return first


def merged(weights: Mapping[str, float], first: Mapping[str, str]) -> dict[str, float]:
    """Return a contrast's weights on the first of equal arms, without those that cancel."""
    sums: dict[str, float] = {}
    for arm, weight in weights.items():
        name = first.get(arm, arm)
        sums[name] = sums.get(name, 0.0) + weight
    return {arm: weight for arm, weight in sums.items() if abs(weight) > 1e-12}
