"""A digest of the code that a plugin runs: its own module, and every module that this imports and
that belongs to no library.
"""

import ast
import hashlib
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from ablab.errors import UserError

# The core is covered by the numerics version.
_CORE = "ablab"
_LIBRARY_FOLDERS = {"site-packages", "dist-packages"}


def source_digest(module: ModuleType) -> str:
    """A digest of the syntax trees of `module` and of the modules that it imports, directly or
    through others; empty for a module without a source file.

    Comments, layout and the module's own name do not matter. Left out are the standard library,
    ablab itself, and installed packages other than the module's own. Imports are found in the
    source, inside functions too; of dynamic ones only `import_module("a.literal.name")` is.
    Raises UserError where a loose file would import another folder's module of the same name as a
    file beside it.
    """
    file = _file(module)
    if file is None:
        return ""
    digests = {"": _tree_digest(file)}
    package = module.__name__.partition(".")[0]
    visited = {module.__name__}
    imports = [*_parents(module.__name__), *_imports(file, module.__package__ or "")]
    while imports:
        name = imports.pop()
        if name in visited:
            continue
        visited.add(name)
        source = _own_source(name, package)
        if source is not None:
            _check_shadowing(name, source, file)
            # Without the package's name, since that of loose files depends on their folder.
            label = name.removeprefix(package) if name.startswith(f"{package}.") else name
            digests[label] = _tree_digest(source)
            imports += _imports(source, _package(name))
    return hashlib.sha256(repr(sorted(digests.items())).encode()).hexdigest()


def _file(module: ModuleType) -> Path | None:
    path = Path(getattr(module, "__file__", None) or "")
    return path if path.is_file() else None


def _own_source(name: str, package: str) -> Path | None:
    """The source file of the module `name`; None for a library, and where there is no file."""
    top = name.partition(".")[0]
    if top == _CORE or top in sys.stdlib_module_names:
        return None
    if top != package and _is_library(top):
        return None
    spec = _spec(name)
    path = Path(spec.origin or "") if spec is not None and spec.has_location else None
    return path if path is not None and path.is_file() else None


def _is_library(top: str) -> bool:
    spec = _spec(top)
    if spec is None or (spec.origin is None and not spec.submodule_search_locations):
        return True
    places = [spec.origin] if spec.has_location else list(spec.submodule_search_locations or ())
    return not places or any(_LIBRARY_FOLDERS & set(Path(p or "").parts) for p in places)


def _spec(name: str) -> ModuleSpec | None:
    """Where the module `name` is found. Nothing is imported, unlike `importlib.util.find_spec`,
    which imports parent packages.
    """
    path, spec, prefix = None, None, ""
    for part in name.split("."):
        prefix = f"{prefix}.{part}" if prefix else part
        spec = getattr(sys.modules.get(prefix), "__spec__", None)
        if spec is None:
            finders = (getattr(finder, "find_spec", None) for finder in sys.meta_path)
            found_specs = (find(prefix, path) for find in finders if find is not None)
            spec = next((each for each in found_specs if each is not None), None)
        if spec is None:
            return None
        path = spec.submodule_search_locations
        if path is None and prefix != name:
            return None  # `from module import name`, where the name is no module
    return spec


def _package(name: str) -> str:
    """The package in which relative imports of the module `name` start."""
    spec = _spec(name)
    is_package = spec is not None and spec.submodule_search_locations is not None
    return name if is_package else name.rpartition(".")[0]


def _check_shadowing(name: str, source: Path, plugin: Path) -> None:
    """A module is loaded once under its name: the second of two folders with a `helper.py` would
    silently use the first's.
    """
    beside = plugin.parent / f"{name}.py"
    if beside.is_file() and beside.resolve() != source.resolve():
        raise UserError(
            f"{plugin}: `import {name}` takes {source}, not {beside}: rename one of them, or write "
            f"`from . import {name}`"
        )


def _imports(file: Path, package: str) -> Iterator[str]:
    """The names of modules that `file` may import, parent packages included."""
    for level, name in _import_statements(file):
        base = package.rsplit(".", level - 1)[0] if level > 1 else package
        full = ".".join(filter(None, (base, name))) if level else name
        yield from (*_parents(full), full)


def _parents(name: str) -> Iterator[str]:
    """The packages that are imported before the module `name`."""
    parts = name.split(".")
    yield from (".".join(parts[:i]) for i in range(1, len(parts)))


@lru_cache(maxsize=1024)
def _import_statements(file: Path) -> tuple[tuple[int, str], ...]:
    """The level (0: absolute) and the name of each import in `file`. What is imported from a module
    may itself be one, so that both are listed.
    """
    if file.suffix != ".py":
        return ()
    names: dict[tuple[int, str], None] = {}  # a set that keeps its order
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.Import):
            names.update({(0, alias.name): None for alias in node.names})
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names[node.level, module] = None
            parts = (".".join(filter(None, (module, alias.name))) for alias in node.names)
            names.update({(node.level, part): None for part in parts})
        elif (literal := _literal_import(node)) is not None:
            names[0, literal] = None
    return tuple(key for key in names if key[1])


def _literal_import(node: ast.AST) -> str | None:
    """The module that a call of `import_module` or `__import__` names by a literal."""
    if not isinstance(node, ast.Call) or not node.args:
        return None
    function, argument = node.func, node.args[0]
    called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if called not in ("import_module", "__import__") or not isinstance(argument, ast.Constant):
        return None
    value = argument.value
    return value if isinstance(value, str) and value and not value.startswith(".") else None


def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_bytes())


@lru_cache(maxsize=1024)
def _tree_digest(file: Path) -> str:
    # The syntax tree has neither comments nor layout, so that tidying a plugin trains nothing
    # again. An extension module has no tree.
    content = ast.dump(_tree(file)).encode() if file.suffix == ".py" else file.read_bytes()
    return hashlib.sha256(content).hexdigest()
