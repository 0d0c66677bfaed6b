"""Imports loose plugin files, which belong to no installed package."""

import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from ablab.arch.composition.declare import LOOSE_PACKAGE
from ablab.arch.composition.guard import calling
from ablab.errors import UserError


def loose_files(path: Path) -> list[Path]:
    """Return the plugin files of a folder, which are all but `test_*` and `_*`; or the file itself.

    Raises UserError if there is neither.
    """
    if path.is_dir():
        files = sorted(path.glob("*.py"))
        return [file.resolve() for file in files if not file.name.startswith(("test_", "_"))]
    if path.is_file():
        return [path.resolve()]
    raise UserError(f"{path}: no such folder or file of plugins")


def load_loose_file(file: Path) -> ModuleType:
    """Import a loose file. It may import other files of its folder by `from .helper import x`, and
    at module level also by `from helper import x`.

    Raises UserError if it does not load.
    """
    name = f"{_package(file.parent)}.{file.stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UserError(f"{file}: not a Python file (its name ends in .py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up their module by name
    try:
        with calling(f"{file}: the plugin file does not load"), _importable(file.parent):
            spec.loader.exec_module(module)
    except UserError:
        del sys.modules[name]
        raise
    return module


def _package(folder: Path) -> str:
    """Return the name of the package as which a folder of loose files is loaded."""
    name = f"{LOOSE_PACKAGE}{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
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
