"""The registry of plugins and families, and how it is loaded.

Built-in and third-party plugins are discovered in the same way, through the entry-point group
`ablab.plugins`, whose entries name a module or a package. Loose files are loaded by path. Importing
a module registers nothing: a registry is a value.
"""

import importlib
import inspect
import json
import pkgutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from ablab.arch.composition.canonical import StableNames
from ablab.arch.composition.declare import LOOSE_PACKAGE, Declared, declared_plugins
from ablab.arch.composition.family import Family, NamedRecipe
from ablab.arch.composition.guard import calling, shortest_path
from ablab.arch.composition.loose_files import load_loose_file, loose_files
from ablab.arch.composition.option_bounds import require_sane
from ablab.arch.composition.source_digest import source_digest
from ablab.errors import UserError, unknown
from ablab.names import require_word
from ablab.process_state import ProcessState
from ablab.text.truncate import shown

GROUP = "ablab.plugins"
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
        """Whether it comes from a loose file."""
        return self.cls.__module__.startswith(LOOSE_PACKAGE)

    @property
    def place(self) -> str:
        """The file, and the line of the class."""
        return f"{shortest_path(self.origin)}:{inspect.getsourcelines(self.cls)[1]}"

    @property
    def summary(self) -> str:
        """The first paragraph of the docstring, in one line."""
        return " ".join((inspect.getdoc(self.cls) or "").split("\n\n")[0].split())

    @property
    def options(self) -> dict[str, Any]:
        """The options with their defaults; `...` stands for a required option."""
        return {f.name: _default(f) for f in fields(self.cls)}

    @property
    def required_options(self) -> list[str]:
        """The options without a default."""
        return [name for name, default in self.options.items() if default is ...]

    @cached_property
    def paths(self) -> list[str]:
        """The paths written with default options; empty if an option is required."""
        if self.required_options:
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

    @property
    def files(self) -> set[Path]:
        """The files that define what is registered."""
        return {Path(origin).resolve() for origin in self._origins.values()}

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

    def declared_in(self, path: Path) -> list[Plugin]:
        """Return the plugins of a loose file, or of those of a folder.

        Raises UserError if there is no such path, or if it declares none.
        """
        files = loose_files(path)
        plugins = [p for p in self.plugins.values() if Path(p.origin).resolve() in files]
        if not plugins:
            raise UserError(f"{path}: no plugin is declared there (a class with `@plugin`)")
        return plugins

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


def load_registry(paths: Sequence[Path] = ()) -> Registry:
    """Return the registry of installed plugins (entry points) and of loose files: those in `paths`,
    and those of the folders in it, see `loose_files`.

    Raises UserError if a package or a file does not load.
    """
    registry = Registry()
    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.value):
        with calling(f"the installed plugin package {entry.value!r} does not load"):
            modules = list(_modules(importlib.import_module(entry.value)))
        for module in modules:
            registry.add_module(module)
    for path in paths:
        add_loose_files(registry, path)
    return registry


def add_loose_files(registry: Registry, path: Path) -> None:
    """Register the plugins of a loose file, or of those of a folder.

    Raises UserError if a file does not load, or changes what all models depend on.
    """
    state = ProcessState.take()
    for file in loose_files(path):
        registry.add_module(load_loose_file(file))
    changes = state.numeric_changes()
    if changes:
        raise UserError(
            f"{path}: importing its files changes {', '.join(changes)} for all arms: change "
            "nothing outside the model that a plugin builds"
        )


def _modules(module: ModuleType) -> Iterator[ModuleType]:
    yield module
    for info in pkgutil.iter_modules(getattr(module, "__path__", [])):
        if not info.name.startswith(("test_", "_")):
            yield importlib.import_module(f"{module.__name__}.{info.name}")
