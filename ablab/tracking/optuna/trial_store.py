"""Finished runs as trials in a storage that optuna-dashboard opens."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablab.files import set_aside
from ablab.metrics import METRICS
from ablab.tracking.optuna.journal import journal_damage
from ablab.tracking.optuna.study import Outcome, distribution

if TYPE_CHECKING:
    import optuna


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
            space = {name: distribution(choices[name]) for name in params}
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
    """Open a journal. An unreadable one is set aside; its content is written again."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    if not journal_damage(path):
        try:
            return JournalStorage(JournalFileBackend(str(path)))
        except (ValueError, KeyError):  # its lines are sound, but not in their place
            pass
    set_aside([path])
    return JournalStorage(JournalFileBackend(str(path)))


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
