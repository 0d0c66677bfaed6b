"""Effects as contrasts of arm means, with seeds as blocks.

One error term serves every design: the arm × seed residual after arm and seed means are removed,
with (arms − 1)(seeds − 1) degrees of freedom. Missing cells are handled by least squares on the
same two-way model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

import numpy as np
from scipy import special

Cells = Mapping[tuple[str, int], float]
# Singular values below this share of the largest count as zero.
_TOLERANCE = 1e-9


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
        return (
            float(2 * special.stdtr(self.dof, -abs(self.value) / self.error))
            if self.error > 0
            else float(self.value == 0)
        )

    def interval(self, level: float = 0.95) -> tuple[float, float] | tuple[None, None]:
        """Return the two-sided confidence interval."""
        if self.error is None:
            return None, None
        half = _quantile(self.dof, 0.5 + level / 2) * self.error
        return self.value - half, self.value + half


@lru_cache(maxsize=1024)
def _quantile(dof: float, level: float) -> float:
    return float(special.stdtrit(dof, level))


@dataclass(frozen=True, eq=False)
class Pattern:
    """The part of a fit that depends on which cells exist and not on their values.

    `solver` `(coefficients, cells)` is the least-squares solution. `streams` are groups of arms
    that are linked by common seeds, directly or through other arms.
    """

    arms: tuple[str, ...]
    streams: tuple[frozenset[str], ...]
    design: np.ndarray
    solver: np.ndarray
    covariance: np.ndarray
    estimable: np.ndarray
    rank: int
    cache: dict[tuple[tuple[str, float], ...], tuple[np.ndarray, float] | None] = field(
        default_factory=dict
    )

    def contrast(self, weights: Mapping[str, float]) -> tuple[np.ndarray, float] | None:
        """Return the weights `(arms,)` and the variance of the contrast for cells of variance one,
        or None if it is not estimable.
        """
        key = tuple(weights.items())
        if key not in self.cache:
            self.cache[key] = self._contrast(weights)
        return self.cache[key]

    def _contrast(self, weights: Mapping[str, float]) -> tuple[np.ndarray, float] | None:
        nonzero = {arm: weight for arm, weight in weights.items() if weight}
        if not nonzero.keys() <= set(self.arms):
            return None
        vector = np.array([nonzero.get(arm, 0.0) for arm in self.arms])
        padded = np.pad(vector, (0, len(self.estimable) - len(vector)))
        if not np.allclose(padded @ self.estimable, padded):
            return None
        # Rounded, so that equal variances compare equal.
        return vector, round(float(vector @ self.covariance @ vector), 12)


@dataclass(frozen=True)
class Fit:
    """The two-way additive fit. `sd` is the standard deviation of a run about its arm and seed
    means, or None without degrees of freedom. `estimable` projects onto the contrasts (over arms
    and seeds) that the cells can estimate.
    """

    means: dict[str, float]
    sd: float | None
    dof: int
    pattern: Pattern

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms in the order of the cells."""
        return self.pattern.arms

    @property
    def covariance(self) -> np.ndarray:
        """The covariance of the arm means, `(arms, arms)`, for cells of variance one."""
        return self.pattern.covariance

    @property
    def estimable(self) -> np.ndarray:
        """The projection onto estimable contrasts, `(coefficients, coefficients)`."""
        return self.pattern.estimable


def fit(cells: Cells) -> Fit:
    """Fit arm + seed to values by (arm, seed). Arm means are adjusted for missing seeds."""
    pattern = _pattern(tuple(cells))
    values = np.fromiter(cells.values(), float, len(cells))
    solution = pattern.solver @ values
    dof = len(values) - pattern.rank
    residual = values - pattern.design @ solution
    sd = float(np.sqrt(residual @ residual / dof)) if dof > 0 else None
    return Fit(
        dict(zip(pattern.arms, solution[: len(pattern.arms)].tolist(), strict=True)),
        sd,
        dof,
        pattern,
    )


@lru_cache(maxsize=256)
def _pattern(keys: tuple[tuple[str, int], ...]) -> Pattern:
    arms = tuple(dict.fromkeys(arm for arm, _ in keys))
    seeds = tuple(dict.fromkeys(seed for _, seed in keys))
    arm_column = {arm: i for i, arm in enumerate(arms)}
    seed_column = {seed: i for i, seed in enumerate(seeds, start=len(arms))}
    # One column per arm; seeds as deviations that sum to zero, so that the coefficient of an arm is
    # its mean over the seeds.
    design = np.zeros((len(keys), len(arms) + len(seeds) - 1))
    for row, (arm, seed) in enumerate(keys):
        design[row, arm_column[arm]] = 1.0
        if seed == seeds[-1]:
            design[row, len(arms) :] = -1.0
        else:
            design[row, seed_column[seed]] = 1.0
    u, sizes, right = np.linalg.svd(design, full_matrices=False)
    rank = int(np.sum(sizes > _TOLERANCE * sizes[0]))
    solver = (right[:rank].T / sizes[:rank]) @ u[:, :rank].T
    covariance = (solver @ solver.T)[: len(arms), : len(arms)]
    return Pattern(
        arms, _streams(keys), design, solver, covariance, right[:rank].T @ right[:rank], rank
    )


def _streams(keys: Sequence[tuple[str, int]]) -> tuple[frozenset[str], ...]:
    """Return groups of arms, merging those that have a seed in common."""
    seeds_of: dict[str, set[int]] = {}
    for arm, seed in keys:
        seeds_of.setdefault(arm, set()).add(seed)
    streams: list[tuple[set[str], set[int]]] = []
    for arm, seeds in seeds_of.items():
        overlapping = [stream for stream in streams if stream[1] & seeds]
        streams = [stream for stream in streams if not stream[1] & seeds]
        streams.append(
            ({arm}.union(*(s[0] for s in overlapping)), seeds.union(*(s[1] for s in overlapping)))
        )
    return tuple(frozenset(stream[0]) for stream in streams)


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
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None
