"""Study files: YAML read safely with positions, and layered: file < profile < command line.

Mappings merge, except `budget`, `seeds`, `tune` and `data`, which a layer replaces whole; setting
`design.kind` drops the other kind's keys; null removes. `recipe: NAME` is short for `recipe:
{preset: NAME}`, so that layers merge with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from ablab.errors import UserError, unknown

_WHOLE = {"budget", "seeds", "tune", "data"}
Keys = tuple[str, ...]


@dataclass
class Document:
    """Plain values, and for each path the place that wrote it (`file:line:column` or `command
    line`).
    """

    values: dict[str, Any]
    places: dict[Keys, str] = field(default_factory=dict)
    default_place: str = ""

    def at(self, path: Sequence[str]) -> str:
        """What an error about `path` begins with: its place and its name."""
        return f"{self.place(path)}: {'.'.join(path)}"

    def place(self, path: Sequence[str]) -> str:
        """Where `path`, or the nearest path above it, was written."""
        for end in range(len(path), 0, -1):
            if found := self.places.get(tuple(path[:end])):
                return found
        return self.default_place


def read(file: Path, profile: str | None, overrides: Sequence[str]) -> Document:
    """The file's values under a profile and `a.b=c` overrides. Raises UserError with the place of
    what is wrong.
    """
    if not file.is_file():
        raise UserError(f"{file}: no such study file")
    try:
        root = _parse(file.read_text("utf-8"), str(file))
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: not UTF-8 text (byte {error.start})") from None
    if not isinstance(root, CommentedMap):
        raise UserError(
            f"{file}:1:1: a study file is a mapping of keys (question, from, to, design, …)"
        )
    base = Document({}, {}, f"{file}:1:1")
    _lay(base, _document(root, str(file)))
    profiles = base.values.pop("profiles", {}) or {}
    if not isinstance(profiles, dict):
        raise UserError(
            f"{base.place(['profiles'])}: profiles: a mapping of names to settings is expected"
        )
    if profile is not None:
        if profile not in profiles:
            raise UserError(f"{base.place(['profiles'])}: {unknown('profile', profile, profiles)}")
        settings = profiles[profile] or {}
        if not isinstance(settings, dict):
            raise UserError(
                f"{base.place(['profiles', profile])}: profiles.{profile}: a mapping of "
                "settings is expected"
            )
        _lay(base, _sub(base, ("profiles", profile), settings))
    _lay(base, _command_line(overrides))
    base.values = _without_null(base.values)
    return base


def _parse(text: str, name: str) -> Any:
    try:
        return YAML(typ="rt").load(StringIO(text))
    except YAMLError as error:
        if not isinstance(error, MarkedYAMLError):
            raise UserError(f"{name}: not valid YAML: {str(error).splitlines()[0]}") from None
        mark = error.problem_mark or error.context_mark
        at = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise UserError(
            f"{name}{at}: not valid YAML: {(error.problem or 'cannot be read').splitlines()[0]}"
        ) from None


def _document(root: CommentedMap, name: str) -> Document:
    places: dict[Keys, str] = {}

    def plain(node: Any, path: Keys) -> Any:
        tag = getattr(getattr(node, "tag", None), "value", None)
        if tag is not None and not isinstance(node, str | int | float):
            raise UserError(
                f"{places.get(path, name)}: {'.'.join(path)}: the tag {tag} is not read in a "
                "study file"
            )
        if isinstance(node, CommentedMap):
            for key in node:
                line, column = node.lc.key(key)
                places[(*path, str(key))] = f"{name}:{line + 1}:{column + 1}"
            return {str(key): plain(value, (*path, str(key))) for key, value in node.items()}
        if isinstance(node, CommentedSeq):
            for i in range(len(node)):
                line, column = node.lc.item(i)
                places[(*path, str(i))] = f"{name}:{line + 1}:{column + 1}"
            return [plain(value, (*path, str(i))) for i, value in enumerate(node)]
        for kind in (bool, int, float, str):
            if isinstance(node, kind):
                return kind(node)
        if node is None:
            return None
        where = places.get(path, f"{name}:1:1")
        raise UserError(
            f"{where}: {'.'.join(path)}: tags and special values are not read in a study file"
        )

    return Document(plain(root, ()), places, f"{name}:1:1")


def _sub(document: Document, at: Keys, values: Mapping[str, Any]) -> Document:
    places = {
        path[len(at) :]: place
        for path, place in document.places.items()
        if path[: len(at)] == at and path != at
    }
    return Document(dict(values), places)


def _command_line(overrides: Sequence[str]) -> Document:
    values: dict[str, Any] = {}
    places: dict[Keys, str] = {}
    for override in overrides:
        name, equals, text = override.partition("=")
        keys = name.strip().split(".")
        if not equals or not all(keys):
            raise UserError(
                f"command line: {override!r}: overrides are written `key=value` or `a.b=value`"
            )
        value = _document(_parse(f"value: {text}", f"command line: {name}"), "command line").values[
            "value"
        ]
        if keys == ["recipe"] and isinstance(value, str):
            keys = ["recipe", "preset"]
        node = values
        for depth, key in enumerate(keys[:-1], start=1):
            node = node.setdefault(key, {})
            if not isinstance(node, dict):
                raise UserError(
                    f"command line: {override!r}: {'.'.join(keys[:depth])} is given a value as well"
                )
            places[tuple(keys[:depth])] = "command line"
        node[keys[-1]] = value
        places[tuple(keys)] = "command line"
    return Document(values, places)


def _lay(base: Document, layer: Document) -> None:
    """Merges `layer` over `base` in place, places too."""
    design, new = base.values.get("design"), layer.values.get("design")
    if (
        isinstance(design, dict)
        and isinstance(new, dict)
        and new.get("kind", design.get("kind")) != design.get("kind")
    ):
        base.values["design"] = {}
    _check_data(base, layer)
    _spell_out(layer)
    _merge(base.values, layer.values, depth=0)
    base.places.update(layer.places)


def _spell_out(layer: Document) -> None:
    """`recipe: NAME` and `scales: [RUNG, …]` as mappings."""
    if isinstance(rungs := layer.values.get("scales"), list):
        layer.values["scales"] = {"rungs": rungs}
        items = {
            path: place
            for path, place in layer.places.items()
            if path[0] == "scales" and len(path) > 1
        }
        layer.places.update(
            {("scales", "rungs", *path[1:]): place for path, place in items.items()}
        )
    if isinstance(name := layer.values.get("recipe"), str):
        layer.values["recipe"] = {"preset": name}
        layer.places["recipe", "preset"] = layer.place(["recipe"])


def _check_data(base: Document, layer: Document) -> None:
    """`data` is replaced whole: without a source it would silently become the default corpus."""
    old, new = base.values.get("data"), layer.values.get("data")
    stood = old.get("source", "stdlib") if isinstance(old, dict) else "stdlib"
    if isinstance(new, dict) and "source" not in new and stood != "stdlib":
        place = layer.place(["data"])
        raise UserError(
            f"{place}: data: it is replaced whole: give data.source too ({stood!r} stood there)"
        )


def _merge(old: dict[str, Any], new: Mapping[str, Any], depth: int) -> None:
    for key, value in new.items():
        whole = depth == 0 and key in _WHOLE
        if isinstance(value, dict) and isinstance(old.get(key), dict) and not whole:
            _merge(old[key], value, depth + 1)
        else:
            old[key] = value


def _without_null(values: Any) -> Any:
    if not isinstance(values, dict):
        return values
    return {key: _without_null(value) for key, value in values.items() if value is not None}


def written(values: Mapping[str, Any]) -> str:
    """Plain values as the text of a study file."""
    text = StringIO()
    writer = YAML()
    writer.width = 120
    writer.dump(dict(values), text)
    return text.getvalue()
