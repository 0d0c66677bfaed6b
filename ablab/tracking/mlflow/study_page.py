"""The page of a study in MLflow: a saved view of its runs, or their filter and order."""

from collections.abc import Callable, Sequence
from typing import Any

from ablab.metrics import METRICS
from ablab.spec.addresses import is_server
from ablab.spec.study import Study
from ablab.tracking.mlflow.errors import explained
from ablab.tracking.mlflow.parameters import OFF, PLUGIN, SWITCH
from ablab.tracking.mlflow.parents import runs_under
from ablab.tracking.mlflow.store import STAGE, Store
from ablab.tracking.mlflow.view_state import TESTED_VERSIONS, StudyView

_COSTS = ("cost/tokens_per_second", "cost/peak_memory_bytes")
_GROUPED_BY = ("arm", "part")
_INSTEAD = "the page opens with a filter and an order, and with MLflow's own columns"


def study_page(
    store: Store, uri: str, parent: str, study: Study, say: Callable[[str], object]
) -> str:
    """Save the view of a study in the store, and return the query of the address that opens it.

    Where the pages are of a version of MLflow whose views were not tested, or the view cannot be
    saved, the address has the filter and the order of the runs, and `say` is called with the
    reason.
    """
    view = view_of(runs_under(store, parent), parent, study)
    try:
        version = _served_version(uri)
        if ".".join(version.split(".")[:2]) not in TESTED_VERSIONS:
            tested = ", ".join(TESTED_VERSIONS)
            say(f"views are saved for MLflow {tested}, and this is {version}: {_INSTEAD}")
            return view.plain_address
        _save(store, view)
    except Exception as error:  # MLflow's clients raise what their transports raise
        say(f"the view was not saved ({explained(error, uri)}): {_INSTEAD}")
        return view.plain_address
    return view.address


def view_of(runs: Sequence[Any], parent: str, study: Study) -> StudyView:
    """Return the view of a study's runs, or of its trials as long as it has no runs."""
    stage = "run" if any(run.data.tags.get(STAGE) == "run" for run in runs) else "trial"
    params = [run.data.params for run in runs if run.data.tags.get(STAGE) == stage]
    values: dict[str, set[str]] = {}
    for name, value in sorted(item for run_params in params for item in run_params.items()):
        values.setdefault(name, set()).add(value)
    # A plugin that all runs have, or none has, needs no column; nor do options that never differ.
    switches = [name for name in values if name.startswith(SWITCH) and len(values[name]) > 1]
    options = [name for name in values if name.startswith(PLUGIN) and len(values[name] - {OFF}) > 1]
    grouped_by = [name for name in _GROUPED_BY if name in values]
    groups = {tuple((name, run[name]) for name in grouped_by if name in run) for run in params}
    results = [_logged(name) for name in (study.metric, *study.objectives)]
    return StudyView(
        parent=parent,
        stage=stage,
        metrics=tuple(dict.fromkeys((*results, *_COSTS))),
        ascending=METRICS[study.metric].direction == "minimize",
        curves=("train/loss", *([study.metric] if study.validate_at else [])),
        params=(*switches, *options, "seed", "arm"),
        switches=tuple(switches),
        groups=[dict(group) for group in sorted(groups)],
    )


def _logged(metric: str) -> str:
    """Return the name under which a run's result is logged."""
    return metric if METRICS[metric].split is None else f"final/{metric}"


def _served_version(uri: str) -> str:
    """Return the version of MLflow whose pages show the store: a server's, or the installed one."""
    if not is_server(uri):
        from mlflow.version import VERSION

        return VERSION
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request_safe

    return http_request_safe(get_default_host_creds(uri), "/version", "GET").text.strip()


def _save(store: Store, view: StudyView) -> None:
    """Save a view, unless it stands there already: this user may only be permitted to read."""
    value = view.value()
    if store.client.get_experiment(store.experiment).tags.get(view.tag) != value:
        store.client.set_experiment_tag(store.experiment, view.tag, value)
