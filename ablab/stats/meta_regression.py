"""Regression of an effect on a covariate of its settings.

Weighted least squares by statsmodels, with the variance between settings τ² that remains around the
line, and the errors of Knapp & Hartung (2003) with their factor at one or above, as in
`ablab.stats.meta`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special
from scipy.optimize import brentq

from ablab.stats.meta import Measured, quantile, require_weighable

_MIN_SETTINGS = 4
_MIN_PLACES = 3  # distinct values of the covariate


@dataclass(frozen=True)
class Trend:
    """The slope of an effect on a covariate."""

    slope: float
    """Change of the effect per unit of the covariate."""
    low: float
    """Lower end of its 95 % interval."""
    high: float
    """Upper end."""
    p: float
    """Two-sided p-value of no slope."""


def trend(measured: Sequence[Measured], covariate: Sequence[float]) -> Trend | None:
    """Return the slope of independent estimates on a covariate.

    None with fewer than four estimates, or fewer than three distinct values of the covariate.

    Raises:
        ValueError: as `pool`.

    """
    require_weighable(measured)
    distinct = len({round(value, 6) for value in covariate})
    if len(measured) < _MIN_SETTINGS or distinct < _MIN_PLACES:
        return None
    from statsmodels.regression.linear_model import WLS

    values = np.array([each.estimate for each in measured])
    variances = np.array([each.variance for each in measured])
    design = np.column_stack([np.ones(len(values)), np.array(covariate)])

    def fit(tau2: float) -> Any:
        weights: Any = 1 / (variances + tau2)
        return WLS(values, design, weights=weights).fit()

    fitted = fit(_residual_tau2(fit, values, len(values) - 2))
    # Not less than the variances say, however well the line fits.
    variance = float(fitted.normalized_cov_params[1, 1]) * max(1.0, float(fitted.scale))
    error = math.sqrt(variance)
    slope = float(fitted.params[1])
    dof = len(values) - 2
    half = quantile(dof) * error
    p = 2 * float(special.stdtr(dof, -abs(slope) / error))
    return Trend(slope, slope - half, slope + half, p)


def _residual_tau2(fit: Callable[[float], Any], values: np.ndarray, dof: int) -> float:
    """Return the variance between settings around a line, by Paule and Mandel's equation: the
    weighted sum of squared residuals equals its degrees of freedom.
    """

    def excess(tau2: float) -> float:
        return float(fit(tau2).ssr) - dof

    if excess(0.0) <= 0:
        return 0.0
    upper = float(np.ptp(values)) ** 2 * len(values)
    root: Any = brentq(excess, 0.0, upper, xtol=1e-6 * upper)
    return float(root)
