"""Effects as contrasts of arm means, with seeds as blocks.

One error term serves every design: the arm × seed residual after arm and seed means are removed,
with (arms − 1)(seeds − 1) degrees of freedom. Missing cells are handled by least squares on the
same two-way model.
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
    """The value of a contrast, its standard error (None without degrees of freedom) and the degrees
    of freedom. `sampling_error` is the part of the error that is due to sampling orders.
    """

    value: float
    error: float | None
    dof: float
    sampling_error: float | None = None

    def p(self) -> float | None:
        """Return the two-sided p-value, by Student's t."""
        if self.error is None:
            return None
        if self.error > 0:
            return float(2 * special.stdtr(self.dof, -abs(self.value) / self.error))
        return float(self.value == 0)

    def interval(self, level: float = 0.95) -> tuple[float, float] | tuple[None, None]:
        """Return the two-sided confidence interval."""
        if self.error is None:
            return None, None
        half = _quantile(self.dof, 0.5 + level / 2) * self.error
        return self.value - half, self.value + half


@lru_cache(maxsize=1024)
def _quantile(dof: float, level: float) -> float:
    return float(special.stdtrit(dof, level))


def estimate(
    fitted: Fit, weights: Mapping[str, float], parts: Sequence[Mapping[str, float]] = ()
) -> Estimate | None:
    """Return the contrast Σ weight × arm mean with its error, or None if the cells cannot estimate
    it.

    `parts` are the weights of each draw if the contrast is a mean over draws. The spread of their
    estimates over √draws is added to the error. This is conservative, since the noise of the arms
    is part of that spread. Degrees of freedom are then those of Satterthwaite (1946).
    """
    contrast = fitted.pattern.contrast(weights)
    if contrast is None:
        return None
    value = sum(weight * fitted.means[arm] for arm, weight in weights.items() if weight)
    sampling_error = _sampling_error(fitted, parts)
    if fitted.sd is None:
        return Estimate(value, None, 0.0, sampling_error)
    variance = fitted.sd**2 * contrast[1]
    dof = float(fitted.dof)
    if sampling_error:
        total = variance + sampling_error**2
        dof = total**2 / (variance**2 / dof + sampling_error**4 / (len(parts) - 1))
        variance = total
    return Estimate(value, float(np.sqrt(variance)), dof, sampling_error)


def effect(
    fitted: Fit,
    weights: Mapping[str, float],
    level: float = 0.95,
    parts: Sequence[Mapping[str, float]] = (),
) -> Effect:
    """Return the contrast Σ weight × arm mean with its interval and p-value; for `parts` see
    `estimate`.
    """
    result = estimate(fitted, weights, parts)
    if result is None:
        return Effect(None, None, None, None)
    return Effect(result.value, *result.interval(level), result.p(), result.sampling_error)


def arm_means(cells: Cells) -> dict[str, Estimate]:
    """Return the mean of each arm, adjusted for seeds that only other arms of its stream have. The
    error excludes what a seed does to all arms alike.
    """
    streams = fit(cells).pattern.streams if cells else ()
    fits = [
        fit({key: value for key, value in cells.items() if key[0] in stream}) for stream in streams
    ]
    means = {arm: estimate(fitted, {arm: 1.0}) for fitted in fits for arm in fitted.arms}
    return {arm: mean for arm, mean in means.items() if mean is not None}


def _sampling_error(fitted: Fit, parts: Sequence[Mapping[str, float]]) -> float | None:
    if len(parts) < 2:
        return None
    estimates = [sum(weight * fitted.means[arm] for arm, weight in part.items()) for part in parts]
    return float(np.std(estimates, ddof=1) / np.sqrt(len(estimates)))


def mean_sd(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the mean and the sample standard deviation; None if there are too few values."""
    if not values:
        return None, None
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, None
    return mean, float(np.std(values, ddof=1))
