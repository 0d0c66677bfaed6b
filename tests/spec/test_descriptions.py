"""The printed JSON schema explains every key of a study file."""

import json
from collections.abc import Iterator
from typing import Any

from ablab.cli.studies import schema


def keys(node: Any, owner: str) -> Iterator[tuple[str, Any]]:
    """Every property below `node`, with its full name."""
    if isinstance(node, list):
        for item in node:
            yield from keys(item, owner)
    if not isinstance(node, dict):
        return
    for name, value in node.get("properties", {}).items():
        yield f"{owner}.{name}", value
    for name, value in node.items():
        if name == "$defs":
            for model, definition in value.items():
                yield from keys(definition, model)
        else:
            yield from keys(value, owner)


def test_every_key_has_a_description(capsys):
    schema()
    properties = dict(keys(json.loads(capsys.readouterr().out), "study"))
    assert {"study.from", "study.profiles", "Tune.lr", "HubData.column"} <= properties.keys()
    assert {name for name, value in properties.items() if not value.get("description")} == set()
