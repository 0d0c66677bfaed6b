"""Read study files with the position of every key, and merge file < profile < command line.

Mappings are merged, except `budget`, `seeds`, `tune` and `data`, which a layer replaces entirely.
Setting another `design.kind` discards the keys of the previous kind, and null removes a key.
`recipe: NAME` is short for `recipe: {preset: NAME}`, which layers can be merged with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from ablab.errors import UserError, unknown
from ablab.names import MAX_NAME, require_profile
from ablab.spec.yaml_parser import MAX_BYTES, MAX_DEPTH, Keys, parse
from ablab.text.truncate import shown

_REPLACED_KEYS = {"budget", "seeds", "tune", "data"}
_MAX_OVERRIDES = 200


@dataclass
class Document:
    """Plain values, and the position of each path: `file:line:column` or `command line`."""

    values: dict[str, Any]
    places: dict[Keys, str] = field(default_factory=dict)
    default_place: str = ""

    def at(self, path: Sequence[str]) -> str:
        """Return the prefix of an error about `path`: its position and its name."""
        return f"{self.place(path)}: {'.'.join(path)}"

    def place(self, path: Sequence[str]) -> str:
        """Return the position of `path`, or of the nearest path above it that has one."""
        for end in range(len(path), 0, -1):
            place = self.places.get(tuple(path[:end]))
            if place:
                return place
        return self.default_place


def read_document(file: Path, profile: str | None, overrides: Sequence[str]) -> Document:
    """Read a study file, and apply a profile and `a.b=c` overrides.

    Raises UserError with the position of an error.
    """
    values, places = parse(
        _read(file), str(file), lambda mark: f"{file}:{mark.line + 1}:{mark.column + 1}"
    )
    if not isinstance(values, dict):
        raise UserError(
            f"{file}:1:1: a study file is a mapping of keys (question, from, to, design, …)"
        )
    base = Document({}, {}, f"{file}:1:1")
    _overlay(base, Document(values, places))
    profiles = base.values.pop("profiles", {}) or {}
    if not isinstance(profiles, dict):
        raise UserError(
            f"{base.place(['profiles'])}: profiles: a mapping of names to settings is expected"
        )
    if profile is not None:
        require_profile(profile)
        if profile not in profiles:
            raise UserError(f"{base.place(['profiles'])}: {unknown('profile', profile, profiles)}")
        settings = profiles[profile] or {}
        if not isinstance(settings, dict):
            raise UserError(
                f"{base.place(['profiles', profile])}: profiles.{profile}: a mapping of "
                "settings is expected"
            )
        _overlay(base, _sub(base, ("profiles", profile), settings))
    _overlay(base, _command_line(overrides))
    base.values = _without_null(base.values)
    return base


def _read(file: Path) -> str:
    """Return the text of a study file. Raises UserError if there is none, or too much of it."""
    if not file.is_file():
        raise UserError(f"{file}: no such study file")
    with file.open("rb") as opened:
        content = opened.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise UserError(f"{file}: a study file has at most {MAX_BYTES:,} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: not UTF-8 text (byte {error.start})") from None


def _sub(document: Document, parent: Keys, values: Mapping[str, Any]) -> Document:
    """Return the part of a document below `parent`, whose plain values are `values`."""
    places = {
        path[len(parent) :]: place
        for path, place in document.places.items()
        if path[: len(parent)] == parent and path != parent
    }
    return Document(dict(values), places)


def _command_line(overrides: Sequence[str]) -> Document:
    if len(overrides) > _MAX_OVERRIDES:
        raise UserError(f"command line: {len(overrides):,} overrides: at most {_MAX_OVERRIDES}")
    values: dict[str, Any] = {}
    places: dict[Keys, str] = {}
    for override in overrides:
        name, equals, text = override.partition("=")
        keys = name.strip().split(".")
        if not equals or len(keys) > MAX_DEPTH or not all(0 < len(k) <= MAX_NAME for k in keys):
            raise UserError(
                f"command line: {shown(override)}: overrides are written `key=value` or `a.b=value`"
            )
        value = _override_value(name, text)
        if keys == ["recipe"] and isinstance(value, str):
            keys = ["recipe", "preset"]
        node = values
        for depth, key in enumerate(keys[:-1], start=1):
            node = node.setdefault(key, {})
            if not isinstance(node, dict):
                above = ".".join(keys[:depth])
                raise UserError(f"command line: {shown(override)}: {above} is also given a value")
            places[tuple(keys[:depth])] = "command line"
        node[keys[-1]] = value
        places[tuple(keys)] = "command line"
    return Document(values, places)


def _override_value(name: str, text: str) -> Any:
    """Return the plain value of an override, which is written as the value of a key."""
    place = f"command line: {name}"
    if len(text) > MAX_BYTES:
        raise UserError(f"{place}: a value has at most {MAX_BYTES:,} bytes")
    parsed, _ = parse(f"value: {text}", place, lambda mark: place)
    if not isinstance(parsed, dict) or parsed.keys() != {"value"}:
        raise UserError(f"{place}: one value is expected")
    return parsed["value"]


def _overlay(base: Document, layer: Document) -> None:
    """Merge the values and positions of `layer` into `base`, in place."""
    old = base.values.get("design")
    new = layer.values.get("design")
    if (
        isinstance(old, dict)
        and isinstance(new, dict)
        and new.get("kind", old.get("kind")) != old.get("kind")
    ):
        base.values["design"] = {}
    _check_data(base, layer)
    _expand_short_forms(layer)
    _merge(base.values, layer.values, depth=0)
    base.places.update(layer.places)


def _expand_short_forms(layer: Document) -> None:
    """Replace `recipe: NAME` and `scales: [RUNG, …]` by mappings."""
    rungs = layer.values.get("scales")
    if isinstance(rungs, list):
        layer.values["scales"] = {"rungs": rungs}
        items = {
            path: place
            for path, place in layer.places.items()
            if path[0] == "scales" and len(path) > 1
        }
        layer.places.update(
            {("scales", "rungs", *path[1:]): place for path, place in items.items()}
        )
    preset = layer.values.get("recipe")
    if isinstance(preset, str):
        layer.values["recipe"] = {"preset": preset}
        layer.places["recipe", "preset"] = layer.place(["recipe"])


def _check_data(base: Document, layer: Document) -> None:
    """Require `data.source` in a layer that replaces `data`.

    Without it the source would silently become the default corpus.
    """
    old = base.values.get("data")
    new = layer.values.get("data")
    source = old.get("source", "stdlib") if isinstance(old, dict) else "stdlib"
    if isinstance(new, dict) and "source" not in new and source != "stdlib":
        raise UserError(
            f"{layer.at(['data'])}: it replaces all of `data`: give data.source as well (it was "
            f"{source!r})"
        )


def _merge(old: dict[str, Any], new: Mapping[str, Any], depth: int) -> None:
    for key, value in new.items():
        replaced = depth == 0 and key in _REPLACED_KEYS
        if isinstance(value, dict) and isinstance(old.get(key), dict) and not replaced:
            _merge(old[key], value, depth + 1)
        else:
            old[key] = value


def _without_null(values: Any) -> Any:
    if not isinstance(values, dict):
        return values
    return {key: _without_null(value) for key, value in values.items() if value is not None}


def to_yaml(values: Mapping[str, Any]) -> str:
    """Return plain values as the text of a study file."""
    text = StringIO()
    writer = YAML()
    writer.width = 120
    writer.dump(dict(values), text)
    return text.getvalue()
