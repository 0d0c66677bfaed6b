"""Loss against training compute: the curve of an arm.

Seeds are blocks: the effect of a seed is the same at every compute, and the residual of a run is
its error, with one standard deviation for the whole curve.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from ablab.stats.scaling.curve_fit import CurveData, Form, basis, gradient, seed_columns

# (training FLOPs, seed, loss) of a run.
Points = Sequence[tuple[float, int, float]]


@dataclass(frozen=True)
class Curve:
    """A fitted curve, in z = ln(C / `centre`) for the training compute C.

    `log_linear` is L = a + b·z. `power_law` is L = E + A·exp(−α·z), a power law with a floor
    (Hoffmann et al. 2022). `values` are (a, b) or (E, A, α), and `covariance` is theirs. `seeds` is
    what each seed adds. `sd` is that of one run about the curve and its seed, or None without
    degrees of freedom. `lowest` and `highest` bound the compute that the curve was fitted on.
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
        """The parameters in units of the compute itself: `intercept` and `slope` (per e-fold), or
        `floor`, `scale` and `exponent`.
        """
        if self.form == "log_linear":
            a, b = self.values
            return {"intercept": a - b * float(np.log(self.centre)), "slope": b}
        floor, scale, exponent = self.values
        return {"floor": floor, "scale": scale * self.centre**exponent, "exponent": exponent}

    def intervals(self, level: float = 0.95) -> dict[str, tuple[float, float]]:
        """Return the interval of the `slope`, or those of the `floor` and the `exponent` (delta
        method); empty without degrees of freedom.
        """
        if self.sd is None:
            return {}
        indices = {"slope": 1} if self.form == "log_linear" else {"floor": 0, "exponent": 2}
        intervals = {}
        for name, i in indices.items():
            half = t_quantile(self.dof, level) * float(np.sqrt(self.covariance[i, i]))
            intervals[name] = (self.values[i] - half, self.values[i] + half)
        return intervals

    def at(self, compute: float) -> float:
        """Return the loss at a compute, for the mean of the seeds."""
        z = np.array([self._z(compute)])
        return float(basis(self.form, self.values, z)[0] @ np.array(self.values[:2]))

    def interval(self, compute: float, level: float = 0.95) -> tuple[float | None, float | None]:
        """Return the confidence interval of the curve at a compute (delta method for a power law);
        None without degrees of freedom.
        """
        if self.sd is None:
            return None, None
        slope = gradient(self.form, self.values, np.array([self._z(compute)]))[0]
        half = t_quantile(self.dof, level) * float(np.sqrt(slope @ self.covariance @ slope))
        return self.at(compute) - half, self.at(compute) + half

    def _z(self, compute: float) -> float:
        return float(np.log(compute / self.centre))


def curve(points: Points) -> Curve | None:
    """Fit a curve by least squares; None with fewer than two computes.

    The curve is a power law if four computes or more identify it, else a straight line in ln C. A
    power law is identified if it falls, has no floor below zero, and fits better than the straight
    line (its limit for α → 0) with p < 0.05 by the extra-sum-of-squares F test.
    """
    computes = np.array([compute for compute, _, _ in points])
    if len(set(computes.tolist())) < 2:
        return None
    centre = float(np.exp(np.mean(np.log(computes))))
    losses = np.array([loss for _, _, loss in points])
    seeds = tuple(dict.fromkeys(seed for _, seed, _ in points))
    blocks = seed_columns([seed for _, seed, _ in points], seeds)
    data = CurveData(np.log(computes / centre), losses, blocks)
    solution = data.best()
    jacobian = data.jacobian(solution.form, solution.values)
    dof = len(losses) - int(np.linalg.matrix_rank(jacobian))
    sd = float(np.sqrt(solution.rss / dof)) if dof > 0 else None
    size = len(solution.values)
    covariance = (sd or 0.0) ** 2 * np.linalg.pinv(jacobian.T @ jacobian)[:size, :size]
    # The effects of the seeds sum to zero, which gives that of the last.
    effects = [*solution.seed_effects.tolist(), -float(np.sum(solution.seed_effects))]
    return Curve(
        form=solution.form,
        values=solution.values,
        covariance=covariance,
        centre=centre,
        seeds=dict(zip(seeds, effects, strict=True)),
        sd=sd,
        dof=dof,
        lowest=float(computes.min()),
        highest=float(computes.max()),
    )


def t_quantile(dof: int, level: float) -> float:
    """Return the quantile of Student's t for a two-sided interval of `level`."""
    return float(special.stdtrit(dof, 0.5 + level / 2))
