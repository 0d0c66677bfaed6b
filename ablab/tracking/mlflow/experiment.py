"""The lab's experiment in an MLflow store: whether it is there, and where its artifacts lie."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ablab.errors import UserError
from ablab.spec.addresses import is_server, redacted
from ablab.tracking.mlflow.connection import NoStore

EXPERIMENT = "ablab"
_KIND = "mlflow.experimentKind"


def experiment(client: Any, uri: str, local: Path, *, make: bool) -> str:
    """The experiment's id. Raises NoStore where there is none and it is not to `make` one;
    UserError where it is in the trash, or what is to be written would go where the store was moved
    from.
    """
    where, own = redacted(uri, uri), local.resolve() / "artifacts"
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None and not make:
        raise NoStore(f"no study stands in {where}")
    if found is not None and found.lifecycle_stage == "deleted":
        restore = (
            f"`mlflow experiments restore -x {found.experiment_id}` with MLFLOW_TRACKING_URI set "
            "to it brings all back"
        )
        raise UserError(f"the experiment {EXPERIMENT!r} is in the trash of {where}: {restore}")
    if (
        make
        and uri.startswith("sqlite")
        and found is not None
        and (gone := missing_folder(found)) not in (None, own)
    ):
        again = "move the file away, and `ablab sync` or `ablab run` writes a new one"
        raise UserError(
            f"{where} was moved: its artifacts are to lie in {gone}, which is not there; {again}"
        )
    made = (
        found.experiment_id
        if found
        else client.create_experiment(EXPERIMENT, None if is_server(uri) else own.as_uri())
    )
    if make and (found is None or _KIND not in found.tags):  # which pages MLflow shows it with
        client.set_experiment_tag(made, _KIND, "custom_model_development")
    return made


def missing_folder(experiment: Any) -> Path | None:
    """Where an experiment's artifacts should lie, if that is a folder of a machine and not
    there.
    """
    parts = urlsplit(experiment.artifact_location)
    folder = Path(url2pathname(parts.path))
    return folder if parts.scheme in ("", "file") and not folder.is_dir() else None
