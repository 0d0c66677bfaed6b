"""Checks of what the verdicts on a study assume. No verdict depends on them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ablab.stats.equal_variances import EqualVariances, compare_variances
from ablab.stats.outliers import find_outliers
from ablab.stats.verdicts import table_of


@dataclass(frozen=True)
class OutlyingRun:
    """A run that lies far from the other runs of its arm."""

    arm: str
    """Its arm."""
    seed: int
    """Its seed."""
    distance: float
    """Distance from what its arm and seed suggest, in run-to-run standard deviations."""


@dataclass(frozen=True)
class OutlyingArm:
    """An arm whose runs spread more than those of the other arms."""

    arm: str
    """Name of the arm."""
    ratio: float
    """Its standard deviation divided by that of all other arms."""


@dataclass(frozen=True)
class Checks:
    """Checks of a part of a study."""

    runs: tuple[OutlyingRun, ...] = ()
    """Runs that stand out, the farthest first."""
    arms: tuple[OutlyingArm, ...] = ()
    """Arms whose spread stands out, the widest first."""
    variances: EqualVariances | None = None
    """Test that all arms are equally noisy; None with too few runs."""


def checks_of(values: Mapping[tuple[str, int], float]) -> Checks:
    """Return the checks of a metric's values by arm and seed, without diverged arms."""
    if not values:
        return Checks()
    table = table_of(values)
    arms = list(table.index)
    seeds = sorted({seed for _, seed in values})
    found = find_outliers(table)
    runs = [
        OutlyingRun(arms[i], seeds[j], float(found.distance[0, i, j]))
        for i, j in np.argwhere(found.runs[0])
    ]
    spreads = [
        OutlyingArm(arms[i], float(found.ratio[0, i])) for i in np.flatnonzero(found.arms[0])
    ]
    return Checks(
        runs=tuple(sorted(runs, key=lambda run: -abs(run.distance))),
        arms=tuple(sorted(spreads, key=lambda arm: -arm.ratio)),
        variances=compare_variances(table),
    )
