"""Composition: applying edits to a base value, with a result that does not depend on their order.

A path has one of three roots: `recipe.…`, `data.…` (tokenizer, context), or none for a slot of the
architecture (`mixer.kv_heads`). Two plugins that claim the same path, or one above
another's, conflict.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from ablab.arch.composition.base import BASE
from ablab.arch.data_choice import DataChoice
from ablab.arch.recipe import Recipe, Terms
from ablab.arch.slots import Slot
from ablab.arch.value import Architecture, ByLayer
from ablab.errors import UserError, unknown

Edit = Mapping[str, Any]
_ROOTS = ("arch", "recipe", "data")


@dataclass(frozen=True)
class Composite:
    """The value of an arm: an architecture, a recipe, and the data choices of the arm."""

    arch: Architecture = BASE
    recipe: Recipe = Recipe()
    data: DataChoice = DataChoice()


@dataclass(frozen=True)
class EditClaim:
    """A plugin's edit, with the plugin's name in the expression."""

    plugin: str
    edit: Edit
    requires: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()


class Conflict(UserError):
    """Two plugins cannot be combined. `plugins` are their names."""

    def __init__(self, message: str, plugins: tuple[str, str]) -> None:
        super().__init__(message, plugins)  # both, so that the exception can be pickled
        self.plugins = plugins

    def __str__(self) -> str:
        return self.args[0]


def compose(base: Composite, claims: Sequence[EditClaim]) -> Composite:
    """Return `base` with all edits applied. Raises UserError on conflicts, unmet requirements and
    unknown paths.
    """
    check_conflicts(claims)
    value = base
    edits = [(path, claim.plugin, v) for claim in claims for path, v in claim.edit.items()]
    for path, plugin, new in edits:
        try:
            value = _write(value, _rooted(path).split("."), new, path)
        except (TypeError, UserError) as error:
            raise UserError(f"plugin {plugin!r}: {error}") from error
    return value


def check_conflicts(claims: Sequence[EditClaim]) -> None:
    """Raise Conflict for the first two plugins that write the same path, or one above the other's,
    or that declare a conflict. Raise UserError for a requirement that is not met.
    """
    names = {claim.plugin for claim in claims}
    for claim in claims:
        for other in sorted(set(claim.conflicts) & names):
            message = (
                f"{claim.plugin!r} does not go with {other!r}: remove one (`- {claim.plugin}` or "
                f"`- {other}`)"
            )
            raise Conflict(message, (claim.plugin, other))
        for other in sorted(set(claim.requires) - names):
            raise UserError(
                f"{claim.plugin!r} needs {other!r}: add it (`+ {other}`) or remove `{claim.plugin}`"
            )
    for i, a in enumerate(claims):
        for b in claims[i + 1 :]:
            paths = overlap(a.edit, b.edit)
            if paths is not None:
                mine, theirs = paths
                where = f"`{mine}`" if mine == theirs else f"`{mine}` and `{theirs}`"
                raise Conflict(
                    f"{a.plugin!r} and {b.plugin!r} conflict: both write {where}; "
                    f"remove one of them (`- {a.plugin}` or `- {b.plugin}`)",
                    (a.plugin, b.plugin),
                )


def overlap(a: Edit, b: Edit) -> tuple[str, str] | None:
    """Return a path of `a` and a path of `b` that are equal or of which one lies above the other,
    or None if there is no such pair.
    """
    for mine in sorted(a):
        for theirs in sorted(b):
            prefix_a = _rooted(mine) + "."
            prefix_b = _rooted(theirs) + "."
            if prefix_a.startswith(prefix_b) or prefix_b.startswith(prefix_a):
                return mine, theirs
    return None


def is_architecture(path: str) -> bool:
    """Return whether a path is a slot of the architecture, not of the recipe or the data."""
    return _rooted(path).startswith("arch.")


def _rooted(path: str) -> str:
    return path if path.split(".", maxsplit=1)[0] in _ROOTS else f"arch.{path}"


def _write(node: Any, keys: list[str], new: Any, path: str) -> Any:
    key = keys[0]
    rest = keys[1:]
    if isinstance(node, Terms) and not rest:
        return node.with_entry(key, new)
    names = _fields(node)
    if key not in names:
        raise unknown("slot", path, _nearby(path, keys, names))
    if rest:
        inner = _write(getattr(node, key), rest, new, path)
        return replace(node, **{key: inner})
    _check_type(type(node), key, new, path)
    return replace(node, **{key: new})


def _fields(node: Any) -> set[str]:
    return {f.name for f in dataclasses.fields(node)} if dataclasses.is_dataclass(node) else set()


def _nearby(path: str, keys: list[str], names: set[str]) -> list[str]:
    parent = path[: len(path) - len(".".join(keys))]
    return [parent + name for name in names]


def _check_type(owner: type, key: str, new: Any, path: str) -> None:
    hint = get_type_hints(owner).get(key, Any)
    values = new.options if isinstance(new, ByLayer) else (new,)
    for value in values:
        if isinstance(value, Slot) and not dataclasses.is_dataclass(value):
            raise UserError(
                f"writes a {type(value).__name__} to `{path}`: a slot's value must be a "
                "frozen dataclass"
            )
        if not _fits(value, hint):
            name = getattr(hint, "__name__", str(hint))
            raise UserError(f"writes {value!r} to `{path}`, which holds a {name}")


def _fits(value: Any, hint: Any) -> bool:
    if hint is Any:
        return True
    if get_origin(hint) in (Union, UnionType):
        return any(_fits(value, option) for option in get_args(hint))
    kind = get_origin(hint) or hint
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)
