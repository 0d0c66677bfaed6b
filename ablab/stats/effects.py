"""Effects as contrasts of arm means, with seeds as blocks.

One error term serves every design: the arm × seed residual after arm and seed means are removed, with
(arms − 1)(seeds − 1) degrees of freedom. Missing cells are handled by least squares on the same two-way model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

Cells = Mapping[tuple[str, int], float]


@dataclass(frozen=True)
class Effect:
    """A contrast's estimate, its 95 % interval (unadjusted for the number of effects) and two-sided p. None: not estimable,
    or with one seed no interval. `sampling_se`: the standard error that drawing a part of the orders leaves, within the
    interval; None where nothing was drawn.
    """

    estimate: float | None
    low: float | None
    high: float | None
    p: float | None
    sampling_se: float | None = None


@dataclass(frozen=True)
class Fit:
    """The two-way additive fit. `sd`: of one run about its arm and seed means; None with no degrees of freedom. `estimable`
    projects onto the contrasts (over arms and seeds) that the cells there are can estimate.
    """

    arms: tuple[str, ...]
    means: dict[str, float]
    covariance: np.ndarray
    sd: float | None
    dof: int
    estimable: np.ndarray


def fit(cells: Cells) -> Fit:
    """Fits arm + seed to values by (arm, seed); the arms' means are adjusted for seeds that are missing somewhere."""
    arms = tuple(dict.fromkeys(arm for arm, _ in cells))
    seeds = tuple(dict.fromkeys(seed for _, seed in cells))
    # Columns: one an arm; seeds as deviations that sum to zero, so that an arm's coefficient is its mean over the seeds.
    design = np.zeros((len(cells), len(arms) + len(seeds) - 1))
    for row, (arm, seed) in enumerate(cells):
        design[row, arms.index(arm)] = 1.0
        if seed == seeds[-1]:
            design[row, len(arms) :] = -1.0
        else:
            design[row, len(arms) + seeds.index(seed)] = 1.0
    values = np.array(list(cells.values()))
    solution, _, rank, _ = np.linalg.lstsq(design, values, rcond=None)
    dof = len(values) - int(rank)
    residual = values - design @ solution
    sd = float(np.sqrt(residual @ residual / dof)) if dof > 0 else None
    covariance = np.linalg.pinv(design.T @ design)[: len(arms), : len(arms)]
    means = dict(zip(arms, solution[: len(arms)].tolist(), strict=True))
    return Fit(arms, means, covariance, sd, dof, np.linalg.pinv(design) @ design)


def effect(fitted: Fit, weights: Mapping[str, float], level: float = 0.95, parts: Sequence[Mapping[str, float]] = ()) -> Effect:
    """The contrast Σ weight × arm mean.

    `parts`: where the contrast is a mean over draws, the weights of each; the spread of their estimates over √draws is added
    to its error, on the safe side, since the arms' own noise is part of that spread. Degrees of freedom are then
    Satterthwaite's (1946).
    """
    used = {arm: weight for arm, weight in weights.items() if weight}
    if any(arm not in fitted.means for arm in used):
        return Effect(None, None, None, None)
    vector = np.array([used.get(arm, 0.0) for arm in fitted.arms])
    whole = np.pad(vector, (0, len(fitted.estimable) - len(vector)))
    if not np.allclose(whole @ fitted.estimable, whole):
        return Effect(None, None, None, None)
    estimate = sum(weight * fitted.means[arm] for arm, weight in used.items())
    drawn = _sampling_error(fitted, parts)
    if fitted.sd is None:
        return Effect(estimate, None, None, None, drawn)
    variance, dof = fitted.sd**2 * float(vector @ fitted.covariance @ vector), float(fitted.dof)
    if drawn:
        both = variance + drawn**2
        dof = both**2 / (variance**2 / dof + drawn**4 / (len(parts) - 1))
        variance = both
    error = float(np.sqrt(variance))
    half = float(special.stdtrit(dof, 0.5 + level / 2)) * error
    p = float(2 * special.stdtr(dof, -abs(estimate) / error)) if error > 0 else float(estimate == 0)
    return Effect(estimate, estimate - half, estimate + half, p, drawn)


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
