"""Effects up a ladder: a straight line of each effect against the logarithm of training compute,
and what it foretells.

An effect is taken within each seed of each rung, so that what a seed does to every arm cancels; its
error is one standard deviation for the whole ladder. Intervals are those of ordinary least squares,
with a new measurement's error in a forecast.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from ablab.stats.effects import Cells

# (training FLOPs, effect) of a seed on a rung.
Effects = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """effect = `level` + `slope`·log10(C / `centre`), with the covariance of the two. `sd`: of one
    seed's effect about it; None with no degrees of freedom.
    """

    level: float
    slope: float
    covariance: np.ndarray
    centre: float
    sd: float | None
    dof: int


@dataclass(frozen=True)
class Forecast:
    """An effect foretold at a compute, as the mean of `runs` seeds, with the interval that such a
    mean falls into.
    """

    compute: float
    runs: int
    estimate: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Extrapolation:
    """How an effect goes up the ladder. `slope`: per tenfold compute, with its interval. `misfit`:
    p that the rungs lie on no straight line (lack of fit against the spread within rungs).
    `unequal`: p that one spread does not fit all rungs, as the intervals take it to (Bartlett's
    test). `held`: the last rung, foretold from the others; `came`: what it came to; `inside`:
    whether that lies in the interval. `next`: the ladder continued by its last ratio, from all
    rungs. None: it cannot be told. `reason`: why there is no forecast.
    """

    slope: float | None = None
    low: float | None = None
    high: float | None = None
    misfit: float | None = None
    unequal: float | None = None
    held: Forecast | None = None
    came: float | None = None
    inside: bool | None = None
    next: Forecast | None = None
    reason: str = ""


def paired(cells: Cells, weights: Mapping[str, float]) -> dict[int, float]:
    """The contrast Σ weight × value within each seed that all of its arms have."""
    nonzero = {arm: weight for arm, weight in weights.items() if weight}
    seeds = dict.fromkeys(seed for _, seed in cells)
    complete = [seed for seed in seeds if all((arm, seed) in cells for arm in nonzero)]
    return {
        seed: sum(weight * cells[arm, seed] for arm, weight in nonzero.items()) for seed in complete
    }


def line(effects: Effects) -> Line | None:
    """Ordinary least squares; None with fewer than two computes."""
    computes = np.array([compute for compute, _ in effects])
    if len(set(computes.tolist())) < 2:
        return None
    centre = float(np.exp(np.mean(np.log(computes))))
    design = np.column_stack([np.ones(len(effects)), np.log10(computes / centre)])
    values = np.array([value for _, value in effects])
    (level, slope), *_ = np.linalg.lstsq(design, values, rcond=None)
    residual, dof = values - design @ (level, slope), len(effects) - 2
    sd = float(np.sqrt(residual @ residual / dof)) if dof else None
    return Line(
        float(level),
        float(slope),
        (sd or 0.0) ** 2 * np.linalg.inv(design.T @ design),
        centre,
        sd,
        dof,
    )


def forecast(fitted: Line, compute: float, runs: int, level: float = 0.95) -> Forecast:
    """The effect at `compute`: the interval is of the mean of `runs` new seeds, so it takes in
    their error and the line's.
    """
    at = np.array([1.0, np.log10(compute / fitted.centre)])
    estimate = float(at @ (fitted.level, fitted.slope))
    if fitted.sd is None:
        return Forecast(compute, runs, estimate, None, None)
    error = float(np.sqrt(at @ fitted.covariance @ at + fitted.sd**2 / runs))
    half = float(special.stdtrit(fitted.dof, 0.5 + level / 2)) * error
    return Forecast(compute, runs, estimate, estimate - half, estimate + half)


def outlook(
    rungs: Sequence[tuple[float, Cells]], weights: Mapping[str, float], level: float = 0.95
) -> Extrapolation:
    """A contrast up the ladder. `rungs`: the baseline's training FLOPs and the values by (arm,
    seed) of each, from small to large. Rungs on which the contrast has no value are left out; with
    fewer than three there is no forecast.
    """
    by_rung = [(compute, list(paired(cells, weights).values())) for compute, cells in rungs]
    if by_rung and not by_rung[-1][1]:
        return Extrapolation(reason="the last rung has no value of it")
    usable = [(compute, values) for compute, values in by_rung if values]
    every = [(compute, value) for compute, values in usable for value in values]
    fitted, before = (
        line(every),
        line([(c, value) for c, values in usable[:-1] for value in values]),
    )
    if fitted is None or before is None:
        return Extrapolation(
            reason=f"{len(usable)} rung(s) have a value of it: a forecast needs three"
        )
    (previous, _), (last, values) = usable[-2:]
    groups = [values for _, values in usable]
    held, came = forecast(before, last, len(values), level), float(np.mean(values))
    inside = None if held.low is None or held.high is None else held.low <= came <= held.high
    half = None
    if fitted.sd is not None:
        half = float(
            special.stdtrit(fitted.dof, 0.5 + level / 2) * np.sqrt(fitted.covariance[1, 1])
        )
    return Extrapolation(
        slope=fitted.slope,
        low=None if half is None else fitted.slope - half,
        high=None if half is None else fitted.slope + half,
        misfit=_misfit(groups, fitted),
        unequal=_unequal(groups),
        held=held,
        came=came,
        inside=inside,
        next=forecast(fitted, last * last / previous, len(values), level),
    )


def _misfit(groups: Sequence[Sequence[float]], fitted: Line) -> float | None:
    """The lack-of-fit F test: what the rungs' means miss the line by, against the spread within
    rungs.
    """
    within = float(sum(np.sum((np.array(values) - np.mean(values)) ** 2) for values in groups))
    free, inner = len(groups) - 2, sum(map(len, groups)) - len(groups)
    if fitted.sd is None or free < 1 or inner < 1 or within <= 0:
        return None
    missed = max(0.0, fitted.sd**2 * fitted.dof - within)
    return float(special.fdtrc(free, inner, (missed / free) / (within / inner)))


def _unequal(groups: Sequence[Sequence[float]]) -> float | None:
    """Bartlett's (1937) test of equal variances; None with fewer than two rungs of two seeds and a
    spread.
    """
    spread = [
        (len(values) - 1, float(np.var(values, ddof=1))) for values in groups if len(values) > 1
    ]
    if len(spread) < 2 or any(variance <= 0 for _, variance in spread):
        return None
    free = sum(dof for dof, _ in spread)
    pooled = sum(dof * variance for dof, variance in spread) / free
    statistic = free * np.log(pooled) - sum(dof * np.log(variance) for dof, variance in spread)
    correction = 1 + (sum(1 / dof for dof, _ in spread) - 1 / free) / (3 * (len(spread) - 1))
    return float(special.chdtrc(len(spread) - 1, statistic / correction))
