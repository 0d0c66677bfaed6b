"""Plugins and families: how they are declared, and how they are found.

Built-ins are found as strangers' are: through the entry-point group `ablab.plugins`, whose entries
name a module or a package; and a folder of loose files is loaded by path. Nothing is registered by
being imported: a registry is a value.
"""

import hashlib
import importlib
import importlib.util
import inspect
import json
import pkgutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, Field, dataclass, field, fields
from importlib.machinery import ModuleSpec
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ablab.arch.composition.canonical import StableNames
from ablab.arch.composition.declare import Declared, declared_plugins
from ablab.arch.composition.source_digest import source_digest
from ablab.arch.composition.transformers_form import TransformersForm
from ablab.arch.recipe import RecipePreset
from ablab.arch.value import Dims
from ablab.errors import UserError, unknown

GROUP = "ablab.plugins"


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
    """A plugin in a registry. `digest`: see `source_digest`."""

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
        self._stable_names = StableNames()

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
        for value in vars(module).values():
            if isinstance(value, Family) and self.families.get(value.name) is not value:
                self._claim(value.name, origin)  # or it was imported from where it is defined
                self.families[value.name] = value
        plugins = declared_plugins(module)
        digest = source_digest(module) if plugins else ""
        for cls, declared in plugins.items():
            self._claim(declared.name, origin)
            self.plugins[declared.name] = Plugin(cls, declared, digest, origin)
        self._stable_names.add_module(module)

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
    """The module of a loose file, which may import the files beside it: `from .helper import x`, or
    while it is loaded `from helper import x`.
    """
    name = f"{_loose_package(file.parent)}.{file.stem}"
    if (loaded := sys.modules.get(name)) is not None:
        return loaded
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up by name
    try:
        with _importable(file.parent):
            spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UserError(f"{file}: the plugin file does not load: {_reason(error)}") from error
    return module


def _loose_package(folder: Path) -> str:
    """The name of the package that a folder of loose files is loaded as."""
    name = f"ablab_loose_{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    if name not in sys.modules:
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(folder)]
        sys.modules[name] = importlib.util.module_from_spec(spec)
    return name


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """While within, files in `folder` can be imported by their bare names. It comes last, so that a
    file hides no installed package.
    """
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _reason(error: Exception) -> str:
    line = f"line {error.lineno}: " if isinstance(error, SyntaxError) else ""
    return f"{line}{type(error).__name__}: {error}"
