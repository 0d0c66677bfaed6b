"""Plugins and families: how they are declared, and how they are found.

Built-ins are found as strangers' are: through the entry-point group `ablab.plugins`, whose entries
name a module or a package; and a folder of loose files is loaded by path. Nothing is registered by
being imported: a registry is a value.
"""

import ast
import hashlib
import importlib
import importlib.util
import inspect
import json
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass

from ablab.arch.composition.transformers_form import TransformersForm
from ablab.arch.recipe import RecipePreset
from ablab.arch.value import Dims
from ablab.errors import UserError, unknown

GROUP = "ablab.plugins"
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
        made: Any = pydantic_dataclass(frozen=True, config=_OPTIONS)(cls)
        snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
        setattr(made, _MARK, Declared(name or snake, source, tuple(requires), tuple(conflicts)))
        return made

    return declare


@dataclass(frozen=True)
class Family:
    """A named set of plugins with named sizes. `plugins` is an expression's tail: `pre_norm +
    scaled_init`.

    `recipe`: how its authors trained it, for studies that ask for it by the family's name; no part
    of the family's models. `form`: how `transformers` says the same, if it can.
    """

    name: str
    summary: str
    source: str
    plugins: str
    sizes: Mapping[str, Dims] = field(default_factory=dict)
    form: TransformersForm | None = None
    recipe: RecipePreset | None = None

    def dims(self, size: str | None) -> Dims:
        """The dims of a named size; the first of the table without one. Raises UserError for an
        unknown name.
        """
        if size is None:
            return next(iter(self.sizes.values()), Dims())
        if size not in self.sizes:
            raise unknown(f"size of {self.name}", size, self.sizes)
        return self.sizes[size]


@dataclass(frozen=True)
class Plugin:
    """A plugin in a registry. `digest` depends on its source file, comments and layout apart."""

    cls: type
    declared: Declared
    digest: str
    origin: str

    @property
    def name(self) -> str:
        """Its name in expressions."""
        return self.declared.name

    @property
    def summary(self) -> str:
        """The first paragraph of its docstring, in one line."""
        return " ".join((inspect.getdoc(self.cls) or "").split("\n\n")[0].split())

    @property
    def options(self) -> dict[str, Any]:
        """Its options with their defaults; one that must be given has the default `...`."""
        return {f.name: _default(f) for f in fields(self.cls)}

    @property
    def paths(self) -> list[str]:
        """What it writes with its default options; nothing is known where an option must be
        given.
        """
        return sorted(self.configure({}).edit()) if ... not in self.options.values() else []

    def configure(self, options: Mapping[str, Any]) -> Any:
        """An instance with `options`. Raises UserError for unknown names and values out of
        range.
        """
        known = [f.name for f in fields(self.cls)]
        for key in options:
            if key not in known:
                raise unknown(f"option of {self.name}", key, known)
        try:
            return _instance(self.cls, options)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "options"
            given = f"={first['input']!r}" if where in options else ""
            raise UserError(f"{self.name}({where}{given}): {first['msg']}") from error


def _instance(cls: type, options: Mapping[str, Any]) -> Any:
    try:
        text = json.dumps(options)
    except (
        TypeError
    ):  # JSON cannot say it, so it is out of range for any option that a record can hold
        return cls(**options)
    return TypeAdapter(cls).validate_json(
        text
    )  # where a list is a tuple too: a study file and a record write lists


def _default(option: Field[Any]) -> Any:
    if option.default_factory is not MISSING:
        return option.default_factory()
    return ... if option.default is MISSING else option.default


class Registry:
    """Plugins and families by name."""

    def __init__(self) -> None:
        self.plugins: dict[str, Plugin] = {}
        self.families: dict[str, Family] = {}
        self._origins: dict[str, str] = {}

    def plugin(self, name: str) -> Plugin:
        """The plugin of that name; UserError with the nearest names otherwise."""
        if name not in self.plugins:
            raise unknown("plugin", name, self.plugins)
        return self.plugins[name]

    def family(self, name: str) -> Family:
        """The family of that name; UserError with the nearest names otherwise."""
        if name not in self.families:
            raise unknown("family", name, self.families)
        return self.families[name]

    def add_module(self, module: ModuleType) -> None:
        """Registers the plugins and families that `module` itself defines."""
        origin = getattr(module, "__file__", None) or module.__name__
        digest = _digest(Path(origin))
        for value in vars(module).values():
            if isinstance(value, Family):
                if self.families.get(value.name) is value:
                    continue  # imported from the module that defines it
                self._claim(value.name, origin)
                self.families[value.name] = value
            elif (
                isinstance(value, type)
                and _MARK in vars(value)
                and value.__module__ == module.__name__
            ):
                declared: Declared = getattr(value, _MARK)
                self._claim(declared.name, origin)
                self.plugins[declared.name] = Plugin(value, declared, digest, origin)

    def _claim(self, name: str, origin: str) -> None:
        if name in self._origins:
            raise UserError(
                f"two plugins or families are named {name!r}: {self._origins[name]} and {origin}"
            )
        self._origins[name] = origin


def load_registry(folders: Sequence[Path] = ()) -> Registry:
    """The registry of installed plugins (entry points) and of the loose files in `folders`
    (`test_*` and `_*` left out).
    """
    registry = Registry()
    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.value):
        try:
            modules = list(_modules(importlib.import_module(entry.value)))
        except Exception as error:
            raise UserError(
                f"the installed plugin package {entry.value!r} does not load: {_reason(error)}"
            ) from error
        for module in modules:
            registry.add_module(module)
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"--plugins {folder}: no such folder")
        for file in sorted(folder.glob("*.py")):
            if not file.name.startswith(("test_", "_")):
                registry.add_module(_load_file(file.resolve()))
    return registry


def _modules(module: ModuleType) -> Iterator[ModuleType]:
    yield module
    for info in pkgutil.iter_modules(getattr(module, "__path__", [])):
        if not info.name.startswith(("test_", "_")):
            yield importlib.import_module(f"{module.__name__}.{info.name}")


def _load_file(file: Path) -> ModuleType:
    name = f"ablab_loose.{file.stem}"
    known = sys.modules.get(name)
    if known is not None and known.__file__ == str(file):
        return known
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up by name
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UserError(f"{file}: the plugin file does not load: {_reason(error)}") from error
    return module


def _reason(error: Exception) -> str:
    line = f"line {error.lineno}: " if isinstance(error, SyntaxError) else ""
    return f"{line}{type(error).__name__}: {error}"


@lru_cache(maxsize=1024)
def _digest(file: Path) -> str:
    if not file.is_file():
        return ""
    # The syntax tree has neither comments nor layout, so that tidying a plugin trains nothing
    # again.
    return hashlib.sha256(ast.dump(ast.parse(file.read_text("utf-8"))).encode()).hexdigest()
