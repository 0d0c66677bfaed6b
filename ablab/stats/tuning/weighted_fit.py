"""Weighted least squares with weights that say where to fit, not how precise the values are."""

from dataclasses import dataclass

import numpy as np

# Keeps the normal equations regular where a column has no weight.
_RIDGE = 1e-9


@dataclass(frozen=True)
class WeightedFit:
    """Least squares where all values have one variance, whatever their weight.

    `…` are batch axes.
    """

    values: np.ndarray
    """Coefficients, `(…, columns)`."""
    covariance: np.ndarray
    """Their covariance, `(…, columns, columns)`; NaN without degrees of freedom."""
    sd: np.ndarray
    """Standard deviation of a value about the fit, `(…)`; NaN without degrees of freedom."""
    dof: np.ndarray
    """Degrees of freedom of `sd`, `(…)`."""

    @classmethod
    def of(cls, design: np.ndarray, weight: np.ndarray, y: np.ndarray) -> "WeightedFit":
        """Solve for `design` `(…, rows, columns)`, `weight` and `y` `(…, rows)`.

        With the residual matrix `M = W − W X G Xᵀ W`, `G` the inverse of `Xᵀ W X`, the weighted sum
        of squares has mean `sd² tr M`, and about `(tr M)² / tr M²` degrees of freedom.
        """
        weighted = design * weight[..., None]
        transposed = np.swapaxes(weighted, -1, -2)  # (…, columns, rows)
        normal = transposed @ design
        ridge = _RIDGE * np.eye(design.shape[-1])
        inverse = np.linalg.inv(normal + ridge)
        values = (inverse @ (transposed @ y[..., None]))[..., 0]
        residual = y - (design @ values[..., None])[..., 0]
        second = transposed @ weighted  # Xᵀ W² X
        third = np.swapaxes(weighted * weight[..., None], -1, -2) @ weighted
        product = inverse @ second
        trace = weight.sum(-1) - np.trace(product, axis1=-2, axis2=-1)
        squares = (weight**2).sum(-1) - 2 * np.einsum("...ij,...ji->...", inverse, third)
        squares += np.einsum("...ij,...ji->...", product, product)
        known = trace > 1e-6
        variance = np.where(known, (weight * residual**2).sum(-1), np.nan)
        variance = variance / np.where(known, trace, 1.0)
        sandwich = product @ inverse
        dof = np.where(known, trace**2 / np.where(known, squares, 1.0), 0.0)
        return cls(values, variance[..., None, None] * sandwich, np.sqrt(variance), dof)
