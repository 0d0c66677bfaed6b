"""Questions and effects: contrasts of arm means; and the means of the arms themselves.

The error terms of effects are in `ablab.stats.inference.error_terms`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from scipy import special

from ablab.stats.two_way import Cells, Fit, fit


class Question(Protocol):
    """An effect as weights on arm means. `kind` is change, total or interaction. `parts` are the
    weights of each draw if the effect is averaged over sampled orders.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def weights(self) -> Mapping[str, float]: ...  # noqa: D102
    @property
    def parts(self) -> Sequence[Mapping[str, float]]: ...  # noqa: D102


def require_weights(questions: Iterable[Question]) -> None:
    """Raise ValueError unless every question weighs some arm, with finite weights.

    The weights of a draw may be all zero: its arms may be equal.
    """
    for question in questions:
        weights = list(question.weights.values())
        every = [*weights, *(w for part in question.parts for w in part.values())]
        if not all(map(math.isfinite, every)):
            raise ValueError(f"question {question.name!r}: a weight is not finite")
        if not any(weights):
            raise ValueError(f"question {question.name!r}: no arm has a weight other than zero")


@dataclass(frozen=True)
class Effect:
    """The estimate of a contrast, its 95 % interval (not adjusted for the number of effects) and
    two-sided p-value.

    Values are None if they are not estimable; with one seed there is no interval. `sampling_se` is
    the standard error due to sampling only some of the orders, which the interval includes; None if
    nothing was sampled.
    """

    estimate: float | None
    low: float | None
    high: float | None
    p: float | None
    sampling_se: float | None = None


@dataclass(frozen=True)
class Estimate:
    """A mean, its standard error (None without degrees of freedom) and the degrees of freedom."""

    value: float
    error: float | None
    dof: int

    def interval(self, level: float = 0.95) -> tuple[float, float] | tuple[None, None]:
        """Return the two-sided confidence interval."""
        if self.error is None:
            return None, None
        half = _quantile(self.dof, 0.5 + level / 2) * self.error
        return self.value - half, self.value + half


@lru_cache(maxsize=1024)
def _quantile(dof: float, level: float) -> float:
    return float(special.stdtrit(dof, level))


def arm_means(cells: Cells) -> dict[str, Estimate]:
    """Return the mean of each arm, adjusted for seeds that only other arms of its stream have.

    The error is that of one run-to-run standard deviation for all arms of a stream, about arm and
    seed means. It excludes what a seed does to all arms alike.
    """
    streams = fit(cells).pattern.streams if cells else ()
    fits = [
        fit({key: value for key, value in cells.items() if key[0] in stream}) for stream in streams
    ]
    return {
        arm: estimate
        for fitted in fits
        for arm in fitted.arms
        if (estimate := _arm_mean(fitted, arm)) is not None
    }


def _arm_mean(fitted: Fit, arm: str) -> Estimate | None:
    contrast = fitted.pattern.contrast({arm: 1.0})
    if contrast is None:
        return None
    error = None if fitted.sd is None else fitted.sd * math.sqrt(contrast[1])
    return Estimate(fitted.means[arm], error, fitted.dof)


def mean_sd(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the mean and the sample standard deviation; None if there are too few values."""
    if not values:
        return None, None
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, None
    return mean, float(np.std(values, ddof=1))
