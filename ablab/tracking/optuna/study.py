"""Optuna: proposes trials (ask/tell), and holds a view of finished runs that its dashboard opens
on.

Proposals are made in memory and can be made again from the run records; so can the view. Optuna is
imported here and nowhere else, when it is needed.
"""

import importlib.util
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ablab.metrics import METRICS, Direction

if TYPE_CHECKING:
    import optuna

Suggest = Callable[[str], Any]
Pruner = Literal["none", "asha", "hyperband"]


def available() -> bool:
    """Whether Optuna is installed."""
    return importlib.util.find_spec("optuna") is not None


@dataclass(frozen=True)
class Interval:
    """Numbers from `low` to `high`; `whole`: whole ones."""

    low: float
    high: float
    log: bool = True
    whole: bool = False


Space = Mapping[str, Sequence[Any] | Interval]


@dataclass(frozen=True)
class Outcome:
    """What became of a trial: its values, one an objective; None where it was pruned or came to
    nothing. `intermediate`: values on its way, by rung. `constraints`: above 0 where one is broken.
    """

    values: tuple[float, ...] | None
    intermediate: Mapping[int, float] = field(default_factory=dict)
    pruned: bool = False
    constraints: Mapping[str, float] = field(default_factory=dict)


class Proposer:
    """Asks Optuna for trials. `space`: all parameters, by name: a list of choices, or an interval.
    `directions`: one per objective. `population`: of NSGA-II, which serves several objectives.
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
        several = optuna.samplers.NSGAIISampler(seed=0, population_size=population)
        sampler = optuna.samplers.TPESampler(seed=0) if len(directions) == 1 else several
        self._space = {name: _distribution(values) for name, values in space.items()}
        # Hyperband draws a trial's bracket from the study's name: the same for every arm, and every
        # time.
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
        self, choose: Callable[[Suggest], Any], given: Mapping[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """A trial's number and parameters. `choose` asks for each parameter that the trial has;
        `given` are taken as they are.
        """
        if given is not None:
            self._study.enqueue_trial(dict(given))
        trial = self._study.ask()
        choose(lambda name: trial._suggest(name, self._space[name]))  # pyright: ignore[reportPrivateUsage]
        self._trials[trial.number] = trial
        self._reported[trial.number] = set()
        return trial.number, dict(trial.params)

    def lags(self, number: int, values: Mapping[int, float]) -> bool:
        """Notes a trial's values on its way, by rung; whether the pruner would end it here."""
        trial = self._trials.get(number)
        lags = False
        if (
            trial is None or self._several
        ):  # Optuna takes no values on the way of several objectives
            return lags
        for rung in sorted(set(values) - self._reported[number]):
            self._reported[number].add(rung)
            trial.report(values[rung], rung)
            lags = (
                trial.should_prune()
            )  # asked at every rung: the pruner keeps what it compared there
        return lags

    def tell(self, number: int, outcome: Outcome) -> None:
        """Notes how a trial ended."""
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


class StudyView:
    """A study in a store that optuna-dashboard opens. `storage`: a database's address, or the path
    of a journal file.
    """

    def __init__(self, storage: str, name: str, metrics: Sequence[str]) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        if "://" not in storage:
            Path(storage).parent.mkdir(parents=True, exist_ok=True)
        self._database = optuna.storages.RDBStorage(storage) if "://" in storage else None
        held = self._database or _journal(Path(storage))
        self._study = optuna.create_study(
            storage=held,
            study_name=name,
            directions=[METRICS[metric].direction for metric in metrics],
            load_if_exists=True,
        )
        if not self._study.metric_names:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                self._study.set_metric_names(list(metrics))
        self._seen: dict[str | None, optuna.trial.TrialState] = {}
        self._looked = 0
        self._look()

    def complete(self, run: str) -> bool:
        """Whether the run is shown with its values, so that nothing more will come."""
        return (seen := self._seen.get(run)) is not None and seen.name == "COMPLETE"

    def show(
        self,
        run: str,
        params: Mapping[str, Any],
        choices: Mapping[str, Sequence[Any]],
        outcome: Outcome,
    ) -> None:
        """Adds a run that ended, once; and once more where it ended otherwise since: Optuna takes
        back no trial that failed, but leaves it out of what it computes. `choices`: all values that
        each parameter takes in the study.
        """
        ended = _state(outcome)
        if self._seen.get(run) is not ended:
            self._look()  # another driver may have added it since
        if self._seen.get(run) is not ended and not self.complete(run):
            space = {name: _distribution(choices[name]) for name in params}
            self._study.add_trial(_frozen(params, space, outcome, {"run": run}))
            self._seen[run] = ended

    def _look(self) -> None:
        """Notes the trials that are new in the store: they are numbered as they come."""
        trials = self._study.get_trials(deepcopy=False)
        self._seen |= {trial.user_attrs.get("run"): trial.state for trial in trials[self._looked :]}
        self._looked = len(trials)

    def close(self) -> None:
        """Lets the database go."""
        if self._database is not None:
            self._database.remove_session()
            self._database.engine.dispose()


def _journal(path: Path) -> "optuna.storages.JournalStorage":
    """One that cannot be read is set aside: what it showed is shown again."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    try:
        return JournalStorage(JournalFileBackend(str(path)))
    except (ValueError, KeyError):
        path.rename(path.with_suffix(".damaged"))
        return JournalStorage(JournalFileBackend(str(path)))


def _distribution(values: Sequence[Any] | Interval) -> "optuna.distributions.BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(values, Interval) and values.whole:
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


def _state(outcome: Outcome) -> "optuna.trial.TrialState":
    from optuna.trial import TrialState

    return (
        TrialState.COMPLETE
        if outcome.values is not None
        else TrialState.PRUNED
        if outcome.pruned
        else TrialState.FAIL
    )


def _frozen(
    params: Mapping[str, Any],
    space: Mapping[str, Any],
    outcome: Outcome,
    attributes: Mapping[str, Any] | None = None,
) -> "optuna.trial.FrozenTrial":
    import optuna

    return optuna.trial.create_trial(
        state=_state(outcome),
        values=list(outcome.values) if outcome.values is not None else None,
        params=dict(params),
        distributions=dict(space),
        intermediate_values=dict(outcome.intermediate),
        user_attrs=dict(attributes or {}),
        constraints=dict(outcome.constraints) or None,
    )
