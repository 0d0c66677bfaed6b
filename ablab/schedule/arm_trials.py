"""The trials of one arm of a tuned study."""

from dataclasses import dataclass, field
from typing import Any

from ablab.arch.composition.expression import Model
from ablab.metrics import Metric
from ablab.plan.plan import Trial
from ablab.plan.planned_arm import PlannedArm
from ablab.schedule.initial_points import Point
from ablab.schedule.shared_recipe import Values
from ablab.tracking.optuna.study import Outcome, Proposer


@dataclass
class ArmTrials:
    """The trials of one arm."""

    name: str
    """Name of the arm."""
    model: Model
    """Its model."""
    untuned: PlannedArm
    """The arm with the study's recipe."""
    metric: Metric
    """Metric that is tuned for."""
    proposer: Proposer
    """What proposes and prunes its trials."""
    trials: list[Trial] = field(default_factory=list)
    """Trials proposed so far."""
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    """How trials ended, by number."""
    best: PlannedArm | None = None
    """The arm that is confirmed, once all trials have ended; untuned if no trial has a value."""

    @property
    def ended(self) -> bool:
        """Whether all trials proposed so far have ended."""
        return len(self.outcomes) == len(self.trials)

    def best_point(self) -> Point | None:
        """Return the point with the best value, the earliest if several are equal; None if no trial
        has a value.
        """
        values = self.values()
        return dict(self.metric.best(values)) if values else None

    def values(self) -> Values:
        """Return the values by trial point, in the order of the trials."""
        values = {}
        for number, outcome in sorted(self.outcomes.items()):
            if outcome.values is not None:
                point = tuple(self.trials[number].arm.params.items())
                values[point] = outcome.values[0]
        return values

    def by_lr(self) -> dict[float, float]:
        """Return the values by learning rate; empty if the arm has a rate of its own.

        Trials of such an arm are one run.
        """
        if len({trial.run.key for trial in self.trials}) < len(self._points):
            return {}
        return {dict(point)["lr"]: value for point, value in self.values().items()}

    @property
    def _points(self) -> set[tuple[tuple[str, Any], ...]]:
        """The different points of the trials."""
        return {tuple(trial.arm.params.items()) for trial in self.trials}
