"""Loss against training compute: an arm's curve, and how much compute a baseline would need for
another's loss.

Seeds are blocks: a seed's effect is the same at every compute, and what is left of a run is its
error, with one standard deviation for all of the curve.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

Form = Literal["log_linear", "power_law"]
# (training FLOPs, seed, loss) of a run.
Points = Sequence[tuple[float, int, float]]

_FEWEST_FOR_FLOOR = 4
# The share of the curve's fall that one e-fold leaves is looked for between these, as α × the range
# of ln C.
_BENDS = (0.05, 30.0)
_BEYOND = 4.0
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Curve:
    """`log_linear`: L = a + b·z. `power_law`: L = E + A·exp(−α·z), a power law with floor (Hoffmann
    et al. 2022). z = ln(C / `centre`). `values`: (a, b) or (E, A, α) with their `covariance`;
    `seeds`: what each seed adds. `sd`: of one run about the curve and its seed; None with no
    degrees of freedom. `lowest`, `highest`: the compute it was fitted on.
    """

    form: Form
    values: tuple[float, ...]
    covariance: np.ndarray
    centre: float
    seeds: Mapping[int, float]
    sd: float | None
    dof: int
    lowest: float
    highest: float

    @property
    def parameters(self) -> dict[str, float]:
        """In units of the compute itself: `intercept` and `slope` (per e-fold), or `floor`, `scale`
        and `exponent`.
        """
        if self.form == "log_linear":
            a, b = self.values
            return {"intercept": a - b * float(np.log(self.centre)), "slope": b}
        floor, scale, exponent = self.values
        return {"floor": floor, "scale": scale * self.centre**exponent, "exponent": exponent}

    def intervals(self, level: float = 0.95) -> dict[str, tuple[float, float]]:
        """Of the `slope`, or of the `floor` and the `exponent` (by the delta method); none with no
        degrees of freedom.
        """
        if self.sd is None:
            return {}
        places = {"slope": 1} if self.form == "log_linear" else {"floor": 0, "exponent": 2}
        halves = {
            name: _quantile(self.dof, level) * float(np.sqrt(self.covariance[i, i]))
            for name, i in places.items()
        }
        return {
            name: (self.values[i] - halves[name], self.values[i] + halves[name])
            for name, i in places.items()
        }

    def at(self, compute: float) -> float:
        """The loss there, for the mean of the seeds."""
        return float(
            _basis(self.form, self.values, np.array([self._z(compute)]))[0]
            @ np.array(self.values[:2])
        )

    def interval(self, compute: float, level: float = 0.95) -> tuple[float | None, float | None]:
        """The curve's interval there (delta method, for a power law); None with no degrees of
        freedom.
        """
        if self.sd is None:
            return None, None
        gradient = _gradient(self.form, self.values, np.array([self._z(compute)]))[0]
        half = _quantile(self.dof, level) * float(np.sqrt(gradient @ self.covariance @ gradient))
        return self.at(compute) - half, self.at(compute) + half

    def _z(self, compute: float) -> float:
        return float(np.log(compute / self.centre))


def curve(points: Points) -> Curve | None:
    """Least squares: the power law where four computes or more identify it (it fits better than the
    straight line, its limit for α → 0, with p < 0.05 by the extra-sum-of-squares F test, falls, and
    has no floor below zero), else the straight line in ln C. None with fewer than two computes.
    """
    computes = np.array([compute for compute, _, _ in points])
    if len(set(computes.tolist())) < 2:
        return None
    centre = float(np.exp(np.mean(np.log(computes))))
    z, losses = np.log(computes / centre), np.array([loss for _, _, loss in points])
    seeds = tuple(dict.fromkeys(seed for _, seed, _ in points))
    task = _Task(z, losses, _blocks([seed for _, seed, _ in points], seeds))
    form, values, added, rss = task.best()
    jacobian = task.jacobian(form, values)
    dof = len(losses) - int(np.linalg.matrix_rank(jacobian))
    sd = float(np.sqrt(rss / dof)) if dof > 0 else None
    size = len(values)
    covariance = (sd or 0.0) ** 2 * np.linalg.pinv(jacobian.T @ jacobian)[:size, :size]
    by_seed = dict(zip(seeds, [*added.tolist(), -float(np.sum(added))], strict=True))
    return Curve(
        form,
        values,
        covariance,
        centre,
        by_seed,
        sd,
        dof,
        float(computes.min()),
        float(computes.max()),
    )


@dataclass(frozen=True)
class Multiplier:
    """How many times its compute the baseline would need, with the 95 % interval; None with the
    `reason`.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""


def multiplier(
    baseline: Curve, compute: float, losses: Mapping[int, float], level: float = 0.95
) -> Multiplier:
    """How many times `compute` the baseline would need for the losses (by seed) that an arm came to
    with it.

    The interval takes in the error of the curve and of the arm's runs, which vary as the baseline's
    do: Fieller's (1954) for a straight line, the delta method on the logarithm for a power law.
    """
    values = [
        loss - baseline.seeds[seed] for seed, loss in losses.items() if seed in baseline.seeds
    ]
    if not values:
        return Multiplier(None, reason="no seed in common with the baseline")
    if baseline.sd is None:
        return Multiplier(
            None, reason="too few runs to tell how far the baseline's curve can be trusted"
        )
    loss, variance, z = (
        float(np.mean(values)),
        baseline.sd**2 / len(values),
        float(np.log(compute / baseline.centre)),
    )
    solve = _fieller if baseline.form == "log_linear" else _delta
    solution = solve(baseline, loss, variance, (z, _quantile(baseline.dof, level)))
    if isinstance(solution, str):
        return Multiplier(None, reason=solution)
    needed = compute * float(np.exp(min(solution[0], 500.0)))
    if not baseline.lowest / _BEYOND <= needed <= baseline.highest * _BEYOND:
        side = "below the smallest" if needed < baseline.lowest else "beyond the largest"
        return Multiplier(
            None,
            reason=f"it lies more than {_BEYOND:g} times {side} compute of the baseline's runs",
        )
    value, low, high = (float(np.exp(np.clip(end, -500.0, 500.0))) for end in solution)
    return Multiplier(value, low, high)


# A form, its values, what the seeds but the last add, and the residual sum of squares.
_Solved = tuple[Form, tuple[float, ...], np.ndarray, float]
_Found = tuple[float, float, float] | str


def _fieller(line: Curve, loss: float, variance: float, at: tuple[float, float]) -> _Found:
    """The logarithm of the multiplier: (loss − line) / slope, a ratio of two estimates."""
    (z, t), (a, b) = at, line.values
    gradient = np.array([1.0, z])
    top, top_variance = loss - a - b * z, variance + float(gradient @ line.covariance @ gradient)
    both, slope_variance = -float(gradient @ line.covariance[:, 1]), float(line.covariance[1, 1])
    square = b**2 - t**2 * slope_variance
    if b >= 0 or square <= 0:
        return "the baseline's loss does not fall measurably with compute"
    middle, last = top * b - t**2 * both, top**2 - t**2 * top_variance
    root = float(np.sqrt(max(0.0, middle**2 - square * last)))
    return top / b, (middle - root) / square, (middle + root) / square


def _delta(law: Curve, loss: float, variance: float, at: tuple[float, float]) -> _Found:
    (z, t), (floor, scale, exponent) = at, law.values
    above = loss - floor
    if above <= 0:
        return "it lies below the floor of the baseline's curve"
    needed = -float(np.log(above / scale)) / exponent
    gradient = np.array([1 / above, 1 / scale, -needed]) / exponent
    error = float(
        np.sqrt(variance / (exponent * above) ** 2 + gradient @ law.covariance @ gradient)
    )
    return needed - z, needed - z - t * error, needed - z + t * error


@dataclass(frozen=True)
class _Task:
    """Losses at z, and the blocks' columns."""

    z: np.ndarray
    losses: np.ndarray
    blocks: np.ndarray

    def best(self) -> _Solved:
        """The straight line, or the power law where that is identified."""
        straight = self._solved("log_linear", ())
        _, _, _, rss = straight
        exact = rss <= len(self.losses) * (_ROUNDING * float(np.abs(self.losses).max())) ** 2
        if exact or len(set(self.z.tolist())) < _FEWEST_FOR_FLOOR:
            return straight
        bent = self._power_law()
        _, (floor, scale, _), _, rss_bent = bent
        dof = len(self.losses) - int(np.linalg.matrix_rank(self.jacobian("power_law", bent[1])))
        return (
            bent
            if dof > 0 and floor >= 0 and scale > 0 and _better(rss, rss_bent, dof)
            else straight
        )

    def _solved(self, form: Form, bend: tuple[float, ...]) -> _Solved:
        """For a given bend the rest is linear."""
        design = np.hstack([_basis(form, (0.0, 0.0, *bend), self.z), self.blocks])
        solution = np.linalg.lstsq(design, self.losses, rcond=None)[0]
        residual = self.losses - design @ solution
        return (
            form,
            (float(solution[0]), float(solution[1]), *bend),
            solution[2:],
            float(residual @ residual),
        )

    def _power_law(self) -> _Solved:
        """The exponent is looked for alone (variable projection)."""
        from scipy.optimize import minimize_scalar

        def missed(log_exponent: float) -> float:
            return self._solved("power_law", (float(np.exp(log_exponent)),))[-1]

        low, high = (float(np.log(bend / np.ptp(self.z))) for bend in _BENDS)
        grid = np.linspace(low, high, 60)
        best = int(np.argmin([missed(float(g)) for g in grid]))
        around = (float(grid[max(0, best - 1)]), float(grid[min(len(grid) - 1, best + 1)]))
        optimum = minimize_scalar(missed, bounds=around, method="bounded", options={"xatol": 1e-10})
        return self._solved("power_law", (float(np.exp(optimum.x)),))

    def jacobian(self, form: Form, values: Sequence[float]) -> np.ndarray:
        return np.hstack([_gradient(form, values, self.z), self.blocks])


def _basis(form: Form, values: Sequence[float], z: np.ndarray) -> np.ndarray:
    return np.column_stack([np.ones_like(z), z if form == "log_linear" else np.exp(-values[2] * z)])


def _gradient(form: Form, values: Sequence[float], z: np.ndarray) -> np.ndarray:
    basis = _basis(form, values, z)
    return basis if form == "log_linear" else np.column_stack([basis, -values[1] * z * basis[:, 1]])


def _blocks(seeds: Sequence[int], levels: Sequence[int]) -> np.ndarray:
    """Seeds as deviations that sum to zero."""
    columns = np.zeros((len(seeds), len(levels) - 1))
    for row, seed in enumerate(seeds):
        columns[row] = (
            -1.0 if seed == levels[-1] else [float(seed == other) for other in levels[:-1]]
        )
    return columns


def _better(straight: float, bent: float, dof: int) -> bool:
    """Whether one parameter more lowers the residual sum of squares by more than chance."""
    if bent <= 0:
        return straight > bent
    return bool(special.fdtrc(1, dof, max(0.0, straight - bent) / (bent / dof)) < 0.05)


def _quantile(dof: int, level: float) -> float:
    return float(special.stdtrit(dof, 0.5 + level / 2))
