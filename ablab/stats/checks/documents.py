"""The error of an effect that is due to the choice of held-out documents."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class DocumentError:
    """The standard error of a contrast over documents."""

    error: float
    """Standard error, in the units of the contrast."""
    documents: int
    """Number of documents."""


def by_document(values: np.ndarray, documents: np.ndarray) -> np.ndarray:
    """Return the sums of `values` `(windows,)` over the windows of each document, `(documents,)`.
    `documents` `(windows,)` are their indices.
    """
    _, index = np.unique(documents, return_inverse=True)
    return np.bincount(index, weights=values)


def document_error(differences: np.ndarray, sizes: np.ndarray) -> DocumentError | None:
    """Return the standard error of the ratio Σ differences / Σ sizes over documents.

    Windows of one document are not independent, so documents are the units: this is the linearised
    variance of a ratio estimator (Cochran 1977, Sampling Techniques, section 6.4), without the
    correction for a finite population.

    Args:
        differences: contrast of summed losses by document, `(documents,)`.
        sizes: bytes, or tokens, of each document, `(documents,)`.

    Returns:
        None for fewer than two documents.

    """
    count = len(sizes)
    if count < 2:
        return None
    ratio = differences.sum() / sizes.sum()
    residuals = differences - ratio * sizes
    variance = count / (count - 1) * (residuals**2).sum() / sizes.sum() ** 2
    return DocumentError(float(np.sqrt(variance)), count)
