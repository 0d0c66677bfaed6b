"""The two-way additive model of a metric: arm + seed, fitted by least squares.

Cells may be missing. The model matrix and its decomposition depend only on which cells exist, and
are cached for tables that differ in their values alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

# Values by (arm, seed).
Cells = Mapping[tuple[str, int], float]
# Singular values below this share of the largest count as zero.
_TOLERANCE = 1e-9


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
