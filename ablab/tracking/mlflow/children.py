"""Child runs: one for each run of a study."""

from collections.abc import Mapping
from dataclasses import dataclass

from ablab.tracking.mlflow.parents import runs_under
from ablab.tracking.mlflow.store import (
    HOME,
    KEY,
    KIND,
    PARENT,
    RESULT,
    STUDY,
    Store,
    age,
    delete_run,
    shorten,
    signature,
)

_PARAMS_PER_REQUEST = 100


@dataclass(frozen=True)
class Child:
    """A run in MLflow.

    `status` is RUNNING, FINISHED, FAILED or KILLED. `params` are the names of its parameters,
    `ended` the time of its end (Unix milliseconds), and `result` a digest of the result that it
    shows.
    """

    id: str
    status: str
    params: frozenset[str] = frozenset()
    ended: int = 0
    result: str = ""

    def outdated(self, result: str, ended: int) -> bool:
        """Return whether another, later result of the run exists: it was trained again."""
        return self.status == "FINISHED" and self.result != result and self.ended < ended


@dataclass(frozen=True)
class NewChild:
    """A child to create. `started_at`: when the run was started (Unix seconds); None for now."""

    name: str
    key: str
    started_at: float | None = None


def find_children(store: Store, parent: str, key: str | None = None) -> dict[str, Child]:
    """Return the children of `parent` by run key; with `key`, only the one with that key.

    Duplicates, which exist if the answer to a request was lost, are deleted: the oldest stays, or
    of those that began together the one with most data.
    """
    condition = f" and tags.`{KEY}` = '{key}'" if key else ""
    runs = [run for run in runs_under(store, parent, condition) if KEY in run.data.tags]
    children: dict[str, Child] = {}
    for run in sorted(runs, key=age):
        tags = run.data.tags
        if tags[KEY] in children:
            delete_run(store, run.info.run_id)
        else:
            children[tags[KEY]] = Child(
                run.info.run_id,
                run.info.status,
                frozenset(run.data.params),
                run.info.end_time or 0,
                tags.get(RESULT, ""),
            )
    return children


def create_child(
    store: Store,
    parent: str,
    child: NewChild,
    params: Mapping[str, str],
    tags: Mapping[str, str],
) -> str:
    """Create a RUNNING child with its parameters and return its id."""
    all_tags = {
        **signature(),
        HOME: store.home,
        **tags,
        PARENT: parent,
        KEY: child.key,
        KIND: "run",
    }
    started_at = None if child.started_at is None else int(child.started_at * 1000)
    run = store.client.create_run(store.experiment, started_at, all_tags, shorten(child.name))
    _log_params(store, run.info.run_id, params)
    return run.info.run_id


def log_missing_params(store: Store, run_id: str, params: Mapping[str, str]) -> None:
    """Log those of `params` that the run does not have, for example after an interruption."""
    existing = store.client.get_run(run_id).data.params
    missing = {name: value for name, value in params.items() if name not in existing}
    _log_params(store, run_id, missing)


def discard_child(store: Store, run_id: str) -> None:
    """Remove a child from its study, and delete it if this user may delete."""
    for tag in (KEY, PARENT, STUDY):
        store.client.delete_tag(run_id, tag)
    delete_run(store, run_id)


def _log_params(store: Store, run_id: str, params: Mapping[str, str]) -> None:
    from mlflow.entities import Param

    entries = [Param(name, value) for name, value in params.items()]
    for first in range(0, len(entries), _PARAMS_PER_REQUEST):
        store.client.log_batch(run_id, params=entries[first : first + _PARAMS_PER_REQUEST])
