"""The files that a corpus is read from."""

import os
import sysconfig
from collections.abc import Iterable, Sequence
from glob import glob
from pathlib import Path

from ablab.data.spec import HubData, StdlibData, TextData
from ablab.errors import UserError

_NOT_IN_STDLIB = {
    "test",
    "tests",
    "idle_test",
    "site-packages",
    "dist-packages",
    "__pycache__",
    "_vendor",
    "_bundled",
}
STDLIB = Path(sysconfig.get_paths()["stdlib"])


def corpus_files(
    data: StdlibData | TextData | HubData, excluded: Sequence[Path] = ()
) -> list[Path]:
    """Return the files of a corpus in a fixed order; none for a remote dataset.

    `excluded` are files and folders that are never part of a corpus, as those that runs write to.
    Raises UserError for a pattern that matches no other file.
    """
    if isinstance(data, StdlibData):
        return _stdlib_files()
    if isinstance(data, TextData):
        return _text_files(data, excluded)
    folder = Path(data.name)
    return sorted(_without(excluded, _folder_files(folder))) if folder.is_dir() else []


def shown(path: Path | str) -> str:
    r"""Return a path as printable text. Bytes that are not UTF-8 are escaped, as `caf\xe9.txt`, and
    so are control characters.
    """
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _stdlib_files() -> list[Path]:
    files: list[Path] = []
    for folder, subfolders, names in os.walk(STDLIB):
        subfolders[:] = [name for name in subfolders if name not in _NOT_IN_STDLIB]
        files += [Path(folder, name) for name in names if name.endswith(".py")]
    return sorted(files)


def _text_files(data: TextData, excluded: Sequence[Path]) -> list[Path]:
    files: set[Path] = set()
    for pattern in data.files:
        matches = [Path(m) for m in glob(os.path.expanduser(pattern), recursive=True)]
        matches = {path for path in matches if path.is_file()}
        kept = _without(excluded, matches)
        if not kept:
            other = " but those that ablab writes" if matches else ""
            raise UserError(
                f"data.files: {pattern!r} matches no file{other} (looked from {shown(Path.cwd())})"
            )
        files |= kept
    return sorted(files)


def _folder_files(folder: Path) -> list[Path]:
    """Return the files of a dataset's folder. Hidden folders, and those whose name begins with two
    underscores, are left out, as the datasets library does.
    """
    files: list[Path] = []
    for parent, subfolders, names in os.walk(folder, followlinks=True):
        subfolders[:] = [name for name in subfolders if not name.startswith((".", "__"))]
        files += [Path(parent, name) for name in names]
    return [path for path in files if path.is_file()]


def _without(excluded: Sequence[Path], paths: Iterable[Path]) -> set[Path]:
    """Return the paths that are neither among the excluded ones nor below any of them."""
    roots = {Path(os.path.realpath(path)) for path in excluded}
    paths = set(paths)
    folders = {path.parent: Path(os.path.realpath(path.parent)) for path in paths}
    inside = {f for f, real in folders.items() if not roots.isdisjoint((real, *real.parents))}
    return {
        path
        for path in paths
        if path.parent not in inside and folders[path.parent] / path.name not in roots
    }
