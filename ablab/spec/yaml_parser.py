"""Parse YAML into plain values with the position of every key, within limits on its size.

YAML can be small and describe something huge: aliases and merge keys repeat what they refer to. The
limits apply to what is meant, and are checked before it is built.
"""

import io
from collections.abc import Callable, Iterator
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import MaxDepthExceededError
from ruamel.yaml.error import MarkedYAMLError, StreamMark, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ablab.errors import UserError
from ablab.names import MAX_NAME, require_printable

Keys = tuple[str, ...]

MAX_BYTES = 256_000
MAX_VALUES = 10_000
MAX_DEPTH = 20
MAX_CHARACTERS = 2_000
LIMITS = (
    f"A file has at most {MAX_BYTES:,} bytes, and at most {MAX_VALUES:,} values of at most "
    f"{MAX_CHARACTERS:,} characters, nested at most {MAX_DEPTH} deep, once aliases and merge keys "
    "are replaced by what they stand for."
)
_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
_SCALARS = {f"{_TAG}{name}" for name in ("str", "int", "float", "bool", "null")}
_COLLECTIONS = {f"{_TAG}map", f"{_TAG}seq"}
_TOO_DEEP = f"values are nested more than {MAX_DEPTH} deep"


def parse(text: str, name: str, place_of: Callable[[StreamMark], str]) -> tuple[Any, dict]:
    """Return the plain values of a YAML document, and the position of each path in it.

    `name` stands for the document in errors that have no position; `place_of` returns the position
    of a mark. Raises UserError with the position of an error.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.max_depth = MAX_DEPTH
    yaml.composer.warn_double_anchors = False
    try:
        root = yaml.compose(io.StringIO(text))
    except YAMLError as error:
        mark = isinstance(error, MarkedYAMLError) and (error.problem_mark or error.context_mark)
        raise UserError(f"{place_of(mark) if mark else name}: {_problem(error)}") from None
    if root is None:
        return None, {}
    builder = _Builder(yaml, place_of)
    return builder.build(root, ()), builder.places


def _problem(error: YAMLError) -> str:
    if isinstance(error, MaxDepthExceededError):
        return _TOO_DEEP
    problem = error.problem if isinstance(error, MarkedYAMLError) else str(error)
    return f"not valid YAML: {(problem or 'cannot be read').splitlines()[0]}"


class _Builder:
    """Builds plain values from nodes. An alias is the node that it refers to."""

    def __init__(self, yaml: YAML, place_of: Callable[[StreamMark], str]) -> None:
        self.places: dict[Keys, str] = {}
        self._constructor = yaml.constructor
        self._place_of = place_of
        self._count = 0

    def build(self, node: Node, path: Keys) -> Any:
        """Return the value of a node, and record the positions below `path`."""
        self._check_size(node, path)
        if node.tag not in (_SCALARS if isinstance(node, ScalarNode) else _COLLECTIONS):
            raise self._error(node, path, f"{_short_tag(node)} is not supported in a study file")
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        return [self._item(item, (*path, str(i))) for i, item in enumerate(node.value)]

    def _item(self, node: Node, path: Keys) -> Any:
        self.places[path] = self._place_of(node.start_mark)
        return self.build(node, path)

    def _mapping(self, node: MappingNode, path: Keys) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in self._entries(node, path):
            key = key_node.value
            self.places[(*path, key)] = self._place_of(key_node.start_mark)
            values[key] = self.build(value_node, (*path, key))
        return values

    def _entries(self, node: MappingNode, path: Keys) -> Iterator[tuple[ScalarNode, Node]]:
        """Yield the keys and values of a mapping, those of a merge key in its place.

        A key of the mapping itself comes before that of a merge key, which is left out.
        """
        own: set[str] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, ScalarNode):
                raise self._error(key_node, path, "a key is a word, not a list or a mapping")
            self._check_text(key_node, path, MAX_NAME)
            if key_node.value in own:
                raise self._error(
                    key_node, path, f"not valid YAML: found duplicate key {key_node.value!r}"
                )
            own.add(key_node.value)
        merged: set[str] = set()
        for key_node, value_node in node.value:
            if key_node.tag != _MERGE:
                yield key_node, value_node
                continue
            for entry in self._merged(value_node, path):
                if entry[0].value not in own | merged:
                    merged.add(entry[0].value)
                    yield entry

    def _merged(self, node: Node, path: Keys) -> Iterator[tuple[ScalarNode, Node]]:
        """Yield the entries of the mapping, or the mappings, that a merge key refers to."""
        sources = node.value if isinstance(node, SequenceNode) else [node]
        # A merge key in what is merged is a level of nesting, which may refer to itself.
        below = (*path, "<<")
        for source in sources:
            self._check_size(source, below)
            if not isinstance(source, MappingNode):
                raise self._error(source, path, "`<<` takes a mapping, or a list of mappings")
            yield from self._entries(source, below)

    def _scalar(self, node: ScalarNode, path: Keys) -> Any:
        self._check_text(node, path)
        try:
            return self._constructor.construct_object(node)
        except Exception:
            # The text does not fit an explicit tag (`!!int x`), or is no number after all.
            raise self._error(node, path, f"{node.value!r} is no {node.tag[len(_TAG) :]}") from None

    def _check_size(self, node: Node, path: Keys) -> None:
        """Count a value, and raise UserError if there are too many or it lies too deep."""
        self._count += 1
        if self._count > MAX_VALUES:
            raise self._error(node, path, f"more than {MAX_VALUES:,} values, with aliases replaced")
        if len(path) > MAX_DEPTH:
            raise self._error(node, path, _TOO_DEEP)

    def _check_text(self, node: ScalarNode, path: Keys, most: int = MAX_CHARACTERS) -> None:
        if len(node.value) > most:
            raise self._error(
                node, path, f"{len(node.value):,} characters: at most {most:,} are read"
            )
        try:
            require_printable(node.value)
        except UserError as error:
            raise self._error(node, path, str(error)) from None

    def _error(self, node: Node, path: Keys, message: str) -> UserError:
        place = self._place_of(node.start_mark)
        return UserError(": ".join(filter(None, [place, ".".join(path), message])))


def _short_tag(node: Node) -> str:
    return f"the tag !!{node.tag[len(_TAG) :]}" if node.tag.startswith(_TAG) else f"{node.tag}"
