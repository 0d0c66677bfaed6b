"""Meta-analysis of an effect over several settings: the mean, the spread between settings, and what
a new setting will give.

*Dependence.* Estimates that share runs are correlated: with independent runs of equal variance, the
covariance of Σ w(r) y(r) and Σ u(r) y(r) is proportional to Σ w(r) u(r). It is scaled to the
variances of the estimates themselves. Correlated estimates, and replications of one setting, form a
cluster, whose mean (weights 1 / variance) counts once; its variance holds the covariances.

*Mean.* Random effects over clusters by statsmodels (`combine_effects`): the variance between
settings τ² by Paule & Mandel (1982), and the error of the mean by Knapp & Hartung (2003) with
clusters − 1 degrees of freedom. The factor of Knapp and Hartung is kept at one or above, without
which estimates that agree by chance have no error (Röver, Knapp & Friede 2015).

*Few seeds.* Variances enter as they are. Weights 1 / v of a variance with d degrees of freedom are
too large by d / (d − 2) on average, but a correction by this factor made more errors, not fewer,
where settings differ (`benchmarks/meta_error_rates.py`).

*New setting.* What a study of about the same precision would measure in a setting drawn like these:
Student's prediction interval, mean ± t s √(1 + 1/k), with the standard deviation s of the estimates
over settings and clusters − 1 degrees of freedom. It is exact for equal variances, and needs three
clusters. That of Higgins, Thompson & Spiegelhalter (2009) is for the effect without the error of a
study. It depends on an estimate of τ² that is too often zero, and with five or nine settings holds
in about 90 % of cases where their spread is half the noise of a run.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special
from scipy.sparse.csgraph import connected_components

_LEVEL = 0.95
_MIN_PREDICTED = 3  # clusters that a prediction interval needs
_CORRELATED = 1e-9  # smaller correlations are rounding


@dataclass(frozen=True)
class Measured:
    """An estimate of an effect in one setting."""

    estimate: float
    """Estimate in the metric's units."""
    variance: float
    """Square of its standard error."""
    dof: float
    """Degrees of freedom of the variance, more than two."""

    def interval(self) -> tuple[float, float]:
        """Return the two-sided 95 % confidence interval."""
        half = quantile(self.dof) * math.sqrt(self.variance)
        return self.estimate - half, self.estimate + half


@dataclass(frozen=True)
class Pooled:
    """The mean of an effect over clusters of settings."""

    estimate: float
    """Mean over settings."""
    low: float
    """Lower end of its 95 % interval."""
    high: float
    """Upper end."""
    clusters: int
    """Number of clusters."""
    tau: float | None
    """Standard deviation of the effect between settings; None with a single cluster."""
    i2: float | None
    """Share of the variance of the estimates that is between settings; None likewise."""
    prediction: tuple[float, float] | None
    """95 % prediction interval for an estimate in a new setting; None with fewer than three
    clusters.
    """


def correlations(weights: Sequence[Mapping[str, float]]) -> np.ndarray:
    """Return the correlations of contrasts `(contrasts, contrasts)` that shared runs cause.

    Args:
        weights: weight by run of each contrast. A contrast without runs is independent of all.

    """
    runs = {run: i for i, run in enumerate(dict.fromkeys(r for each in weights for r in each))}
    matrix = np.zeros((len(weights), len(runs)))
    for row, each in zip(matrix, weights, strict=True):
        for run, weight in each.items():
            row[runs[run]] = weight
    norms = np.linalg.norm(matrix, axis=1)
    scaled = matrix / np.where(norms > 0, norms, 1.0)[:, None]
    result = scaled @ scaled.T
    np.fill_diagonal(result, 1.0)
    return result


def clusters_of(correlation: np.ndarray, settings: Sequence[object]) -> list[list[int]]:
    """Return the numbers of the contrasts of each cluster: correlated ones, and those of equal
    settings.
    """
    linked = np.abs(correlation) > _CORRELATED
    for i, setting in enumerate(settings):
        linked[i] |= [setting == other for other in settings]
    count, labels = connected_components(linked, directed=False)
    return [np.flatnonzero(labels == label).tolist() for label in range(count)]


def combined(measured: Sequence[Measured], correlation: np.ndarray) -> Measured:
    """Return the weighted mean of the estimates of a cluster.

    The degrees of freedom are Satterthwaite's (1946) where the estimates are independent, and the
    smallest of them where they are not.
    """
    if len(measured) == 1:
        return measured[0]
    weights = np.array([1 / each.variance for each in measured])
    weights /= weights.sum()
    errors = weights * np.sqrt([each.variance for each in measured])
    variance = float(errors @ correlation @ errors)
    dofs = np.array([each.dof for each in measured])
    dof = float((errors**2).sum() ** 2 / (errors**4 / dofs).sum())
    if (np.abs(correlation - np.eye(len(measured))) > _CORRELATED).any():
        dof = float(dofs.min())
    estimate = float(weights @ [each.estimate for each in measured])
    return Measured(estimate, variance, dof)


def pool(measured: Sequence[Measured], settings: Sequence[float] | None = None) -> Pooled:
    """Return the mean over independent estimates.

    Args:
        measured: estimate of each cluster.
        settings: estimates of all settings, if clusters hold several.

    Raises:
        ValueError: if there are none, if a variance is not positive, or if it has two degrees of
            freedom or fewer.

    """
    require_weighable(measured)
    if len(measured) == 1:
        (only,) = measured
        return Pooled(only.estimate, *only.interval(), 1, None, None, None)
    mean, tau2, error, i2 = _random_effects(measured)
    half = quantile(len(measured) - 1) * error
    prediction = None
    if len(measured) >= _MIN_PREDICTED:
        estimates = settings or [each.estimate for each in measured]
        sd = float(np.std(estimates, ddof=1))
        reach = quantile(len(measured) - 1) * sd * math.sqrt(1 + 1 / len(measured))
        prediction = mean - reach, mean + reach
    return Pooled(mean, mean - half, mean + half, len(measured), math.sqrt(tau2), i2, prediction)


def _random_effects(measured: Sequence[Measured]) -> tuple[float, float, float, float]:
    """Return the mean, the variance between settings, the error of the mean, and I²."""
    from statsmodels.stats.meta_analysis import combine_effects

    values = np.array([each.estimate for each in measured])
    variances = np.array([each.variance for each in measured])
    unit = math.sqrt(variances.mean())  # the library's tolerance is absolute
    with np.errstate(divide="ignore"):  # its I² of estimates that are all equal
        result: Any = combine_effects(values / unit, variances / unit**2, method_re="pm")
    factor = max(1.0, float(result.scale_hksj_re))
    error = math.sqrt(factor * float(result.var_eff_w_re)) * unit
    q = float(result.q)
    i2 = max(0.0, 1 - (len(measured) - 1) / q) if q > 0 else 0.0
    return float(result.mean_effect_re) * unit, float(result.tau2) * unit**2, error, i2


def require_weighable(measured: Sequence[Measured]) -> None:
    """Raise ValueError as `pool` does."""
    if not measured:
        raise ValueError("no estimates to pool")
    for each in measured:
        if not (0 < each.variance < math.inf and each.dof > 2):
            raise ValueError(
                f"a variance of {each.variance} with {each.dof} degrees of freedom: it must be "
                "above zero, with more than two"
            )


def quantile(dof: float) -> float:
    """Return the quantile of Student's t that a two-sided 95 % interval needs."""
    return float(special.stdtrit(dof, 0.5 + _LEVEL / 2))
