"""Runs and arms that stand out from the others, for many studies at once.

*Runs.* Residuals of a table of arms × seeds are those of a median polish (Tukey 1977, chapter 11).
It starts from least squares, so that they depend on no arm mean and no seed effect. A run stands
out by the size of its residual in units of a robust scale: the mean of the smallest 80 % of these
sizes.

*Arms* stand out by the variance of their runs divided by that of all others' runs (as in Cochran
1941). It is taken twice: without the seed effects, and with them, since removing them costs degrees
of freedom that a study of four seeds lacks.

The three limits are quantiles of the largest figure of a study of normal noise with the same runs.
They are found by simulation, so that they hold for few seeds and for missing runs. No verdict
depends on any of this.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ablab.stats.inference.table import Table

# The share of studies of equal normal noise in which any figure of a kind is beyond its limit.
# Together they stay below 5 %; most goes to the figure that finds most with four seeds.
_DISTANCE_LEVEL = 0.010
_RATIO_LEVEL = 0.030
_WITHOUT_SEEDS_LEVEL = 0.010
_SWEEPS = 4
_ROUNDING = 1e-12  # relative to the largest value of a study
_SCALE_SHARE = 0.8
_DRAWS = 8000
_MOST_VALUES = 2_000_000  # of a simulation
# With two arms a seed that stands out does not say which arm does: its effect is left in.
_MIN_ARMS = 3
_MIN_SEEDS = 3


@dataclass(frozen=True)
class Outliers:
    """What stands out in each study.

    `distance` `(studies, arms, seeds)` is how far a run lies from its arm and seed, in run-to-run
    standard deviations; NaN for runs that there are not. `ratio` `(studies, arms)` is an arm's
    standard deviation divided by that of all others; NaN with fewer than three seeds or without
    other arms. `runs` and `arms` state which of them are beyond their limit.
    """

    distance: np.ndarray
    ratio: np.ndarray
    runs: np.ndarray
    arms: np.ndarray

    @property
    def any(self) -> np.ndarray:
        """Whether anything stands out, `(studies,)`."""
        return np.logical_or(self.runs.any((1, 2)), self.arms.any(1))


def find_outliers(table: Table) -> Outliers:
    """Return the runs and the arms that stand out, from tables `(studies, arms, seeds)`."""
    limits = _limits(table.present.tobytes(), table.present.shape)
    figures = _figures(table)
    with np.errstate(invalid="ignore"):
        runs = np.abs(figures.distance) > limits.distance
        without = figures.ratio_without_seeds / limits.ratio_without_seeds
        within = figures.ratio / limits.ratio
        arms = (without > 1) | (within > 1)
    ratio = np.where(without > within, figures.ratio_without_seeds, figures.ratio)
    return Outliers(figures.distance / limits.unit, ratio, runs, arms)


def without_seed_effects(table: Table) -> np.ndarray:
    """Return values without arm means and seed effects, by least squares, `(studies, arms, seeds)`;
    NaN for runs that there are not.

    Seed effects of a stream of fewer than three arms stay. Residuals that are rounding errors of
    the values are zero.
    """
    present = table.present
    arms, seeds = np.nonzero(present)
    shared = _with_seed_effects(table)[arms, seeds]
    rows = np.arange(len(arms))
    design = np.zeros((len(arms), sum(present.shape)))
    design[rows, arms] = 1.0
    design[rows[shared], present.shape[0] + seeds[shared]] = 1.0
    basis, sizes, _ = np.linalg.svd(design, full_matrices=False)
    basis = basis[:, sizes > 1e-9 * sizes[0]]
    values = table.values[:, present]
    residuals = np.full(table.values.shape, np.nan)
    noise = values - (values @ basis) @ basis.T
    rounding = _ROUNDING * np.abs(values).max(1, keepdims=True)
    residuals[:, present] = np.where(np.abs(noise) <= rounding, 0.0, noise)
    return residuals


@dataclass(frozen=True)
class _Figures:
    """Distances `(studies, arms, seeds)` in units of the scale, and ratios `(studies, arms)` of
    standard deviations.
    """

    distance: np.ndarray
    ratio: np.ndarray
    ratio_without_seeds: np.ndarray


@dataclass(frozen=True)
class _Limits:
    """Limits of the figures of studies of one shape; `unit` is a standard deviation of a run in
    units of the scale.
    """

    unit: float
    distance: float
    ratio: float
    ratio_without_seeds: float


@lru_cache(maxsize=64)
def _limits(pattern: bytes, shape: tuple[int, int]) -> _Limits:
    present = np.frombuffer(pattern, bool).reshape(shape)
    draws = max(500, min(_DRAWS, _MOST_VALUES // present.size))
    noise = np.random.default_rng(0).standard_normal((draws, *shape))
    table = Table([str(i) for i in range(shape[0])], noise, present)
    figures = _figures(table)
    scale = float(_scale(_polished(table)[:, present]).mean())
    return _Limits(
        unit=1 / scale if scale > 0 else 1.0,
        distance=_limit(np.abs(figures.distance).reshape(draws, -1), _DISTANCE_LEVEL),
        ratio=_limit(figures.ratio, _RATIO_LEVEL),
        ratio_without_seeds=_limit(figures.ratio_without_seeds, _WITHOUT_SEEDS_LEVEL),
    )


def _limit(figures: np.ndarray, level: float) -> float:
    """Return the limit of the largest figure of a study, `(studies, figures)`."""
    largest = np.where(np.isnan(figures), 0.0, figures).max(1)
    # A tolerance for studies in which the figure does not vary.
    return float(np.quantile(largest, 1 - level)) * (1 + 1e-9)


def _figures(table: Table) -> _Figures:
    residuals = _polished(table)
    scale = _scale(residuals[:, table.present])
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = residuals / scale[:, None, None]
    about_mean = table.values - _mean(table.values, table.present)[:, :, None]
    return _Figures(
        distance,
        _ratios(about_mean, table.present),
        _ratios(residuals, table.present),
    )


def _ratios(residuals: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Return each arm's standard deviation divided by that of all others, `(studies, arms)`."""
    dof = present.sum(1) - 1.0
    squares = (np.where(present, residuals, 0.0) ** 2).sum(2)
    with np.errstate(divide="ignore", invalid="ignore"):
        others = (squares.sum(1, keepdims=True) - squares) / (dof.sum() - dof)
        ratios = np.sqrt(squares / dof / others)
    ratios[:, (dof + 1 < _MIN_SEEDS) | (dof.sum() - dof <= 0)] = np.nan
    return ratios


def _polished(table: Table) -> np.ndarray:
    """Return the residuals of a median polish, `(studies, arms, seeds)`."""
    residuals = without_seed_effects(table)
    shared = _with_seed_effects(table)
    for _ in range(_SWEEPS):
        residuals = residuals - _median(residuals, table.present, axis=2)
        residuals = residuals - np.where(shared, _median(residuals, shared, axis=1), 0.0)
    return residuals - _median(residuals, table.present, axis=2)


def _scale(residuals: np.ndarray) -> np.ndarray:
    """Return the robust scale of residuals `(studies, runs)`."""
    sizes = np.sort(np.abs(residuals), axis=1)
    return sizes[:, : max(1, int(_SCALE_SHARE * sizes.shape[1]))].mean(1)


def _with_seed_effects(table: Table) -> np.ndarray:
    """Return the runs of streams whose seed effects are removed, `(arms, seeds)`."""
    arms = np.bincount(table.streams)[table.streams]
    return table.present & (arms >= _MIN_ARMS)[:, None]


def _mean(values: np.ndarray, present: np.ndarray) -> np.ndarray:
    return np.where(present, values, 0.0).sum(2) / np.maximum(1, present.sum(1))


def _median(values: np.ndarray, present: np.ndarray, axis: int) -> np.ndarray:
    """Return medians of the values that are present, along an axis that stays, of length 1."""
    counts = present.sum(axis - 1)
    ordered = np.sort(np.where(present, values, np.inf), axis=axis)
    total = np.zeros(np.take(ordered, [0], axis).shape)
    for middle in ((counts - 1) // 2, counts // 2):
        index = np.expand_dims(np.clip(middle, 0, values.shape[axis] - 1), (0, axis))
        total = total + np.take_along_axis(ordered, index, axis)
    return np.where(np.expand_dims(counts > 0, (0, axis)), total / 2, 0.0)
