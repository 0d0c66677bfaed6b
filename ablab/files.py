"""Files that are whole or not there, and locks between processes."""

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ablab.errors import UserError


def write_atomically(path: Path, write: Callable[[IO[bytes]], Any], *, sync: bool = True) -> None:
    """Calls `write(file)` on a temporary file beside `path`, syncs it and renames it. Raises
    OSError loudly.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            write(file)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def write_json(path: Path, value: Any, *, sync: bool = True) -> None:
    """Writes JSON whole or not at all; without `sync`, what a power cut may take back."""
    content = json.dumps(value, indent=1).encode()
    write_atomically(path, lambda file: file.write(content), sync=sync)


def read_json(path: Path) -> Any | None:
    """What `write_json` wrote; None where there is no file."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """What is done in the block is one act, against others that lock `path`; never within itself.
    Raises FileNotFoundError where its folder is not there, PermissionError where it may not be
    written.
    """
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def require_writable(folders: Iterable[Path]) -> None:
    """Raises UserError where this user may not write a folder, or make it."""
    for folder in folders:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not os.access(there, os.W_OK | os.X_OK):
            raise UserError(
                f"you may not write in {there}: those who share a home must all be able to (a "
                "group of theirs, `chmod -R g+rwX`, "
                "setgid folders, `umask 002`)"
            )
