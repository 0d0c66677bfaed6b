"""A digest of the code that a plugin runs: its module, and every module imported by it that does
not belong to a library.
"""

import ast
import hashlib
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import FunctionType, ModuleType

from ablab.errors import UserError

# The core is covered by the numerics version.
_CORE = "ablab"
_NONE = ModuleType("none")  # a module without variables of its own
_LIBRARY_FOLDERS = {"site-packages", "dist-packages"}


def source_digest(module: ModuleType) -> str:
    """Return a digest of the syntax trees of `module` and of the modules that it imports, directly
    or indirectly, or an empty string if the module has no source file.

    Comments, layout and the name of the module do not matter. The standard library, ablab itself,
    and installed packages other than that of the module are excluded. Imports are read from the
    source, including those inside functions. Of dynamic imports, those of the form
    `import_module("a.literal.name")` are recognised, and those whose modules, classes, functions or
    instances a module holds in its variables. Raises UserError if a loose file would import a
    module from another folder although its own folder has a file of that name.
    """
    file = _file(module)
    if file is None:
        return ""
    digests = {"": _tree_digest(file)}
    package = module.__name__.partition(".")[0]
    visited = {module.__name__}
    imports = [
        *_parents(module.__name__),
        *_imports(file, module.__package__ or ""),
        *_origins_of_variables(module.__name__),
    ]
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
            imports += [*_imports(source, _package(name)), *_origins_of_variables(name)]
    return hashlib.sha256(repr(sorted(digests.items())).encode()).hexdigest()


def _file(module: ModuleType) -> Path | None:
    path = Path(getattr(module, "__file__", None) or "")
    return path if path.is_file() else None


def _own_source(name: str, package: str) -> Path | None:
    """Return the source file of the module `name`, or None if it belongs to a library or has no
    file.
    """
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
    """Return the spec of the module `name` without importing anything, unlike
    `importlib.util.find_spec`, which imports parent packages.
    """
    path = None
    spec = None
    prefix = ""
    for part in name.split("."):
        prefix = f"{prefix}.{part}" if prefix else part
        spec = getattr(sys.modules.get(prefix), "__spec__", None)
        if spec is None:
            finders = (getattr(finder, "find_spec", None) for finder in sys.meta_path)
            specs = (find(prefix, path) for find in finders if find is not None)
            spec = next((candidate for candidate in specs if candidate is not None), None)
        if spec is None:
            return None
        path = spec.submodule_search_locations
        if path is None and prefix != name:
            return None  # `from module import name`, where `name` is not a module
    return spec


def _package(name: str) -> str:
    """Return the package to which relative imports in the module `name` refer."""
    spec = _spec(name)
    is_package = spec is not None and spec.submodule_search_locations is not None
    return name if is_package else name.rpartition(".")[0]


def _check_shadowing(name: str, source: Path, plugin: Path) -> None:
    """Raise UserError if `import name` would load another file than the one in the folder of the
    plugin.

    A module is loaded only once under its name, so the second of two folders with a `helper.py`
    would silently use that of the first.
    """
    beside = plugin.parent / f"{name}.py"
    if beside.is_file() and beside.resolve() != source.resolve():
        raise UserError(
            f"{plugin}: `import {name}` takes {source}, not {beside}: rename one of them, or write "
            f"`from . import {name}`"
        )


def _imports(file: Path, package: str) -> Iterator[str]:
    """Yield the names of modules that `file` may import, including parent packages."""
    for level, name in _import_statements(file):
        base = package.rsplit(".", level - 1)[0] if level > 1 else package
        full = ".".join(filter(None, (base, name))) if level else name
        yield from (*_parents(full), full)


def _origins_of_variables(name: str) -> Iterator[str]:
    """Yield the modules that the values of a loaded module's variables come from."""
    for value in list(vars(sys.modules.get(name, _NONE)).values()):
        if isinstance(value, ModuleType):
            origin = value.__name__
            if origin.startswith(f"{name}."):
                continue  # a package refers to all of its modules that anyone has imported
        else:
            owner = value if isinstance(value, type | FunctionType) else type(value)
            origin = owner.__module__
        if isinstance(origin, str) and origin != "__main__":
            yield from (*_parents(origin), origin)


def _parents(name: str) -> Iterator[str]:
    """Yield the packages that are imported before the module `name`."""
    parts = name.split(".")
    yield from (".".join(parts[:i]) for i in range(1, len(parts)))


@lru_cache(maxsize=1024)
def _import_statements(file: Path) -> tuple[tuple[int, str], ...]:
    """Return the level (0 for absolute) and the name of each import in `file`. A name imported from
    a module may be a module itself, so both are included.
    """
    if file.suffix != ".py":
        return ()
    names: dict[tuple[int, str], None] = {}  # an ordered set
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.Import):
            names.update({(0, alias.name): None for alias in node.names})
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names[node.level, module] = None
            parts = (".".join(filter(None, (module, alias.name))) for alias in node.names)
            names.update({(node.level, part): None for part in parts})
        else:
            literal = _literal_import(node)
            if literal is not None:
                names[0, literal] = None
    return tuple(key for key in names if key[1])


def _literal_import(node: ast.AST) -> str | None:
    """Return the module that a call of `import_module` or `__import__` names by a literal."""
    if not isinstance(node, ast.Call) or not node.args:
        return None
    function = node.func
    argument = node.args[0]
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name not in ("import_module", "__import__") or not isinstance(argument, ast.Constant):
        return None
    value = argument.value
    return value if isinstance(value, str) and value and not value.startswith(".") else None


def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_bytes())


@lru_cache(maxsize=1024)
def _tree_digest(file: Path) -> str:
    # The syntax tree contains neither comments nor layout, so that tidying a plugin does not change
    # the digest. An extension module has no tree.
    content = ast.dump(_tree(file)).encode() if file.suffix == ".py" else file.read_bytes()
    return hashlib.sha256(content).hexdigest()
