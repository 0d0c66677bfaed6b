"""What the runs of a study read, for its tracker."""

import json
from pathlib import Path

from ablab.files import read_json
from ablab.tracking.mlflow.view import DatasetInput


def inputs_of(folder: Path, fingerprint: str) -> list[DatasetInput]:
    """The splits of a token store; none where it is not there."""
    manifest = read_json(folder / "manifest.json")
    if manifest is None:
        return []
    data = manifest["data"]
    name = data["name"] if data["source"] == "hub" else data["source"]
    given = {key: value for key, value in data.items() if value is not None}
    source = {"uri": json.dumps(given, sort_keys=True)}
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
