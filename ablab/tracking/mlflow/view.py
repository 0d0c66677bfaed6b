"""MLflow as a view of the run records: one parent run a study, one child a run, one level.

Only the driver writes here. Whatever is lost can be written again from the records; sending the
same batch of metrics twice changes nothing.
"""

import getpass
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from ablab.tracking.mlflow.connection import (
    NoStore,
    available,
    connect,
    explained,
    settings,
    store_folder,
)
from ablab.tracking.mlflow.experiment import experiment
from ablab.tracking.mlflow.limits import refused, short, where_allowed
from ablab.tracking.mlflow.runs import Child, DatasetInput, NewChild, Point

__all__ = [
    "RESULT",
    "STUDY",
    "Child",
    "DatasetInput",
    "MlflowView",
    "NewChild",
    "NoStore",
    "Point",
    "available",
    "explained",
    "refused",
    "settings",
    "store_folder",
    "tagged",
]

PARENT, STUDY, KEY, KIND = "mlflow.parentRunId", "ablab.study", "ablab.run_key", "ablab.kind"
RESULT = "ablab.result"
_HOME = "ablab.home"
_BATCH = 1000
Row = Mapping[str, Any]


class MlflowView:
    """A connection to a store; `local`: where the artifacts of one lie that no server keeps;
    `home`: whose runs these are. Raises UserError (NoStore where there is none and it is not to
    `make` one), and what MLflow raises where the store can't be opened.
    """

    def __init__(self, uri: str, local: Path, home: str = "", *, make: bool = True) -> None:
        self._home = home
        self.client = connect(uri, local, make=make)
        self.experiment = experiment(self.client, uri, local, make=make)

    def find_parent(self, study: str) -> str | None:
        """The study's parent run, if there is one."""
        found = self._parents(study)
        return found[0].info.run_id if found else None

    def parent(self, study: str, tags: Mapping[str, str]) -> str:
        """The study's parent run, made if it is not there; its tags are those of the latest
        revision. One that was made twice, since an answer was lost, becomes one.
        """
        found = [parent.info.run_id for parent in self._parents(study)]
        for twin in found[1:]:
            for child in self._under(twin):
                self.client.set_tag(child.info.run_id, PARENT, found[0])
            self._remove(twin)
        if found:
            run = found[0]
            self.client.update_run(run, status="RUNNING")
        else:
            tags_first = {STUDY: study, KIND: "study", **_signature()}
            run = self.client.create_run(
                self.experiment, tags=tags_first, run_name=short(study)
            ).info.run_id
        self.tag(run, tags)
        return run

    def tag(self, run: str, tags: Mapping[str, str]) -> None:
        """Sets tags."""
        from mlflow.entities import RunTag

        self.client.log_batch(run, tags=[RunTag(key, value) for key, value in tags.items()])

    def children(self, parent: str, key: str | None = None) -> dict[str, Child]:
        """The children of `parent` by run key, or the one of `key` alone. Of one that was made
        twice, since an answer was lost, the older stays, or what holds more.
        """
        one = f" and tags.`{KEY}` = '{key}'" if key else ""
        found: dict[str, Child] = {}
        for run in sorted(
            (run for run in self._under(parent, one) if KEY in run.data.tags), key=_age
        ):
            if run.data.tags[KEY] in found:
                self._remove(run.info.run_id)
            else:
                params, result = frozenset(run.data.params), run.data.tags.get(RESULT, "")
                found[run.data.tags[KEY]] = Child(
                    run.info.run_id, run.info.status, params, run.info.end_time or 0, result
                )
        return found

    def create_child(
        self, parent: str, child: NewChild, params: Mapping[str, str], tags: Mapping[str, str]
    ) -> str:
        """A child run with its parameters; RUNNING from here on."""
        all_tags = {
            **_signature(),
            _HOME: self._home,
            **tags,
            PARENT: parent,
            KEY: child.key,
            KIND: "run",
        }
        began = None if child.began is None else int(child.began * 1000)
        run = self.client.create_run(
            self.experiment, began, all_tags, short(child.name)
        ).info.run_id
        self._log_params(run, params)
        return run

    def complete_params(self, run: str, params: Mapping[str, str]) -> None:
        """Logs those parameters that are not there: what was cut off."""
        there = self.client.get_run(run).data.params
        self._log_params(run, {name: value for name, value in params.items() if name not in there})

    def inputs(self, run: str, datasets: Iterable[DatasetInput]) -> None:
        """What a run reads; the same again changes nothing."""
        from mlflow import entities

        def entity(data: DatasetInput) -> entities.DatasetInput:
            source, profile = json.dumps(dict(data.source)), json.dumps(dict(data.profile))
            dataset = entities.Dataset(
                data.name, data.digest, data.kind, source, schema=None, profile=profile
            )
            return entities.DatasetInput(
                dataset, [entities.InputTag("mlflow.data.context", data.context)]
            )

        self.client.log_inputs(run, datasets=[entity(data) for data in datasets])

    def has_model(self, run: str) -> bool:
        """Whether a run's model stands there."""
        return bool(self.client.get_run(run).outputs.model_outputs)

    def model(self, run: str, name: str, params: Mapping[str, str], step: int) -> None:
        """The model that a run came to, as its output: described, not uploaded. One that was made,
        though the answer was lost, is taken up.
        """
        from mlflow.entities import LoggedModelOutput

        plain = "".join(
            "_" if sign in "/:.%\"'" else sign for sign in short(name)
        )  # which MLflow forbids in a model's name
        there = self.client.search_logged_models([self.experiment], f"source_run_id = '{run}'")
        model, *twins = [
            found.model_id for found in sorted(there, key=lambda found: found.creation_timestamp)
        ] or [
            self.client.create_logged_model(
                self.experiment, plain, source_run_id=run, params=dict(params), model_type="decoder"
            ).model_id
        ]
        for twin in twins:
            where_allowed(lambda twin=twin: self.client.delete_logged_model(twin))
        self.client.finalize_logged_model(model, "READY")
        self.client.log_outputs(run, [LoggedModelOutput(model, step)])

    def resume(self, run: str) -> None:
        """The run is under way again."""
        self.client.update_run(run, status="RUNNING")

    def logged(self, run: str) -> set[Point]:
        """The metrics that stand there already, by name and step."""
        names = self.client.get_run(run).data.metrics
        return {
            (name, metric.step)
            for name in names
            for metric in self.client.get_metric_history(run, name)
        }

    def log(self, run: str, rows: Iterable[Row], but: Collection[Point] = ()) -> set[Point]:
        """Logs metrics by step, all `but` those: which ones. Each row has `step` and `time`
        (Unix).
        """
        from mlflow.entities import Metric

        new = {
            (name, int(row["step"])): Metric(
                name, float(value), int(row["time"] * 1000), int(row["step"])
            )
            for row in rows
            for name, value in row.items()
            if name not in ("step", "time") and (name, int(row["step"])) not in but
        }
        left = iter(new.values())
        while batch := list(islice(left, _BATCH)):
            self.client.log_batch(run, metrics=batch)
        return set(new)

    def end(self, run: str, status: str, when: float | None = None) -> None:
        """Ends a run, now or when it did (Unix): FINISHED, FAILED or KILLED."""
        self.client.set_terminated(run, status, None if when is None else int(when * 1000))

    def attach(self, run: str, files: Sequence[Path]) -> None:
        """Logs files as artifacts."""
        for file in files:
            self.client.log_artifact(run, str(file))

    def attach_text(self, run: str, name: str, text: str) -> None:
        """Logs a text as an artifact."""
        self.client.log_text(run, text, name)

    def reap(self, alive: Iterable[str]) -> None:
        """Ends as KILLED every run of this home that is RUNNING though no process trains it;
        `alive` are keys that are.
        """
        keys = set(alive)
        for run in self.search(
            f"attributes.status = 'RUNNING' and tags.`{_HOME}` = '{self._home}'"
        ):
            if run.data.tags.get(KEY) not in keys:
                self.client.set_terminated(run.info.run_id, "KILLED")

    def forget(self, study: str) -> None:
        """Deletes a study's parent and children."""
        for parent in self._parents(study):
            for run in [*self._under(parent.info.run_id), parent]:
                self.client.delete_run(run.info.run_id)

    def forget_runs(self, keys: Collection[str]) -> None:
        """Deletes this home's children of these runs, in whatever study."""
        for run in self.search(f"tags.`{_HOME}` = '{self._home}'") if keys else ():
            if run.data.tags.get(KEY) in keys:
                self.client.delete_run(run.info.run_id)

    def discard(self, child: str) -> None:
        """Takes a child out of its study, and deletes it where this user may: who may only add
        can't.
        """
        for tag in (KEY, PARENT, STUDY):
            self.client.delete_tag(child, tag)
        self._remove(child)

    def _parents(self, study: str) -> list[Any]:
        """The study's parent, first the oldest if there are several."""
        found = self.search(f"{tagged(STUDY, study)} and tags.`{KIND}` = 'study'")
        return sorted((run for run in found if run.data.tags[STUDY] == study), key=_age)

    def _under(self, parent: str, more: str = "") -> list[Any]:
        return self.search(f"tags.`{PARENT}` = '{parent}'{more}")

    def _remove(self, run: str) -> None:
        where_allowed(lambda: self.client.delete_run(run))

    def _log_params(self, run: str, params: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        entries = iter([Param(name, value) for name, value in params.items()])
        while batch := list(islice(entries, 100)):
            self.client.log_batch(run, params=batch)

    def search(self, query: str) -> list[Any]:
        """The runs that `query` finds, all of them."""
        runs: list[Any] = []
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment], query, max_results=1000, page_token=token
            )
            runs += page
            token = page.token
            if not token:
                return runs


def tagged(tag: str, value: str) -> str:
    """A condition of MLflow's search: the tag has that value. Of one with both kinds of quotes,
    which no string of MLflow's can hold, it finds some others too.
    """
    quote = '"' if "'" in value else "'"
    if quote not in value:
        return f"tags.`{tag}` = {quote}{value}{quote}"
    like = value.replace("'", "_").replace('"', "_")
    return f"tags.`{tag}` LIKE '{like}'"


def _age(run: Any) -> tuple[int, int, str]:
    """Sorts runs, the oldest first; of those that began together what holds most."""
    return run.info.start_time, -len(run.data.metrics) - len(run.data.params), run.info.run_id


def _signature() -> dict[str, str]:
    """Who writes: what MLflow's tables show as user and source."""
    return {
        "mlflow.user": getpass.getuser(),
        "mlflow.source.name": "ablab",
        "mlflow.source.type": "LOCAL",
    }
