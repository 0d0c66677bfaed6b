"""The response surface of a tuned study: the metric of each arm over the learning rate."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from ablab.analysis.trials import ArmTuning
from ablab.metrics import METRICS, Metric
from ablab.spec.study import Study
from ablab.stats.tuning.response_surface import Excess, ResponseSurface, Trials, fit_surface


@dataclass(frozen=True)
class LrSurface:
    """The fitted surface, in learning rates and in the unit of the metric."""

    metric: Metric
    """The metric that was tuned for."""
    arms: tuple[str, ...]
    """Arms with a finite trial."""
    step: float
    """Distance between neighbouring points of the first grid, in octaves."""
    fitted: ResponseSurface
    """The surface of the metric as a loss."""
    tried: Mapping[str, tuple[float, float]]
    """Lowest and highest learning rate with a value, by arm."""

    def optimum(self, arm: str) -> float:
        """Return the optimal learning rate of an arm, to three digits.

        Fewer digits than a float has keep it the same on every machine.
        """
        i = self.arms.index(arm)
        low, high = self.tried[arm]
        lr = rounded(self.fitted.optimum[i])
        if not self.fitted.at_edge[i]:
            return lr
        return min(low, high, key=lambda edge: abs(math.log(edge / lr)))

    def interval(self, arm: str) -> tuple[float, float] | None:
        """Return the 95 % interval of an arm's optimum; None without degrees of freedom."""
        i = self.arms.index(arm)
        half = float(special.stdtrit(self.fitted.dof, 0.975) * self.fitted.error[i])
        if not math.isfinite(half):
            return None
        centre = float(self.fitted.optimum[i])
        return 2 ** (centre - half), 2 ** (centre + half)

    def values(self, arm: str, lrs: Sequence[float]) -> list[float]:
        """Return the metric of an arm at learning rates."""
        losses = self.fitted.loss(np.log2(lrs))[self.arms.index(arm)]
        return [float(value) for value in -self.metric.sign * losses]

    def common_optimum(self) -> float:
        """Return the learning rate with the best mean over the arms, to three digits."""
        return rounded(float(self.fitted.optimum.mean()))

    @property
    def step_cost(self) -> float:
        """What the metric worsens by one step of the grid from the optimum."""
        return float(self.fitted.curvature) * self.step**2

    def excess(self, weights: Mapping[str, float]) -> Excess:
        """Return what tuning error adds to a contrast of arms, for the judge.

        Arms that were not tuned by the surface add nothing.
        """
        return self.fitted.excess(np.array([weights.get(arm, 0.0) for arm in self.arms]))


def lr_surface(
    values: Mapping[str, Mapping[float, float]], grid: Sequence[float], metric: Metric
) -> LrSurface | None:
    """Fit the surface to the metric by arm and learning rate, where trials have one.

    `grid` are the learning rates of the first trials. None if too few trials have a value for the
    curvature to be estimated.
    """
    arms = tuple(arm for arm, trials in values.items() if trials)
    rows = [
        (i, math.log2(lr), metric.as_loss(value))
        for i, arm in enumerate(arms)
        for lr, value in values[arm].items()
    ]
    if len(rows) < 2 * len(arms) + 2:  # a level and a slope per arm, the curvature, and the error
        return None
    arm, x, loss = map(np.array, zip(*rows, strict=True))
    step = grid_step(grid)
    fitted = fit_surface(Trials(arm, x, loss, step))
    if math.isnan(fitted.sd):
        return None
    tried = {arm: (min(values[arm]), max(values[arm])) for arm in arms}
    return LrSurface(metric, arms, step, fitted, tried)


def surface_of(study: Study, tuning: Sequence[ArmTuning]) -> LrSurface | None:
    """Return the surface of a study's trials so far; None if the study does not use one.

    Arms whose plugins write a learning rate of their own have equal values everywhere, and no part
    in it.
    """
    if study.tune is None or not study.tune.by_surface:
        return None
    values = {
        arm.arm: {t.params["lr"]: t.values[0] for t in arm.trials if t.values is not None}
        for arm in tuning
    }
    varying = {arm: by_lr for arm, by_lr in values.items() if len(set(by_lr.values())) > 1}
    first = [t.params["lr"] for arm in tuning for t in arm.trials if t.number < study.tune.trials]
    return lr_surface(varying, first, METRICS[study.metric]) if varying else None


def rounded(x: float) -> float:
    """Return the learning rate whose binary logarithm is `x`, to three digits."""
    return float(f"{2.0**x:.3g}")


def grid_step(grid: Sequence[float]) -> float:
    """Return the distance between neighbouring learning rates, in octaves: the median."""
    return float(np.median(np.diff(np.log2(sorted(set(grid))))))
