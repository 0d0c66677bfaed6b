"""The file that a study of a home is run from: two files of one name must not become one study.

Its path is kept beside the study's revisions, relative to the home. Studies of earlier versions
have none until they are run again.
"""

import os
from pathlib import Path

from ablab.errors import UserError
from ablab.records.home import Home
from ablab.sealed import DamagedFile, read_sealed, write_sealed


def require_same_file(home: Home, name: str, file: Path, revision: str) -> None:
    """Raise UserError if the study `name` of the home is that of another file, which still exists.

    A copy of the file means the same study as long as it says the same, which is as long as its
    `revision` is on record.
    """
    other = _recorded(home, name)
    if other is None or not other.exists() or _is_same(other, file):
        return
    if not (home.study(name) / f"{revision}.json").exists():
        raise UserError(
            f"{file}: study {name!r} in {home.root} is that of {other}, another file of this name: "
            "rename one of them, or give another --home"
        )


def record_file(home: Home, name: str, file: Path) -> Path | None:
    """Record the file that a study is run from, unless one is on record that still exists.

    Return the file that was recorded before where it is gone.
    """
    before = _recorded(home, name)
    if before is not None and before.exists():
        return None
    path = os.path.relpath(file.resolve(), home.root.resolve())
    write_sealed(_path(home, name), {"file": path})
    return before


def _recorded(home: Home, name: str) -> Path | None:
    try:
        content = read_sealed(_path(home, name), home.root)
    except DamagedFile:  # it is written again when the study is run
        return None
    return home.root / content["file"] if content else None


def _is_same(file: Path, other: Path) -> bool:
    return other.exists() and os.path.samefile(file, other)


def _path(home: Home, name: str) -> Path:
    return home.study(name) / "file.origin"
