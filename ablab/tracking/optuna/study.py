"""Optuna: propose trials (ask and tell), and store finished runs for optuna-dashboard.

Proposals are made in memory. They and the stored trials can be made again from the run records.
Optuna is imported here and nowhere else, when it is needed.
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
        self._space = {name: _distribution(values) for name, values in space.items()}
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
        choose(lambda name: trial._suggest(name, self._space[name]))  # pyright: ignore[reportPrivateUsage]
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


class TrialStore:
    """An Optuna study in a storage that optuna-dashboard opens, with one trial for each run.

    `storage` is the address of a database or the path of a journal file.
    """

    def __init__(self, storage: str, name: str, metrics: Sequence[str]) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        if "://" not in storage:
            Path(storage).parent.mkdir(parents=True, exist_ok=True)
        self._database = optuna.storages.RDBStorage(storage) if "://" in storage else None
        backend = self._database or _journal(Path(storage))
        self._study = optuna.create_study(
            storage=backend,
            study_name=name,
            directions=[METRICS[metric].direction for metric in metrics],
            load_if_exists=True,
        )
        if not self._study.metric_names:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                self._study.set_metric_names(list(metrics))
        self._states: dict[str | None, optuna.trial.TrialState] = {}  # latest, by run key
        self._trial_count = 0
        self._read_new_trials()

    def is_complete(self, run: str) -> bool:
        """Return whether the run is shown with its values, so that it will not change."""
        state = self._states.get(run)
        return state is not None and state.name == "COMPLETE"

    def show(
        self,
        run: str,
        params: Mapping[str, Any],
        choices: Mapping[str, Sequence[Any]],
        outcome: Outcome,
    ) -> None:
        """Add a run that ended, once for each way in which it ended.

        Optuna cannot remove a failed trial, but ignores it in all computations, so a run that
        succeeded later has two trials. `choices` are all values that each parameter takes in the
        study.
        """
        state = _state(outcome)
        if self._states.get(run) is not state:
            self._read_new_trials()  # another driver may have added it
        if self._states.get(run) is not state and not self.is_complete(run):
            space = {name: _distribution(choices[name]) for name in params}
            self._study.add_trial(_frozen(params, space, outcome, {"run": run}))
            self._states[run] = state

    def _read_new_trials(self) -> None:
        """Read the trials that were added to the storage; Optuna numbers them consecutively."""
        trials = self._study.get_trials(deepcopy=False)
        new_trials = trials[self._trial_count :]
        self._states |= {trial.user_attrs.get("run"): trial.state for trial in new_trials}
        self._trial_count = len(trials)

    def close(self) -> None:
        """Close the connections to the database."""
        if self._database is not None:
            self._database.remove_session()
            self._database.engine.dispose()


def _journal(path: Path) -> "optuna.storages.JournalStorage":
    """Open a journal. An unreadable one is renamed; its content is written again."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    try:
        return JournalStorage(JournalFileBackend(str(path)))
    except (ValueError, KeyError):
        path.rename(path.with_suffix(".damaged"))
        return JournalStorage(JournalFileBackend(str(path)))


def _distribution(values: Sequence[Any] | Interval) -> "optuna.distributions.BaseDistribution":
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


def _state(outcome: Outcome) -> "optuna.trial.TrialState":
    from optuna.trial import TrialState

    if outcome.values is not None:
        return TrialState.COMPLETE
    return TrialState.PRUNED if outcome.pruned else TrialState.FAIL


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
