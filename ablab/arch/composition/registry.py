"""The registry of plugins and families, and how it is loaded.

Built-in and third-party plugins are discovered in the same way, through the entry-point group
`ablab.plugins`, whose entries name a module or a package. A folder of loose files is loaded by
path. Importing a module registers nothing: a registry is a value.
"""

import hashlib
import importlib
import importlib.util
import inspect
import json
import pkgutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, Field, dataclass, fields
from functools import cached_property
from importlib.machinery import ModuleSpec
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from ablab.arch.composition.canonical import StableNames
from ablab.arch.composition.declare import Declared, declared_plugins
from ablab.arch.composition.family import Family, NamedRecipe
from ablab.arch.composition.guard import calling
from ablab.arch.composition.option_bounds import require_sane
from ablab.arch.composition.source_digest import source_digest
from ablab.errors import UserError, unknown
from ablab.names import require_word
from ablab.process_state import ProcessState
from ablab.text.truncate import shown

GROUP = "ablab.plugins"
_LOOSE = "ablab_loose_"  # begins the names of packages that folders of loose files are loaded as
_Named = TypeVar("_Named", Family, NamedRecipe)


@dataclass(frozen=True)
class Plugin:
    """A plugin in a registry. `digest` is its `source_digest`."""

    cls: type
    declared: Declared
    digest: str
    origin: str

    @property
    def name(self) -> str:
        """The name in expressions."""
        return self.declared.name

    @property
    def loose(self) -> bool:
        """Whether it comes from a folder of loose files."""
        return self.cls.__module__.startswith(_LOOSE)

    @property
    def summary(self) -> str:
        """The first paragraph of the docstring, in one line."""
        return " ".join((inspect.getdoc(self.cls) or "").split("\n\n")[0].split())

    @property
    def options(self) -> dict[str, Any]:
        """The options with their defaults; `...` stands for a required option."""
        return {f.name: _default(f) for f in fields(self.cls)}

    @cached_property
    def paths(self) -> list[str]:
        """The paths written with default options; empty if an option is required."""
        if ... in self.options.values():
            return []
        with calling(f"plugin {self.name!r} fails"):
            return sorted(self.configure({}).edit())

    def configure(self, options: Mapping[str, Any]) -> Any:
        """Return an instance with `options`. Raises UserError for unknown names and invalid
        values.
        """
        names = [f.name for f in fields(self.cls)]
        for key in options:
            if key not in names:
                raise unknown(f"option of {self.name}", key, names)
        for name, value in options.items():
            require_sane(f"{self.name}({name}=…)", value)
        try:
            return _instance(self.cls, options)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "options"
            value = f"={shown(first['input'])}" if where in options else ""
            raise UserError(f"{self.name}({where}{value}): {first['msg']}") from error


def _instance(cls: type, options: Mapping[str, Any]) -> Any:
    try:
        text = json.dumps(options)
    except TypeError:
        # JSON has no such value, so it is invalid for every option that a record can hold.
        return cls(**options)
    # JSON validation accepts a list for a tuple: study files and records have lists.
    return TypeAdapter(cls).validate_json(text)


def _default(option: Field[Any]) -> Any:
    if option.default_factory is not MISSING:
        return option.default_factory()
    return ... if option.default is MISSING else option.default


def blamed(plugins: Iterable[Plugin]) -> list[str]:
    """Return the names of those among the plugins of a model that a problem most likely stems from:
    the loose ones if there are any.
    """
    used = list(plugins)
    return [plugin.name for plugin in used if plugin.loose] or [plugin.name for plugin in used]


class Registry:
    """Plugins, families and recipes by name. `recipes` holds those of families too."""

    def __init__(self) -> None:
        self.plugins: dict[str, Plugin] = {}
        self.families: dict[str, Family] = {}
        self.recipes: dict[str, NamedRecipe] = {}
        self._origins: dict[str, str] = {}
        self._stable_names = StableNames()

    def plugin(self, name: str) -> Plugin:
        """Return the plugin called `name`. Raises UserError with similar names if there is none."""
        if name not in self.plugins:
            raise unknown("plugin", name, self.plugins)
        return self.plugins[name]

    def family(self, name: str) -> Family:
        """Return the family called `name`. Raises UserError with similar names if there is none."""
        if name not in self.families:
            raise unknown("family", name, self.families)
        return self.families[name]

    def add_module(self, module: ModuleType) -> None:
        """Register the plugins, families and recipes that `module` defines."""
        origin = getattr(module, "__file__", None) or module.__name__
        for value in vars(module).values():
            if isinstance(value, Family):
                self._add(self.families, value, origin)
                if value.recipe is not None and value.name not in self.recipes:
                    self.recipes[value.name] = value.named_recipe(value.recipe)
            elif isinstance(value, NamedRecipe):
                self._add(self.recipes, value, origin)
        plugins = declared_plugins(module)
        digest = source_digest(module) if plugins else ""
        for cls, declared in plugins.items():
            self._claim(declared.name, origin)
            self.plugins[declared.name] = Plugin(cls, declared, digest, origin)
        self._stable_names.add_module(module)

    def _add(self, known: dict[str, _Named], value: _Named, origin: str) -> None:
        # A value that is registered already was imported from the module that defines it.
        if known.get(value.name) is not value:
            self._claim(value.name, origin)
            known[value.name] = value

    def _claim(self, name: str, origin: str) -> None:
        try:
            require_word("name", name)
        except UserError as error:
            raise error.at(origin) from None
        if name in self._origins:
            raise UserError(
                f"two plugins, families or recipes are named {name!r}: {self._origins[name]} "
                f"and {origin}"
            )
        self._origins[name] = origin


def load_registry(folders: Sequence[Path] = ()) -> Registry:
    """Return the registry of installed plugins (entry points) and of the loose files in `folders`,
    except `test_*` and `_*`.
    """
    registry = Registry()
    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.value):
        with calling(f"the installed plugin package {entry.value!r} does not load"):
            modules = list(_modules(importlib.import_module(entry.value)))
        for module in modules:
            registry.add_module(module)
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"--plugins {folder}: no such folder")
        state = ProcessState.take()
        for file in sorted(folder.glob("*.py")):
            if not file.name.startswith(("test_", "_")):
                registry.add_module(_load_file(file.resolve()))
        changes = state.numeric_changes()
        if changes:
            raise UserError(
                f"--plugins {folder}: importing its files changes {', '.join(changes)} for all "
                "arms: change nothing outside the model that a plugin builds"
            )
    return registry


def _modules(module: ModuleType) -> Iterator[ModuleType]:
    yield module
    for info in pkgutil.iter_modules(getattr(module, "__path__", [])):
        if not info.name.startswith(("test_", "_")):
            yield importlib.import_module(f"{module.__name__}.{info.name}")


def _load_file(file: Path) -> ModuleType:
    """Import a loose file. It may import other files of its folder by `from .helper import x`, and
    at module level also by `from helper import x`.
    """
    name = f"{_loose_package(file.parent)}.{file.stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up their module by name
    try:
        with calling(f"{file}: the plugin file does not load"), _importable(file.parent):
            spec.loader.exec_module(module)
    except UserError:
        del sys.modules[name]
        raise
    return module


def _loose_package(folder: Path) -> str:
    """Return the name of the package as which a folder of loose files is loaded."""
    name = f"{_LOOSE}{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    if name not in sys.modules:
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(folder)]
        sys.modules[name] = importlib.util.module_from_spec(spec)
    return name


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Make files in `folder` importable by their bare names within the context. The folder comes
    last, so that a file hides no installed package.
    """
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
