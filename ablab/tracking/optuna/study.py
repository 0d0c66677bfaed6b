"""Optuna proposes trials (ask and tell).

Proposals are made in memory and can be made again from the run records. Optuna is imported in
this package only, when it is needed.
"""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ablab.metrics import Direction

if TYPE_CHECKING:
    import optuna

Suggest = Callable[[str], Any]
Pruner = Literal["none", "asha", "hyperband"]


def available() -> bool:
    """Return whether Optuna is installed."""
    return importlib.util.find_spec("optuna") is not None


@dataclass(frozen=True)
class Interval:
    """Numbers from `low` to `high`; only integers if `integer` is set."""

    low: float
    high: float
    log: bool = True
    integer: bool = False


Space = Mapping[str, Sequence[Any] | Interval]


@dataclass(frozen=True)
class Outcome:
    """The outcome of a trial.

    `values` has one value per objective; None if the trial was pruned or has no result.
    `intermediate` are values of the first objective by rung. A constraint above 0 is violated.
    """

    values: tuple[float, ...] | None
    intermediate: Mapping[int, float] = field(default_factory=dict)
    pruned: bool = False
    constraints: Mapping[str, float] = field(default_factory=dict)


class Proposer:
    """Asks Optuna for trials.

    `space` gives for each parameter a list of choices or an interval; `directions` has one entry
    per objective. `population` is that of NSGA-II, which is used for several objectives.
    """

    def __init__(
        self,
        space: Space,
        directions: Sequence[Direction],
        pruner: Pruner = "none",
        population: int = 50,
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        if len(directions) == 1:
            sampler = optuna.samplers.TPESampler(seed=0)
        else:
            sampler = optuna.samplers.NSGAIISampler(seed=0, population_size=population)
        self._space = {name: distribution(values) for name, values in space.items()}
        # Hyperband draws a trial's bracket from the study's name. The fixed name makes it the same
        # for every arm and every execution.
        self._study = optuna.create_study(
            study_name="trials",
            directions=list(directions),
            sampler=sampler,
            pruner=_pruner(pruner),
        )
        self._several = len(directions) > 1
        self._trials: dict[int, optuna.Trial] = {}
        self._reported: dict[int, set[int]] = {}

    def ask(
        self, choose: Callable[[Suggest], Any], fixed: Mapping[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Return the number and the parameters of a new trial.

        `choose` is called with a function that suggests a value for a parameter by name. `fixed`
        are parameters that Optuna must use as they are.
        """
        if fixed is not None:
            self._study.enqueue_trial(dict(fixed))
        trial = self._study.ask()
        suggest = trial._suggest  # pyright: ignore[reportPrivateUsage]
        choose(lambda name: suggest(name, self._space[name]))
        self._trials[trial.number] = trial
        self._reported[trial.number] = set()
        return trial.number, dict(trial.params)

    def lags(self, number: int, values: Mapping[int, float]) -> bool:
        """Report a trial's values by rung, and return whether the pruner would end it there."""
        trial = self._trials.get(number)
        if trial is None or self._several:  # Optuna prunes no trial with several objectives
            return False
        is_lagging = False
        for rung in sorted(set(values) - self._reported[number]):
            self._reported[number].add(rung)
            trial.report(values[rung], rung)
            # Call it at every rung: the pruner stores what it compared there.
            is_lagging = trial.should_prune()
        return is_lagging

    def tell(self, number: int, outcome: Outcome) -> None:
        """Report how a trial ended."""
        import optuna

        self.lags(number, outcome.intermediate)
        trial = self._trials.pop(number)
        for name, value in outcome.constraints.items():
            trial.set_constraint(name, value)
        pruned = optuna.trial.TrialState.PRUNED
        self._study.tell(
            trial,
            None if outcome.values is None else list(outcome.values),
            None if outcome.values else pruned,
        )


def distribution(values: Sequence[Any] | Interval) -> "optuna.distributions.BaseDistribution":
    """Return Optuna's distribution for a list of choices or an interval."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(values, Interval) and values.integer:
        return IntDistribution(int(values.low), int(values.high), log=values.log)
    if isinstance(values, Interval):
        return FloatDistribution(values.low, values.high, log=values.log)
    return CategoricalDistribution(list(values))


def _pruner(kind: Pruner) -> "optuna.pruners.BasePruner":
    from optuna import pruners

    if kind == "asha":
        return pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)
    if kind == "hyperband":
        return pruners.HyperbandPruner(min_resource=1, reduction_factor=2)
    return pruners.NopPruner()
