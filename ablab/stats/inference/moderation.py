"""Variances of several changes, shrunk towards their common value.

Arrays have the shape `(studies, changes)`.
"""

import numpy as np
from scipy import special

# The p-value of the F test below which a change keeps its own variance.
_STANDS_OUT = 0.25
_MOST_PRIOR_DOF = 1000.0
# ψ₁(x) at these x, descending, for its inverse by interpolation.
_TRIGAMMA_X = np.geomspace(0.05, _MOST_PRIOR_DOF / 2, 4000)
_TRIGAMMA = special.polygamma(1, _TRIGAMMA_X)


def moderate(variances: np.ndarray, dof: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the moderated variances and their degrees of freedom.

    Each variance, with `dof` degrees of freedom, is shrunk towards the common one by an empirical
    Bayes estimate (Smyth 2004, equation 4). The total degrees of freedom are at most those of all
    variances together. A variance that stands out from the mean of the others is kept, and all are
    if one of them is zero, which says nothing about their spread.
    """
    count = variances.shape[1]
    prior, prior_dof = _prior(variances, dof)
    moderated = (prior_dof * prior + dof * variances) / (prior_dof + dof)
    total_dof = np.minimum(prior_dof + dof, count * dof) * np.ones(count)
    others = (variances.sum(1, keepdims=True) - variances) / (count - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        kept = special.fdtrc(dof, dof * (count - 1), variances / others) < _STANDS_OUT
    kept |= (variances <= 0).any(1, keepdims=True)
    return np.where(kept, variances, moderated), np.where(kept, dof, total_dof)


def _prior(variances: np.ndarray, dof: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the prior variance and its degrees of freedom, `(studies, 1)` each, by the moments of
    the log variances `(studies, changes)` (Smyth 2004, section 6.2).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(variances) - special.digamma(dof / 2) + np.log(dof / 2)
    mean = logs.mean(1, keepdims=True)
    with np.errstate(invalid="ignore"):
        excess = logs.var(1, ddof=1, keepdims=True) - special.polygamma(1, dof / 2)
    # np.interp needs ascending abscissae; no excess of spread means equal variances.
    half = np.interp(-np.maximum(excess, _TRIGAMMA[-1]), -_TRIGAMMA, _TRIGAMMA_X)
    prior = np.exp(mean + special.digamma(half) - np.log(half))
    return prior, 2 * half
