"""The `@plugin` decorator: what a plugin class states about itself."""

import inspect
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar, dataclass_transform

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as pydantic_dataclass

_MARK = "__ablab_plugin__"
# Strict: a number is no boolean and no text, and finite; a whole number still is a float.
_OPTIONS = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
C = TypeVar("C", bound=type)


@dataclass(frozen=True)
class Declared:
    """What `@plugin` states beside the class."""

    name: str
    source: str
    requires: tuple[str, ...]
    conflicts: tuple[str, ...]


@dataclass_transform(frozen_default=True)
def plugin(
    *,
    source: str,
    name: str | None = None,
    requires: Sequence[str] = (),
    conflicts: Sequence[str] = (),
) -> Callable[[C], C]:
    """Declares a class as a plugin: its fields are options (typed, validated), `edit()` gives the
    paths it writes.

    `source` cites the paper. The name is the class's in snake_case unless `name` is given. The
    class's docstring says in one line what the change is.
    """

    def declare(cls: C) -> C:
        if not inspect.getdoc(cls):
            raise TypeError(f"plugin {cls.__name__} has no docstring")
        decorated: Any = pydantic_dataclass(frozen=True, config=_OPTIONS)(cls)
        snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
        declared = Declared(name or snake, source, tuple(requires), tuple(conflicts))
        setattr(decorated, _MARK, declared)
        return decorated

    return declare


def declaration(cls: type) -> Declared | None:
    """What `@plugin` states of `cls` itself; None for a class that is not a plugin."""
    return vars(cls).get(_MARK)


def declared_plugins(module: ModuleType) -> dict[type, Declared]:
    """The plugins that `module` defines, without those that it imports."""
    return {
        value: declared
        for value in vars(module).values()
        if isinstance(value, type)
        and value.__module__ == module.__name__
        and (declared := declaration(value)) is not None
    }


def plugin_names(cls: type) -> tuple[str, ...]:
    """The names of the plugins in the module that defines `cls`, sorted."""
    module = sys.modules.get(cls.__module__)
    plugins = declared_plugins(module).values() if module else ()
    return tuple(sorted(declared.name for declared in plugins))
