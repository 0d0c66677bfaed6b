"""Checks of what the verdicts on a study assume. No verdict depends on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ablab.design.layout import Contrast
from ablab.stats.checks.equal_variances import EqualVariances, compare_variances
from ablab.stats.checks.outliers import find_outliers
from ablab.stats.effects import Effect
from ablab.stats.inference.error_terms import effect_of
from ablab.stats.inference.procedure import holm
from ablab.stats.inference.table import Table


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
class SpareColumn:
    """A contrast that is zero if interactions of three factors or more are."""

    names: tuple[str, ...]
    """The smallest interactions that it would hold."""
    effect: Effect
    """Difference between the two halves of the arms, with its own error term."""
    p_holm: float
    """p adjusted by Holm's procedure over the spare columns."""


@dataclass(frozen=True)
class Checks:
    """Checks of a part of a study."""

    runs: tuple[OutlyingRun, ...] = ()
    """Runs that stand out, the farthest first."""
    arms: tuple[OutlyingArm, ...] = ()
    """Arms whose spread stands out, the widest first."""
    variances: EqualVariances | None = None
    """Test that all arms are equally noisy; None with too few runs."""
    spare: tuple[SpareColumn, ...] = ()
    """Spare columns of a fractional factorial; empty with fewer than two seeds."""


def checks_of(values: Mapping[tuple[str, int], float], spare: Sequence[Contrast] = ()) -> Checks:
    """Return the checks of a metric's values by arm and seed, without diverged arms.

    Args:
        values: the values.
        spare: contrasts that are zero if the design's assumptions hold.

    """
    if not values:
        return Checks()
    table = Table.of(values)
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
        spare=_spare(table, spare),
    )


def _spare(table: Table, contrasts: Sequence[Contrast]) -> tuple[SpareColumn, ...]:
    effects = [(contrast, effect_of(table, contrast.weights)) for contrast in contrasts]
    known = [(contrast, effect, effect.p) for contrast, effect in effects if effect.p is not None]
    if not known:
        return ()
    adjusted = holm(np.array([[p for _, _, p in known]]))[0]
    return tuple(
        SpareColumn((contrast.name, *contrast.aliases), effect, float(p))
        for (contrast, effect, _), p in zip(known, adjusted, strict=True)
    )
