"""An open MLflow store: its client, the lab's experiment, tags and searches."""

import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablab.tracking.mlflow.connection import connect
from ablab.tracking.mlflow.errors import delete_if_permitted
from ablab.tracking.mlflow.experiment import open_experiment

PARENT = "mlflow.parentRunId"
STUDY = "ablab.study"
KEY = "ablab.run_key"
KIND = "ablab.kind"
STAGE = "ablab.stage"
RESULT = "ablab.result"
HOME = "ablab.home"
_NAME_LENGTH = 250  # of a run's name in MLflow's databases


@dataclass(frozen=True)
class Store:
    """A connection to an MLflow store.

    `client` is an MlflowClient and `experiment` the id of the lab's experiment. `home` identifies
    the home whose runs are written.
    """

    client: Any
    experiment: str
    home: str = ""


def open_store(uri: str, local: Path, home: str = "", *, make: bool = True) -> Store:
    """Connect to the store at `uri`; `local` is the folder of one that no server keeps.

    Raises UserError (NoStore if the store does not exist and `make` is not set) and the exceptions
    of MLflow's clients if the store cannot be opened.
    """
    client = connect(uri, make=make)
    return Store(client, open_experiment(client, uri, local, make=make), home)


def search(store: Store, query: str) -> list[Any]:
    """Return all runs that match `query`."""
    runs: list[Any] = []
    token = None
    while True:
        page = store.client.search_runs(
            [store.experiment], query, max_results=1000, page_token=token
        )
        runs += page
        token = page.token
        if not token:
            return runs


def tag_filter(tag: str, value: str) -> str:
    """Return a condition of MLflow's search: the tag has that value.

    No string of MLflow's search can hold both kinds of quotes; for a value with both, the
    condition also matches some other values.
    """
    quote = '"' if "'" in value else "'"
    if quote not in value:
        return f"tags.`{tag}` = {quote}{value}{quote}"
    like = value.replace("'", "_").replace('"', "_")
    return f"tags.`{tag}` LIKE '{like}'"


def set_tags(store: Store, run_id: str, tags: Mapping[str, str]) -> None:
    """Set the tags of a run in one request."""
    from mlflow.entities import RunTag

    store.client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])


def delete_run(store: Store, run_id: str) -> None:
    """Delete a run if this user may delete."""
    delete_if_permitted(lambda: store.client.delete_run(run_id))


def end_run(store: Store, run_id: str, status: str, ended_at: float | None = None) -> None:
    """End a run as FINISHED, FAILED or KILLED, at `ended_at` (Unix seconds) or now."""
    milliseconds = None if ended_at is None else int(ended_at * 1000)
    store.client.set_terminated(run_id, status, milliseconds)


def shorten(name: str) -> str:
    """Return a run's name, truncated to what MLflow's databases accept."""
    return name if len(name) <= _NAME_LENGTH else name[: _NAME_LENGTH - 1] + "…"


def age(run: Any) -> tuple[int, int, str]:
    """Sort key for runs: the oldest first; of those that began together, the one with most data."""
    return run.info.start_time, -len(run.data.metrics) - len(run.data.params), run.info.run_id


def signature() -> dict[str, str]:
    """Return the tags that MLflow's tables show as user and source."""
    return {
        "mlflow.user": _user(),
        "mlflow.source.name": "ablab",
        "mlflow.source.type": "LOCAL",
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the uid has no entry in the password database
        return f"uid {os.getuid()}"
