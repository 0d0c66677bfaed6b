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
# Singular values below this share of the largest are nil, and so are weights that a projection
# changes by less.
_NIL = 1e-9


class Question(Protocol):
    """An effect as weights on arm means. `kind`: change, total or interaction. `parts`: where it
    averages over drawn orders, the weights of each draw.
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
    """A contrast's estimate, its 95 % interval (unadjusted for the number of effects) and two-sided
    p. None: not estimable, or with one seed no interval. `sampling_se`: the standard error that
    drawing a part of the orders leaves, within the interval; None where nothing was drawn.
    """

    estimate: float | None
    low: float | None
    high: float | None
    p: float | None
    sampling_se: float | None = None


@dataclass(frozen=True)
class Estimate:
    """A contrast's value, its standard error (None: no degrees of freedom) and the degrees of
    freedom of that. `drawn`: the standard error that drawing orders leaves, within `error`.
    """

    value: float
    error: float | None
    dof: float
    drawn: float | None = None

    def p(self) -> float | None:
        """Two-sided, by Student's t."""
        if self.error is None:
            return None
        return (
            float(2 * special.stdtr(self.dof, -abs(self.value) / self.error))
            if self.error > 0
            else float(self.value == 0)
        )

    def interval(self, level: float = 0.95) -> tuple[float, float] | tuple[None, None]:
        """The two-sided interval of that confidence."""
        if self.error is None:
            return None, None
        half = _quantile(self.dof, 0.5 + level / 2) * self.error
        return self.value - half, self.value + half


@lru_cache(maxsize=1024)
def _quantile(dof: float, level: float) -> float:
    return float(special.stdtrit(dof, level))


@dataclass(frozen=True, eq=False)
class Pattern:
    """All of a fit that depends on which cells there are, and not on their values. `solver`
    (coefficients, cells): least squares. `streams`: the arms that are linked by common seeds,
    directly or by others, together.
    """

    arms: tuple[str, ...]
    streams: tuple[frozenset[str], ...]
    design: np.ndarray
    solver: np.ndarray
    covariance: np.ndarray
    estimable: np.ndarray
    rank: int
    known: dict[tuple[tuple[str, float], ...], tuple[np.ndarray, float] | None] = field(
        default_factory=dict
    )

    def contrast(self, weights: Mapping[str, float]) -> tuple[np.ndarray, float] | None:
        """The weights (arms,) and the variance of the contrast for cells of variance one; None
        where it is not estimable.
        """
        key = tuple(weights.items())
        if key not in self.known:
            self.known[key] = self._contrast(weights)
        return self.known[key]

    def _contrast(self, weights: Mapping[str, float]) -> tuple[np.ndarray, float] | None:
        used = {arm: weight for arm, weight in weights.items() if weight}
        if not used.keys() <= set(self.arms):
            return None
        vector = np.array([used.get(arm, 0.0) for arm in self.arms])
        whole = np.pad(vector, (0, len(self.estimable) - len(vector)))
        if not np.allclose(whole @ self.estimable, whole):
            return None
        return vector, round(
            float(vector @ self.covariance @ vector), 12
        )  # equal ones come out equal


@dataclass(frozen=True)
class Fit:
    """The two-way additive fit. `sd`: of one run about its arm and seed means; None with no degrees
    of freedom. `estimable` projects onto the contrasts (over arms and seeds) that the cells there
    are can estimate.
    """

    means: dict[str, float]
    sd: float | None
    dof: int
    pattern: Pattern

    @property
    def arms(self) -> tuple[str, ...]:
        """In the order of the cells."""
        return self.pattern.arms

    @property
    def covariance(self) -> np.ndarray:
        """Of the arms' means (arms, arms), for cells of variance one."""
        return self.pattern.covariance

    @property
    def estimable(self) -> np.ndarray:
        """(coefficients, coefficients)."""
        return self.pattern.estimable


def fit(cells: Cells) -> Fit:
    """Fits arm + seed to values by (arm, seed); the arms' means are adjusted for seeds that are
    missing somewhere.
    """
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
    row_of, column_of = (
        {arm: i for i, arm in enumerate(arms)},
        {seed: i for i, seed in enumerate(seeds, start=len(arms))},
    )
    # Columns: one an arm; seeds as deviations that sum to zero, so that an arm's coefficient is its
    # mean over the seeds.
    design = np.zeros((len(keys), len(arms) + len(seeds) - 1))
    for row, (arm, seed) in enumerate(keys):
        design[row, row_of[arm]] = 1.0
        if seed == seeds[-1]:
            design[row, len(arms) :] = -1.0
        else:
            design[row, column_of[seed]] = 1.0
    left, sizes, right = np.linalg.svd(design, full_matrices=False)
    rank = int(np.sum(sizes > _NIL * sizes[0]))
    solver = (right[:rank].T / sizes[:rank]) @ left[:, :rank].T
    covariance = (solver @ solver.T)[: len(arms), : len(arms)]
    return Pattern(
        arms, _streams(keys), design, solver, covariance, right[:rank].T @ right[:rank], rank
    )


def _streams(keys: Sequence[tuple[str, int]]) -> tuple[frozenset[str], ...]:
    """Each arm's stream, merged with every other that has one of its seeds."""
    seeds_of: dict[str, set[int]] = {}
    for arm, seed in keys:
        seeds_of.setdefault(arm, set()).add(seed)
    streams: list[tuple[set[str], set[int]]] = []
    for arm, seeds in seeds_of.items():
        joined = [stream for stream in streams if stream[1] & seeds]
        streams = [stream for stream in streams if not stream[1] & seeds]
        streams.append(({arm}.union(*(s[0] for s in joined)), seeds.union(*(s[1] for s in joined))))
    return tuple(frozenset(stream[0]) for stream in streams)


def estimate(
    fitted: Fit, weights: Mapping[str, float], parts: Sequence[Mapping[str, float]] = ()
) -> Estimate | None:
    """The contrast Σ weight × arm mean with its error; None where the cells cannot estimate it.

    `parts`: where the contrast is a mean over draws, the weights of each; the spread of their
    estimates over √draws is added to its error, on the safe side, since the arms' own noise is part
    of that spread. Degrees of freedom are then Satterthwaite's (1946).
    """
    if (found := fitted.pattern.contrast(weights)) is None:
        return None
    value = sum(weight * fitted.means[arm] for arm, weight in weights.items() if weight)
    drawn = _sampling_error(fitted, parts)
    if fitted.sd is None:
        return Estimate(value, None, 0.0, drawn)
    variance, dof = fitted.sd**2 * found[1], float(fitted.dof)
    if drawn:
        both = variance + drawn**2
        dof = both**2 / (variance**2 / dof + drawn**4 / (len(parts) - 1))
        variance = both
    return Estimate(value, float(np.sqrt(variance)), dof, drawn)


def effect(
    fitted: Fit,
    weights: Mapping[str, float],
    level: float = 0.95,
    parts: Sequence[Mapping[str, float]] = (),
) -> Effect:
    """The contrast Σ weight × arm mean, its interval and p; `parts` as of `estimate`."""
    if (found := estimate(fitted, weights, parts)) is None:
        return Effect(None, None, None, None)
    return Effect(found.value, *found.interval(level), found.p(), found.drawn)


def arm_means(cells: Cells) -> dict[str, Estimate]:
    """Each arm's mean, adjusted for the seeds that it lacks and others of its stream have: no other
    stream tells of them. What a seed does to all arms alike is not in its error.
    """
    streams = fit(cells).pattern.streams if cells else ()
    fits = [
        fit({key: value for key, value in cells.items() if key[0] in stream}) for stream in streams
    ]
    found = {arm: estimate(fitted, {arm: 1.0}) for fitted in fits for arm in fitted.arms}
    return {arm: mean for arm, mean in found.items() if mean is not None}


def _sampling_error(fitted: Fit, parts: Sequence[Mapping[str, float]]) -> float | None:
    if len(parts) < 2:
        return None
    estimates = [sum(weight * fitted.means[arm] for arm, weight in part.items()) for part in parts]
    return float(np.std(estimates, ddof=1) / np.sqrt(len(estimates)))


def mean_sd(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation; None where there are too few."""
    if not values:
        return None, None
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None
