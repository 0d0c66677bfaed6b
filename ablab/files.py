"""Atomic writes, locks between processes, and checks of permissions."""

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ablab.errors import UserError


def write_atomically(path: Path, write: Callable[[IO[bytes]], Any], *, sync: bool = True) -> None:
    """Write a file completely or not at all.

    `write` is called with a temporary file in the same folder, which is then renamed to `path`.
    With `sync`, the content survives a power failure. Raises OSError.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            write(file)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any, *, sync: bool = True) -> None:
    """Write a value as JSON, completely or not at all; see `write_atomically` for `sync`."""
    content = json.dumps(value, indent=1).encode()
    write_atomically(path, lambda file: file.write(content), sync=sync)


def read_json(path: Path) -> Any | None:
    """Return the value of a JSON file; None if there is no such file."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path`, against other processes and threads.

    The lock is not reentrant: locking the same path inside the block would wait forever. Raises
    FileNotFoundError if its folder does not exist, and PermissionError if it is not writable.
    """
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def require_writable(folders: Iterable[Path]) -> None:
    """Raise UserError if this user cannot write to a folder, or cannot create it."""
    for folder in folders:
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not os.access(existing, os.W_OK | os.X_OK):
            raise UserError(
                f"you may not write in {existing}: all users of a shared home need permission (a "
                "common group, `chmod -R g+rwX`, setgid folders, `umask 002`)"
            )
