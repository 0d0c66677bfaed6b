"""The `@plugin` decorator and the metadata that it attaches to a plugin class."""

import inspect
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar, dataclass_transform

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as pydantic_dataclass

LOOSE_PACKAGE = "ablab_loose_"
"""Begins the names of the packages that the folders of loose plugin files are loaded as."""
_MARK = "__ablab_plugin__"
# Strict: numbers must be finite and neither booleans nor strings; an int is accepted as a float.
_OPTIONS = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
C = TypeVar("C", bound=type)


@dataclass(frozen=True)
class Declared:
    """The metadata given to `@plugin`."""

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
    """Declare a class as a plugin. Its fields are typed, validated options, and `edit()` returns
    the paths it writes.

    `source` cites the paper. `name` defaults to the name of the class in snake_case. The first line
    of the docstring of the class describes the change.
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
    """Return the metadata that `@plugin` attached to `cls`, or None if it is not a plugin."""
    return vars(cls).get(_MARK)


def declared_plugins(module: ModuleType) -> dict[type, Declared]:
    """Return the plugins that `module` defines, excluding those that it imports."""
    plugins: dict[type, Declared] = {}
    for value in vars(module).values():
        # Not isinstance, which reads `__class__`: a deprecated object of torch's warns about that.
        if issubclass(type(value), type) and value.__module__ == module.__name__:
            declared = declaration(value)
            if declared is not None:
                plugins[value] = declared
    return plugins


def plugin_names(cls: type) -> tuple[str, ...]:
    """Return the sorted names of the plugins in the module that defines `cls`."""
    module = sys.modules.get(cls.__module__)
    plugins = declared_plugins(module).values() if module else ()
    return tuple(sorted(declared.name for declared in plugins))
