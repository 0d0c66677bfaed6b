"""The response surface of tuning: the loss of each arm over the binary logarithm of the learning
rate, and what choosing the rate from noisy trials costs.

Near its optimum, the loss of an arm is `minimum + curvature · (x − optimum)²`, where `x` is log2 of
the learning rate. One trial per point cannot estimate the curvature of an arm, so that all arms
share one (response-surface methodology: Box & Wilson 1951). The fit is local (weights that fall
with the distance from the optimum, Cleveland 1979), since losses are not quadratic far from it.

*Estimand.* A study asks for the difference of the arms, each at its own best rate. Confirming runs
measure the loss at the chosen rate, which exceeds the loss at the optimum by the *excess*
`curvature · error²`, where `error` is that of the chosen rate. More seeds do not reduce it. If the
error is normal with variance `v`, the excess has mean `curvature · v` and second moment
`3 · curvature² · v²`. `ResponseSurface.excess` returns the second moment of a contrast, which the
judge adds to the variance of the contrast of confirming means. The contrast itself is not
corrected, since arms that were tuned alike have equal expected excesses.

All functions take leading batch axes `…`, one entry per study.
"""

from dataclasses import dataclass

import numpy as np

from ablab.stats.tuning.tuning_trials import Trials, distance_weights, value_weights
from ablab.stats.tuning.weighted_fit import WeightedFit

__all__ = ["Excess", "ResponseSurface", "Trials", "fit_surface", "refining_offsets"]

_ITERATIONS = 4
# Measured losses rise more steeply close to the optimum than the parabola that fits a whole octave,
# which understates the excess. The factor holds type I errors for the bowl that
# `benchmarks.tuning_error` takes from real runs, at twice their noise.
_SHARPER = 1.5
# A t quantile with fewer is so large that an interval would be without use.
_FEWEST_DOF = 3.0


def refining_offsets(seeds: int) -> tuple[float, ...]:
    """Return where to try more points around each optimum, in grid steps from it.

    The standard error of the confirming means falls with the number of `seeds`, and so must the
    excess: two points for up to eight seeds, and four for more.
    """
    return (-0.75, 0.75) if seeds <= 8 else (-0.75, -0.5, 0.5, 0.75)


@dataclass(frozen=True)
class Excess:
    """What tuning error adds to a contrast of confirming means."""

    variance: np.ndarray
    """Variance to be added, `(…)`."""
    dof: np.ndarray
    """Its degrees of freedom, `(…)`."""

    def added_to(self, variance: np.ndarray, dof: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the variance of a contrast with tuning error, and its degrees of freedom.

        `variance` and `dof` are those of the contrast of confirming means, `(…)`. The degrees of
        freedom are Satterthwaite's (1946), but not above `dof`: the excess is not normal.
        """
        total = variance + self.variance
        squares = variance**2 / dof + self.variance**2 / self.dof
        combined = total**2 / np.where(squares > 0, squares, 1.0)
        return total, np.where(squares > 0, np.minimum(combined, dof), dof)


@dataclass(frozen=True)
class ResponseSurface:
    """The fitted surface `minimum + curvature · (x − optimum)²` of each arm."""

    optimum: np.ndarray
    """Estimated optimum of each arm, in log2 of the learning rate, `(…, arms)`. It is within the
    finite trials of the arm."""
    covariance: np.ndarray
    """Covariance of the optima, `(…, arms, arms)`."""
    minimum: np.ndarray
    """Loss at the optimum, `(…, arms)`."""
    curvature: np.ndarray
    """Excess loss one octave from the optimum, `(…)`; positive."""
    sd: np.ndarray
    """Standard deviation of a trial about the surface, lack of fit included, `(…)`; NaN without
    degrees of freedom."""
    dof: np.ndarray
    """Degrees of freedom of `sd`, `(…)`."""
    at_edge: np.ndarray
    """Whether the optimum is the lowest or highest finite trial of its arm, `(…, arms)`."""

    @property
    def error(self) -> np.ndarray:
        """Standard error of the optima, in octaves, `(…, arms)`."""
        return np.sqrt(np.diagonal(self.covariance, axis1=-2, axis2=-1))

    def loss(self, x: np.ndarray) -> np.ndarray:
        """Return the loss of each arm at `x`, `(…, arms, points)` for `x` `(points,)`."""
        distance = x - self.optimum[..., None]
        return self.minimum[..., None] + self.curvature[..., None, None] * distance**2

    def excess(self, weights: np.ndarray) -> Excess:
        """Return what tuning error adds to the contrast `weights` `(arms,)` of confirming means.

        The variance is unknown (NaN) without degrees of freedom. It is proportional to the fourth
        power of `sd`, so that it has a quarter of its degrees of freedom, or three if that is more.
        """
        variances = np.diagonal(self.covariance, axis1=-2, axis2=-1)
        moments = 3 * (self.curvature[..., None] * variances) ** 2
        return Excess(_SHARPER * (moments @ weights**2), np.maximum(self.dof / 4, _FEWEST_DOF))


def fit_surface(trials: Trials) -> ResponseSurface:
    """Fit the surface by weighted least squares, with one curvature for all arms.

    The curvature is at least its own standard error, so that a flat or hollow set of trials has an
    optimum too. The optimum of an arm is kept within its finite trials.

    Raises:
        ValueError: if an arm has no finite trial.

    """
    members = trials.arm == np.arange(trials.arms)[:, None]  # (arms, trials)
    finite = trials.finite[..., None, :] & members  # (…, arms, trials)
    if not finite.any(-1).all():
        raise ValueError("an arm has no finite trial")
    x = np.broadcast_to(trials.x, trials.loss.shape)
    low = np.where(finite, x[..., None, :], np.inf).min(-1)
    high = np.where(finite, x[..., None, :], -np.inf).max(-1)
    best = np.where(finite, trials.loss[..., None, :], np.inf).argmin(-1)
    optimum = np.take_along_axis(x, best, -1)
    level = value_weights(trials, np.take_along_axis(trials.loss, best, -1))
    fit = _LocalFit.of(trials, x, optimum, level)
    for _ in range(_ITERATIONS - 1):
        fit = _LocalFit.of(trials, x, fit.optimum(low, high), level)
    return fit.surface(low, high)


@dataclass(frozen=True)
class _LocalFit:
    """A weighted fit about given centres, one per arm."""

    centre: np.ndarray  # (…, arms)
    level: np.ndarray  # loss at the centre, (…, arms)
    slope: np.ndarray  # at the centre, (…, arms)
    curvature: np.ndarray  # (…)
    covariance: np.ndarray  # of all slopes and the curvature, (…, arms + 1, arms + 1)
    sd: np.ndarray  # (…)
    dof: np.ndarray  # (…)

    @classmethod
    def of(
        cls, trials: Trials, x: np.ndarray, centre: np.ndarray, level: np.ndarray
    ) -> "_LocalFit":
        """Fit about `centre` with the weights `level` `(…, trials)` times those of distance."""
        arms = trials.arms
        distance = x - centre[..., trials.arm]
        weight = level * distance_weights(trials, distance)
        design = _design(trials, distance)
        solution = WeightedFit.of(design, weight, np.where(trials.finite, trials.loss, 0.0))
        slopes = slice(arms, 2 * arms + 1)
        covariance = solution.covariance[..., slopes, slopes]
        curvature = solution.values[..., 2 * arms]
        floor = np.sqrt(np.nan_to_num(covariance[..., -1, -1]))
        return cls(
            centre,
            solution.values[..., :arms],
            solution.values[..., arms : 2 * arms],
            np.maximum(np.maximum(curvature, floor), 1e-12),
            covariance,
            solution.sd,
            solution.dof,
        )

    def optimum(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Return the optima within `low` to `high`, all `(…, arms)`."""
        free = self.centre - self.slope / (2 * self.curvature[..., None])
        return np.clip(free, low, high)

    def surface(self, low: np.ndarray, high: np.ndarray) -> ResponseSurface:
        """Return the surface, with optima within `low` to `high`, both `(…, arms)`.

        The optimum is `centre − slope / (2 curvature)`; its error follows by the delta method. The
        variance of a value within bounds is at most a quarter of their squared distance (Popoviciu
        1935), which matters where the curvature is close to zero.
        """
        optimum = self.optimum(low, high)
        arms = optimum.shape[-1]
        curvature = self.curvature[..., None]
        offset = optimum - self.centre
        jacobian = np.zeros((*optimum.shape, arms + 1))
        jacobian[..., :arms] = np.eye(arms)
        jacobian[..., arms] = 2 * offset
        jacobian /= -2 * curvature[..., None]
        covariance = jacobian @ self.covariance @ np.swapaxes(jacobian, -1, -2)
        variance = np.maximum(np.diagonal(covariance, axis1=-2, axis2=-1), 1e-300)
        shrink = np.minimum(1.0, (high - low) / 2 / np.sqrt(variance))
        return ResponseSurface(
            optimum,
            covariance * shrink[..., None] * shrink[..., None, :],
            self.level + self.slope * offset + curvature * offset**2,
            self.curvature,
            self.sd,
            self.dof,
            (optimum <= low) | (optimum >= high),
        )


def _design(trials: Trials, distance: np.ndarray) -> np.ndarray:
    """Return the columns: a level and a slope per arm, the curvature, and seeds as deviations that
    sum to zero, `(…, trials, columns)`.
    """
    member = np.broadcast_to(
        (trials.arm[:, None] == np.arange(trials.arms)).astype(float),
        (*distance.shape, trials.arms),
    )
    columns = [member, member * distance[..., None], distance[..., None] ** 2]
    if trials.seed is not None:
        last = int(trials.seed.max())
        seeds = (trials.seed[:, None] == np.arange(last)).astype(float)
        seeds[trials.seed == last] = -1.0
        columns.append(np.broadcast_to(seeds, (*distance.shape, last)))
    return np.concatenate(columns, -1)
