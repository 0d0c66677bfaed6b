"""Least-squares fits of loss curves, with seeds as blocks.

A curve is linear in all parameters but the exponent of the power law, so that the exponent alone is
searched for and the rest is solved (variable projection).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

Form = Literal["log_linear", "power_law"]

# The fewest different computes at which the power law is tried: it has three parameters.
_MIN_COMPUTES_FOR_FLOOR = 4
# Bounds of the exponent, in units of 1 / (range of ln C).
_EXPONENT_BOUNDS = (0.05, 30.0)
_ROUNDING = 1e-9


def basis(form: Form, values: Sequence[float], z: np.ndarray) -> np.ndarray:
    """Return the columns that the first two parameters multiply, `(points, 2)`."""
    bend = z if form == "log_linear" else np.exp(-values[2] * z)
    return np.column_stack([np.ones_like(z), bend])


def gradient(form: Form, values: Sequence[float], z: np.ndarray) -> np.ndarray:
    """Return the derivatives of the loss by each parameter, `(points, parameters)`."""
    columns = basis(form, values, z)
    if form == "log_linear":
        return columns
    return np.column_stack([columns, -values[1] * z * columns[:, 1]])


def seed_columns(seeds: Sequence[int], levels: Sequence[int]) -> np.ndarray:
    """Return the seeds coded as deviations that sum to zero, `(points, levels - 1)`."""
    columns = np.zeros((len(seeds), len(levels) - 1))
    for row, seed in enumerate(seeds):
        if seed == levels[-1]:
            columns[row] = -1.0
        else:
            columns[row] = [float(seed == other) for other in levels[:-1]]
    return columns


@dataclass(frozen=True)
class Solution:
    """A curve of one form, fitted by least squares."""

    form: Form
    """Form of the curve."""
    values: tuple[float, ...]
    """Its parameters."""
    seed_effects: np.ndarray
    """What each seed but the last adds, `(seeds - 1,)`."""
    rss: float
    """Residual sum of squares."""


@dataclass(frozen=True)
class CurveData:
    """The points to fit: `losses` at `z`, both `(points,)`, and the columns of the seeds."""

    z: np.ndarray
    losses: np.ndarray
    blocks: np.ndarray

    def best(self) -> Solution:
        """Return the power law if the points identify it, else the straight line."""
        straight = self._solve("log_linear", ())
        rounding = _ROUNDING * float(np.abs(self.losses).max())
        exact = straight.rss <= len(self.losses) * rounding**2
        if exact or len(set(self.z.tolist())) < _MIN_COMPUTES_FOR_FLOOR:
            return straight
        law = self._power_law()
        floor, scale, _ = law.values
        rank = int(np.linalg.matrix_rank(self.jacobian("power_law", law.values)))
        dof = len(self.losses) - rank
        if dof > 0 and floor >= 0 and scale > 0 and _fits_better(straight.rss, law.rss, dof):
            return law
        return straight

    def jacobian(self, form: Form, values: Sequence[float]) -> np.ndarray:
        """Return the derivatives by all parameters and seeds, `(points, coefficients)`."""
        return np.hstack([gradient(form, values, self.z), self.blocks])

    def _solve(self, form: Form, exponent: tuple[float, ...]) -> Solution:
        """Return the least-squares solution; it is linear once the exponent is given."""
        design = np.hstack([basis(form, (0.0, 0.0, *exponent), self.z), self.blocks])
        solution = np.linalg.lstsq(design, self.losses, rcond=None)[0]
        residual = self.losses - design @ solution
        values = (float(solution[0]), float(solution[1]), *exponent)
        return Solution(form, values, solution[2:], float(residual @ residual))

    def _power_law(self) -> Solution:
        from scipy.optimize import minimize_scalar

        def rss(log_exponent: float) -> float:
            return self._solve("power_law", (float(np.exp(log_exponent)),)).rss

        # A grid first: the residual sum of squares may have several minima.
        low, high = (float(np.log(bound / np.ptp(self.z))) for bound in _EXPONENT_BOUNDS)
        grid = np.linspace(low, high, 60)
        best = int(np.argmin([rss(float(g)) for g in grid]))
        bracket = (float(grid[max(0, best - 1)]), float(grid[min(len(grid) - 1, best + 1)]))
        optimum = minimize_scalar(rss, bounds=bracket, method="bounded", options={"xatol": 1e-10})
        return self._solve("power_law", (float(np.exp(optimum.x)),))


def _fits_better(straight: float, law: float, dof: int) -> bool:
    """Whether the additional parameter lowers the residual sum of squares by more than chance."""
    if law <= 0:
        return straight > law
    return bool(special.fdtrc(1, dof, max(0.0, straight - law) / (law / dof)) < 0.05)
