"""The lab's experiment in an MLflow store, and the folder of its artifacts."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ablab.errors import UserError
from ablab.spec.addresses import is_server, redacted
from ablab.tracking.mlflow.errors import NoStore

EXPERIMENT = "ablab"
_KIND = "mlflow.experimentKind"


def open_experiment(client: Any, uri: str, local: Path, *, make: bool) -> str:
    """Return the id of the lab's experiment, created if it is missing and `make` is set.

    Raises NoStore if it is missing and `make` is not set, and UserError if it is in the trash or
    if the store was moved, so that artifacts would be written to its former folder.
    """
    address = redacted(uri, uri)
    artifacts = local.resolve() / "artifacts"
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        if not make:
            raise NoStore(f"no study stands in {address}")
        location = None if is_server(uri) else artifacts.as_uri()
        experiment_id = client.create_experiment(EXPERIMENT, location)
        _set_kind(client, experiment_id)
        return experiment_id
    if experiment.lifecycle_stage == "deleted":
        restore = (
            f"`mlflow experiments restore -x {experiment.experiment_id}` with MLFLOW_TRACKING_URI "
            "set to it brings all back"
        )
        raise UserError(f"the experiment {EXPERIMENT!r} is in the trash of {address}: {restore}")
    if make:
        if uri.startswith("sqlite"):
            _require_artifact_folder(experiment, artifacts, address)
        if _KIND not in experiment.tags:
            _set_kind(client, experiment.experiment_id)
    return experiment.experiment_id


def missing_folder(experiment: Any) -> Path | None:
    """Return the local folder of an experiment's artifacts if it does not exist, otherwise None."""
    parts = urlsplit(experiment.artifact_location)
    folder = Path(url2pathname(parts.path))
    return folder if parts.scheme in ("", "file") and not folder.is_dir() else None


def _require_artifact_folder(experiment: Any, artifacts: Path, address: str) -> None:
    folder = missing_folder(experiment)
    if folder not in (None, artifacts):
        raise UserError(
            f"{address} was moved: its artifacts are to lie in {folder}, which is not there; "
            "move the file away, and `ablab sync` or `ablab run` writes a new one"
        )


def _set_kind(client: Any, experiment_id: str) -> None:
    # MLflow chooses the pages that it shows for an experiment by this tag.
    client.set_experiment_tag(experiment_id, _KIND, "custom_model_development")
