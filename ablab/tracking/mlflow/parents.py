"""Parent runs: one for each study."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ablab.tracking.mlflow.store import (
    HOME,
    KEY,
    KIND,
    PARENT,
    STUDY,
    Store,
    age,
    delete_run,
    search,
    set_tags,
    shorten,
    signature,
    tag_filter,
)
from ablab.tracking.mlflow.view_state import view_tag


def find_parents(store: Store, study: str) -> list[Any]:
    """Return the parent runs of a study, the oldest first.

    There are several if the answer to a request that created one was lost.
    """
    runs = search(store, f"{tag_filter(STUDY, study)} and tags.`{KIND}` = 'study'")
    return sorted((run for run in runs if run.data.tags[STUDY] == study), key=age)


def find_parent(store: Store, study: str) -> str | None:
    """Return the id of the study's parent run, or None."""
    parents = find_parents(store, study)
    return parents[0].info.run_id if parents else None


def open_parent(store: Store, study: str, tags: Mapping[str, str]) -> str:
    """Return the id of the study's parent run, created if needed, with status RUNNING.

    `tags` replace those of an earlier revision. Duplicates are merged into the oldest parent.
    """
    parents = [parent.info.run_id for parent in find_parents(store, study)]
    for duplicate in parents[1:]:
        for child in runs_under(store, duplicate):
            store.client.set_tag(child.info.run_id, PARENT, parents[0])
        delete_run(store, duplicate)
    if parents:
        parent = parents[0]
        store.client.update_run(parent, status="RUNNING")
    else:
        initial_tags = {STUDY: study, KIND: "study", **signature()}
        run = store.client.create_run(store.experiment, tags=initial_tags, run_name=shorten(study))
        parent = run.info.run_id
    set_tags(store, parent, tags)
    return parent


def runs_under(store: Store, parent: str, condition: str = "") -> list[Any]:
    """Return the runs under `parent` that meet a further `condition` of MLflow's search."""
    return search(store, f"tags.`{PARENT}` = '{parent}'{condition}")


def kill_abandoned(store: Store, active_keys: Iterable[str]) -> None:
    """End as KILLED the RUNNING runs of this home whose key is not among `active_keys`."""
    active = set(active_keys)
    query = f"attributes.status = 'RUNNING' and tags.`{HOME}` = '{store.home}'"
    for run in search(store, query):
        if run.data.tags.get(KEY) not in active:
            store.client.set_terminated(run.info.run_id, "KILLED")


def forget_study(store: Store, study: str) -> None:
    """Delete a study's parent and children, and its saved view."""
    for parent in find_parents(store, study):
        view = view_tag(parent.info.run_id)
        if view in store.client.get_experiment(store.experiment).tags:
            store.client.delete_experiment_tag(store.experiment, view)
        for run in [*runs_under(store, parent.info.run_id), parent]:
            store.client.delete_run(run.info.run_id)


def forget_runs(store: Store, keys: Collection[str]) -> None:
    """Delete this home's children with these run keys, in all studies."""
    for run in search(store, f"tags.`{HOME}` = '{store.home}'") if keys else ():
        if run.data.tags.get(KEY) in keys:
            store.client.delete_run(run.info.run_id)
