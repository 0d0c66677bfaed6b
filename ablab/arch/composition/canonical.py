"""Values as plain JSON types, under names that do not depend on where a class is defined. Run keys
are computed from them.
"""

import dataclasses
from functools import lru_cache
from types import ModuleType
from typing import Any

from ablab.arch.composition.declare import plugin_names
from ablab.arch.slots import Slot
from ablab.errors import UserError

_ATTRIBUTE = "stable_name"


@lru_cache(maxsize=4096)
def stable_name(cls: type) -> str:
    """Return the name of a value class in run keys, which stays the same when the class moves to
    another module.

    By default this is the name of the class, preceded by the plugins that its module declares
    (`rope.Rotary`), so that plugins of different authors need not avoid each other's class names.
    A class that is renamed keeps its name in keys by a class attribute `stable_name: ClassVar[str]`
    of its own; subclasses do not inherit it.
    """
    explicit = vars(cls).get(_ATTRIBUTE)
    if explicit is not None:
        return explicit
    return ".".join(filter(None, ("+".join(plugin_names(cls)), cls.__name__)))


def canonical(value: Any) -> Any:
    """Convert `value` to plain JSON types; equal values give equal results."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        content = {f.name: canonical(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"type": stable_name(type(value)), **content}
    if isinstance(value, tuple | list):
        return [canonical(v) for v in value]
    if isinstance(value, dict):
        return {str(k): canonical(v) for k, v in sorted(value.items())}
    return value


class StableNames:
    """The names of the value classes that the modules of a registry define or import.

    Two classes may not have the same name, because runs with one would be taken for runs with the
    other.
    """

    def __init__(self) -> None:
        self._classes: dict[str, type] = {}

    def add_module(self, module: ModuleType) -> None:
        """Add the value classes in `module`. Raises UserError if two have the same name."""
        for value in vars(module).values():
            # The interface of a slot is no dataclass and cannot be a value.
            if isinstance(value, type) and issubclass(value, Slot) and _is_value_class(value):
                self._add(value)

    def _add(self, cls: type) -> None:
        name = stable_name(cls)
        other = self._classes.setdefault(name, cls)
        if other is not cls:
            raise UserError(
                f"two value classes have the stable name {name!r}, so that runs with one would be "
                f"taken for runs with the other: {_place(other)} and {_place(cls)}; rename one of "
                f'them, or give one a class attribute `{_ATTRIBUTE}: ClassVar[str] = "…"`'
            )


def _is_value_class(cls: type) -> bool:
    return "__dataclass_fields__" in vars(cls)


def _place(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
