"""The MLflow and Optuna trackers, checked by the conformance suite."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend, JournalStorage

from ablab.testing.trackers import METRIC, ShownRun, TrackedStudy, TrackerConformance
from ablab.tracking.mlflow.tracker import MlflowTracker
from ablab.tracking.optuna.tracker import OptunaTracker
from tests.tracking.stores import shown

# MLflow's, Optuna's and SQLAlchemy's own warnings, where the store is read in this process.
pytestmark = pytest.mark.filterwarnings("ignore")

MLFLOW_STATES = {
    "RUNNING": "running",
    "FINISHED": "finished",
    "FAILED": "failed",
    "KILLED": "stopped",
}
OPTUNA_STATES = {"COMPLETE": "finished", "FAIL": "failed", "PRUNED": "stopped"}


def fail(*arguments: object, **options: object) -> None:
    raise OSError("Failed to establish a connection")


@pytest.fixture(scope="module")
def mlflow_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one store for all tests: MLflow takes seconds to create its tables."""
    return tmp_path_factory.mktemp("mlflow")


class TestMlflowTracker(TrackerConformance):
    uri = ""

    @pytest.fixture(autouse=True)
    def _store(self, mlflow_folder: Path) -> None:
        self.uri = f"sqlite:///{mlflow_folder}/mlflow.db"

    def tracker(self, tracked: TrackedStudy) -> MlflowTracker:
        return MlflowTracker(tracked.record, tracked.study, tracked.say, self.uri)

    def shown(self, tracked: TrackedStudy) -> Mapping[str, Sequence[ShownRun]]:
        content = shown(self.uri, tracked.record.name)
        return {
            key: [
                ShownRun(
                    MLFLOW_STATES[run.info.status],
                    {
                        name.removeprefix("final/"): value
                        for name, value in run.data.metrics.items()
                        if name.startswith("final/")
                    },
                    [
                        (name, step)
                        for (name, step, _), times in content.history[key].items()
                        for _ in range(times)
                    ],
                )
            ]
            for key, run in content.children.items()  # `shown` checks that each is there once
        }

    @contextmanager
    def unreachable(self, tracked: TrackedStudy) -> Iterator[None]:
        methods = ("search_experiments", "search_runs", "create_run", "get_run", "log_batch")
        with pytest.MonkeyPatch.context() as patch:
            for method in methods:
                patch.setattr(f"mlflow.MlflowClient.{method}", fail)
            yield


class TestOptunaTracker(TrackerConformance):
    def tracker(self, tracked: TrackedStudy) -> OptunaTracker:
        return OptunaTracker(tracked.record, tracked.study, tracked.say)

    def shown(self, tracked: TrackedStudy) -> Mapping[str, Sequence[ShownRun]]:
        path = tracked.record.home.optuna(tracked.record.name)
        storage = JournalStorage(JournalFileBackend(str(path)))
        study = optuna.load_study(storage=storage, study_name=tracked.record.edition)
        runs: dict[str, list[ShownRun]] = {}
        for trial in study.trials:
            final = {METRIC: trial.values[0]} if trial.values else {}
            points = [(METRIC, rung) for rung in trial.intermediate_values]
            run = ShownRun(OPTUNA_STATES[trial.state.name], final, points)
            runs.setdefault(trial.user_attrs["run"], []).append(run)
        return runs

    @contextmanager
    def unreachable(self, tracked: TrackedStudy) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("optuna.create_study", fail)
            patch.setattr("optuna.study.Study.add_trial", fail)
            yield
