"""MLflow as a view of the run records: one parent run a study, one child a run, one level.

Only the driver writes here. Whatever is lost can be written again from the records; sending the same batch of metrics
twice changes nothing. MLflow is imported here and nowhere else, when it is needed.
"""

import importlib.util
import logging
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

EXPERIMENT = "ablab"
_PARENT, _STUDY, _KEY, _HOME = "mlflow.parentRunId", "ablab.study", "ablab.run_key", "ablab.home"
_BATCH = 1000
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Child:
    """A run in MLflow. `status`: RUNNING, FINISHED, FAILED, KILLED."""

    id: str
    status: str


def available() -> bool:
    """Whether MLflow is installed. A folder named mlflow/ on the path is not: that is an empty namespace."""
    spec = importlib.util.find_spec("mlflow")
    return spec is not None and spec.origin is not None


class MlflowView:
    """A connection to a store. Raises what MLflow raises where the store can't be opened."""

    def __init__(self, uri: str, local: Path, home: Path) -> None:
        self._home = str(home.resolve())
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        # MLflow's own defaults wait minutes for a server that is away; the records don't need it.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        if uri.startswith("sqlite"):
            local.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():  # its own warnings, the last of them at the first query
            warnings.simplefilter("ignore")
            from mlflow import MlflowClient

            for name in ("mlflow", "alembic"):
                logging.getLogger(name).setLevel(logging.ERROR)
            self._client = MlflowClient(uri)
            found = self._client.get_experiment_by_name(EXPERIMENT)
        artifacts = (local.resolve() / "artifacts").as_uri() if uri.startswith("sqlite") else None
        self._experiment = found.experiment_id if found else self._client.create_experiment(EXPERIMENT, artifacts)

    def parent(self, study: str, tags: Mapping[str, str]) -> str:
        """The study's parent run, made if it is not there; its tags are those of the latest revision."""
        found = self._search(f"tags.`{_STUDY}` = '{study}' and tags.`ablab.kind` = 'study'")
        if found:
            run = found[0].info.run_id
            self._client.update_run(run, status="RUNNING")
        else:
            tags_first = {_STUDY: study, "ablab.kind": "study"}
            run = self._client.create_run(self._experiment, tags=tags_first, run_name=study).info.run_id
        for key, value in tags.items():
            self._client.set_tag(run, key, value)
        return run

    def children(self, parent: str, key: str | None = None) -> dict[str, Child]:
        """The children of `parent` by run key, or the one of `key` alone."""
        one = f" and tags.`{_KEY}` = '{key}'" if key else ""
        runs = self._search(f"tags.`{_PARENT}` = '{parent}'{one}")
        return {run.data.tags[_KEY]: Child(run.info.run_id, run.info.status) for run in runs if _KEY in run.data.tags}

    def create_child(self, parent: str, name: str, key: str, params: Mapping[str, str], tags: Mapping[str, str]) -> str:
        """A child run with its parameters; RUNNING from here on."""
        from mlflow.entities import Param

        all_tags = {**tags, _PARENT: parent, _KEY: key, _HOME: self._home, "ablab.kind": "run"}
        run = self._client.create_run(self._experiment, tags=all_tags, run_name=name).info.run_id
        entries = iter([Param(k, v) for k, v in params.items()])
        while batch := list(islice(entries, 100)):
            self._client.log_batch(run, params=batch)
        return run

    def resume(self, run: str) -> None:
        """The run is under way again."""
        self._client.update_run(run, status="RUNNING")

    def log(self, run: str, rows: Iterable[Row]) -> None:
        """Metrics by step; each row has `step` and `time`."""
        from mlflow.entities import Metric

        metrics = (
            Metric(name, float(value), int(row["time"] * 1000), int(row["step"]))
            for row in rows
            for name, value in row.items()
            if name not in ("step", "time")
        )
        while batch := list(islice(metrics, _BATCH)):
            self._client.log_batch(run, metrics=batch)

    def end(self, run: str, status: str) -> None:
        """Ends a run: FINISHED, FAILED or KILLED."""
        self._client.set_terminated(run, status)

    def attach(self, run: str, files: Sequence[Path]) -> None:
        """Logs files as artifacts."""
        for file in files:
            self._client.log_artifact(run, str(file))

    def reap(self, alive: Iterable[str]) -> None:
        """Ends as KILLED every run of this home that is RUNNING though no process trains it; `alive` are keys that are."""
        keys = set(alive)
        for run in self._search(f"attributes.status = 'RUNNING' and tags.`{_HOME}` = '{self._home}'"):
            if run.data.tags.get(_KEY) not in keys:
                self._client.set_terminated(run.info.run_id, "KILLED")

    def forget(self, study: str) -> None:
        """Deletes a study's parent and children."""
        for parent in self._search(f"tags.`{_STUDY}` = '{study}' and tags.`ablab.kind` = 'study'"):
            for run in [*self._search(f"tags.`{_PARENT}` = '{parent.info.run_id}'"), parent]:
                self._client.delete_run(run.info.run_id)

    def _search(self, query: str) -> list[Any]:
        runs: list[Any] = []
        token = None
        while True:
            page = self._client.search_runs([self._experiment], query, max_results=1000, page_token=token)
            runs += page
            token = page.token
            if not token:
                return runs
