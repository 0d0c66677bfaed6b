"""Effects on a ladder of scales: a straight line of an effect against the logarithm of training
compute, and forecasts from it.

An effect is computed within each seed of each rung, so that what a seed does to all arms cancels.
One standard deviation applies to the whole ladder. Intervals are those of ordinary least squares;
the interval of a forecast includes the error of a new measurement.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from ablab.stats.two_way import Cells

# (training FLOPs, effect) of a seed on a rung.
Effects = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """The line effect = `level` + `slope`·log10(C / `centre`), with the covariance of `level` and
    `slope`.

    `sd` is the standard deviation of the effect in one seed about the line, or None without degrees
    of freedom.
    """

    level: float
    slope: float
    covariance: np.ndarray
    centre: float
    sd: float | None
    dof: int


@dataclass(frozen=True)
class Forecast:
    """A forecast of an effect at a compute, with the prediction interval of its mean over `runs`
    new seeds.
    """

    compute: float
    runs: int
    estimate: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Extrapolation:
    """How an effect changes along the ladder; a value that is not known is None.

    `slope` is the change per tenfold compute, with its interval. `misfit` is the p-value of the
    hypothesis that the rungs lie on a straight line (lack of fit relative to the spread within
    rungs). `unequal` is that of the hypothesis that the spread is equal on all rungs, which the
    intervals assume (Bartlett's test). `held` is the forecast for the last rung from the others,
    `came` the effect measured there, and `inside` whether it lies in the interval. `next` is the
    forecast from all rungs for the compute that continues the ladder by its last ratio. `reason`
    states why there is no forecast.
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
    """Return the contrast Σ weight × value in each seed that all of its arms have."""
    nonzero = {arm: weight for arm, weight in weights.items() if weight}
    seeds = dict.fromkeys(seed for _, seed in cells)
    complete = [seed for seed in seeds if all((arm, seed) in cells for arm in nonzero)]
    return {
        seed: sum(weight * cells[arm, seed] for arm, weight in nonzero.items()) for seed in complete
    }


def line(effects: Effects) -> Line | None:
    """Fit a line by ordinary least squares; None with fewer than two computes."""
    computes = np.array([compute for compute, _ in effects])
    if len(set(computes.tolist())) < 2:
        return None
    centre = float(np.exp(np.mean(np.log(computes))))
    design = np.column_stack([np.ones(len(effects)), np.log10(computes / centre)])
    values = np.array([value for _, value in effects])
    (level, slope), *_ = np.linalg.lstsq(design, values, rcond=None)
    residual = values - design @ (level, slope)
    dof = len(effects) - 2
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
    """Return the forecast of the effect at `compute`.

    The interval is that of the mean of `runs` new seeds: it includes their error and that of the
    line.
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
    """Extrapolate a contrast along the ladder.

    `rungs` are pairs of the training FLOPs of the baseline and the values by (arm, seed), in
    ascending order. Rungs on which the contrast has no value are omitted; with fewer than three
    remaining there is no forecast.
    """
    by_rung = [(compute, list(paired(cells, weights).values())) for compute, cells in rungs]
    if by_rung and not by_rung[-1][1]:
        return Extrapolation(reason="the effect has no value on the last rung")
    usable = [(compute, values) for compute, values in by_rung if values]
    fitted = line([(compute, value) for compute, values in usable for value in values])
    before_last = line([(compute, value) for compute, values in usable[:-1] for value in values])
    if fitted is None or before_last is None:
        return Extrapolation(
            reason=f"the effect has a value on {len(usable)} rung(s) only: a forecast needs three"
        )
    (previous, _), (last, values) = usable[-2:]
    groups = [values for _, values in usable]
    held_out = forecast(before_last, last, len(values), level)
    measured = float(np.mean(values))
    inside = None
    if held_out.low is not None and held_out.high is not None:
        inside = held_out.low <= measured <= held_out.high
    low, high = _slope_interval(fitted, level)
    return Extrapolation(
        slope=fitted.slope,
        low=low,
        high=high,
        misfit=_misfit(groups, fitted),
        unequal=_unequal(groups),
        held=held_out,
        came=measured,
        inside=inside,
        next=forecast(fitted, last * last / previous, len(values), level),
    )


def _slope_interval(fitted: Line, level: float) -> tuple[float, float] | tuple[None, None]:
    if fitted.sd is None:
        return None, None
    half = float(special.stdtrit(fitted.dof, 0.5 + level / 2) * np.sqrt(fitted.covariance[1, 1]))
    return fitted.slope - half, fitted.slope + half


def _misfit(groups: Sequence[Sequence[float]], fitted: Line) -> float | None:
    """Return the p-value of the lack-of-fit F test, which compares the deviations of the means of
    the rungs from the line with the spread within rungs.
    """
    within = float(sum(np.sum((np.array(values) - np.mean(values)) ** 2) for values in groups))
    dof_between = len(groups) - 2
    dof_within = sum(map(len, groups)) - len(groups)
    if fitted.sd is None or dof_between < 1 or dof_within < 1 or within <= 0:
        return None
    between = max(0.0, fitted.sd**2 * fitted.dof - within)
    ratio = (between / dof_between) / (within / dof_within)
    return float(special.fdtrc(dof_between, dof_within, ratio))


def _unequal(groups: Sequence[Sequence[float]]) -> float | None:
    """Return the p-value of Bartlett's test of equal variances (1937), or None unless at least two
    rungs have two seeds or more, all of them with a spread.
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
