"""The inputs of a run in MLflow (the splits it reads) and its output (the model)."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablab.sealed import read_sealed
from ablab.tracking.mlflow.errors import delete_if_permitted
from ablab.tracking.mlflow.store import Store, shorten


@dataclass(frozen=True)
class DatasetInput:
    """A split that a run reads. `context` is train, val or test; `profile` gives its sizes."""

    name: str
    digest: str
    context: str
    kind: str
    source: Mapping[str, Any]
    profile: Mapping[str, Any]


def dataset_inputs(folder: Path, fingerprint: str) -> list[DatasetInput]:
    """Return the splits of the token store in `folder`; none if it does not exist."""
    manifest = read_sealed(folder / "manifest.json", folder.parent.parent)
    if manifest is None:
        return []
    data = manifest["data"]
    name = data["name"] if data["source"] == "hub" else data["source"]
    settings = {key: value for key, value in data.items() if value is not None}
    source = {"uri": json.dumps(settings, sort_keys=True)}
    return [
        DatasetInput(
            f"{name} {split}",
            fingerprint,
            split,
            "local",
            source,
            {"vocab": manifest["vocab"], **sizes},
        )
        for split, sizes in manifest["splits"].items()
    ]


def log_inputs(store: Store, run_id: str, datasets: Iterable[DatasetInput]) -> None:
    """Log what a run reads; the same again changes nothing."""
    from mlflow import entities

    def entity(data: DatasetInput) -> entities.DatasetInput:
        source = json.dumps(dict(data.source))
        profile = json.dumps(dict(data.profile))
        dataset = entities.Dataset(
            data.name, data.digest, data.kind, source, schema=None, profile=profile
        )
        return entities.DatasetInput(
            dataset, [entities.InputTag("mlflow.data.context", data.context)]
        )

    store.client.log_inputs(run_id, datasets=[entity(data) for data in datasets])


def has_model(store: Store, run_id: str) -> bool:
    """Return whether the run's model is logged."""
    return bool(store.client.get_run(run_id).outputs.model_outputs)


def log_model(store: Store, run_id: str, name: str, params: Mapping[str, str], step: int) -> None:
    """Log the model of a run at `step` as its output: described, not uploaded.

    A model whose creation was interrupted is completed, and duplicates of it are deleted.
    """
    from mlflow.entities import LoggedModelOutput

    models = store.client.search_logged_models([store.experiment], f"source_run_id = '{run_id}'")
    ids = [model.model_id for model in sorted(models, key=lambda model: model.creation_timestamp)]
    if not ids:
        # MLflow forbids these characters in a model's name.
        legal_name = "".join("_" if sign in "/:.%\"'" else sign for sign in shorten(name))
        model = store.client.create_logged_model(
            store.experiment,
            legal_name,
            source_run_id=run_id,
            params=dict(params),
            model_type="decoder",
        )
        ids = [model.model_id]
    for duplicate in ids[1:]:
        delete_if_permitted(lambda id=duplicate: store.client.delete_logged_model(id))
    store.client.finalize_logged_model(ids[0], "READY")
    store.client.log_outputs(run_id, [LoggedModelOutput(ids[0], step)])
