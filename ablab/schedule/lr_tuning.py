"""Tuning of the learning rate by the response surface of all arms.

The first trials of every arm are a grid. Where one step of it costs more than the margin, a few
more trials follow around the optimum of each arm. Each arm is then confirmed at its optimum. All
this follows from the values of the trials, once those of all arms have ended.
"""

import math
from collections.abc import Sequence

from ablab.analysis.lr_surface import LrSurface, grid_step, lr_surface, rounded
from ablab.metrics import METRICS
from ablab.schedule.arm_trials import ArmTrials
from ablab.schedule.initial_points import Point
from ablab.spec.margin import margin_of
from ablab.spec.study import Study
from ablab.spec.tune import Range
from ablab.stats.tuning.response_surface import refining_offsets
from ablab.tracking.optuna.study import Interval


class LrTuning:
    """Decides where a study that tunes the learning rate alone tries more, and what is best.

    `grid` are the first learning rates, and `baseline` is the arm that a margin in percent refers
    to. `refined` states whether all trials are decided.
    """

    def __init__(self, study: Study, grid: Sequence[float], baseline: str) -> None:
        assert study.tune is not None
        self._study = study
        self._values = study.tune.lr
        self._grid = grid
        self._baseline = baseline
        self._offsets = refining_offsets(len(study.seed_list()))
        self.refined = False

    def interval(self) -> Interval:
        """Return the learning rates that trials may have."""
        if isinstance(self._values, Range):
            return Interval(self._values.low, self._values.high, self._values.log)
        # Refining trials may lie beyond a list.
        reach = 2 ** (max(self._offsets) * grid_step(self._grid))
        return Interval(min(self._grid) / reach, max(self._grid) * reach)

    def surface(self, arms: Sequence[ArmTrials]) -> LrSurface | None:
        """Return the surface of the arms' trials; None if they do not determine one."""
        values = {arm.name: arm.by_lr() for arm in arms}
        return lr_surface(values, self._grid, METRICS[self._study.metric])

    def refine(self, arms: Sequence[ArmTrials]) -> dict[str, list[Point]]:
        """Return more points to try, by arm; empty if there are none, or if called before."""
        if self.refined:
            return {}
        self.refined = True
        surface = self.surface(arms)
        if surface is None or surface.step_cost <= self._margin(arms):
            return {}
        return {
            arm: [
                self._point(surface.optimum(arm), offset * surface.step) for offset in self._offsets
            ]
            for arm in surface.arms
        }

    def _margin(self, arms: Sequence[ArmTrials]) -> float:
        """Return the margin; a percentage is taken of the baseline's best trial.

        Without one every step counts as larger.
        """
        values = next(arm.by_lr() for arm in arms if arm.name == self._baseline)
        best = values[METRICS[self._study.metric].best(values)] if values else None
        return margin_of(self._study.margin, best) or 0.0

    def _point(self, optimum: float, octaves: float) -> Point:
        lr = rounded(math.log2(optimum) + octaves)
        if isinstance(self._values, Range):
            lr = min(max(lr, self._values.low), self._values.high)
        return {"lr": lr}
