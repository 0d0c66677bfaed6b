"""Compute multipliers: how much compute a baseline would need for the loss of another arm."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ablab.stats.scaling.curves import Curve, t_quantile

# A multiplier that needs a compute further outside the range of the baseline's runs, by this
# factor, is not reported.
_MAX_EXTRAPOLATION = 4.0
# The logarithm of the multiplier, and of the ends of its interval; or why there is none.
_LogMultiplier = tuple[float, float, float] | str


@dataclass(frozen=True)
class Multiplier:
    """How many times its compute the baseline would need, with the 95 % interval; `value` is None
    if that is not known, for the `reason` given.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""


def multiplier(
    baseline: Curve, compute: float, losses: Mapping[int, float], level: float = 0.95
) -> Multiplier:
    """Return how many times `compute` the baseline would need to reach the losses (by seed) that an
    arm reached with it.

    The interval includes the error of the curve and that of the arm's runs, which vary as those of
    the baseline do. It is Fieller's (1954) for a straight line, and comes from the delta method on
    the logarithm for a power law.
    """
    values = [
        loss - baseline.seeds[seed] for seed, loss in losses.items() if seed in baseline.seeds
    ]
    if not values:
        return Multiplier(None, reason="no seed in common with the baseline")
    if baseline.sd is None:
        return Multiplier(
            None, reason="too few runs to tell how far the baseline's curve can be trusted"
        )
    loss = float(np.mean(values))
    variance = baseline.sd**2 / len(values)
    z = float(np.log(compute / baseline.centre))
    solve = _fieller if baseline.form == "log_linear" else _delta
    solution = solve(baseline, loss, variance, (z, t_quantile(baseline.dof, level)))
    if isinstance(solution, str):
        return Multiplier(None, reason=solution)
    # Clipped before the exponential, which would overflow.
    needed = compute * float(np.exp(min(solution[0], 500.0)))
    lowest = baseline.lowest / _MAX_EXTRAPOLATION
    if not lowest <= needed <= baseline.highest * _MAX_EXTRAPOLATION:
        side = "below the smallest" if needed < baseline.lowest else "beyond the largest"
        reason = (
            f"it lies more than {_MAX_EXTRAPOLATION:g} times {side} compute of the baseline's runs"
        )
        return Multiplier(None, reason=reason)
    value, low, high = (float(np.exp(np.clip(end, -500.0, 500.0))) for end in solution)
    return Multiplier(value, low, high)


def _fieller(line: Curve, loss: float, variance: float, at: tuple[float, float]) -> _LogMultiplier:
    """Solve for a straight line, where it is (loss − line) / slope, a ratio of two estimates.

    `variance` is that of the loss, and `at` holds z and the quantile of the interval.
    """
    z, t = at
    a, b = line.values
    gradient = np.array([1.0, z])
    numerator = loss - a - b * z
    numerator_variance = variance + float(gradient @ line.covariance @ gradient)
    slope_variance = float(line.covariance[1, 1])
    covariance = -float(gradient @ line.covariance[:, 1])
    # The interval lies between the roots of a quadratic equation.
    quadratic = b**2 - t**2 * slope_variance
    if b >= 0 or quadratic <= 0:
        return "the baseline's loss does not fall measurably with compute"
    linear = numerator * b - t**2 * covariance
    constant = numerator**2 - t**2 * numerator_variance
    root = float(np.sqrt(max(0.0, linear**2 - quadratic * constant)))
    return numerator / b, (linear - root) / quadratic, (linear + root) / quadratic


def _delta(law: Curve, loss: float, variance: float, at: tuple[float, float]) -> _LogMultiplier:
    """Solve for a power law; the arguments are those of `_fieller`."""
    z, t = at
    floor, scale, exponent = law.values
    above_floor = loss - floor
    if above_floor <= 0:
        return "it lies below the floor of the baseline's curve"
    needed = -float(np.log(above_floor / scale)) / exponent
    gradient = np.array([1 / above_floor, 1 / scale, -needed]) / exponent
    loss_variance = variance / (exponent * above_floor) ** 2
    error = float(np.sqrt(loss_variance + gradient @ law.covariance @ gradient))
    return needed - z, needed - z - t * error, needed - z + t * error
