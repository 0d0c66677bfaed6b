"""Atomic writes, locks between processes, and checks of permissions."""

import fcntl
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from ablab.errors import UserError
from ablab.fence import permission


def write_atomically(path: Path, write: Callable[[IO[bytes]], Any], *, sync: bool = True) -> None:
    """Write a file completely or not at all.

    `write` is called with a temporary file in the same folder, which is then renamed to `path`.
    With `sync`, content and name survive a power failure. Raises OSError.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            write(file)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        with permission(path):
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if sync:
        sync_folder(path.parent)


def publish_folder(draft: Path, folder: Path) -> None:
    """Rename a folder of files to `folder`, so that after a power failure it is complete or absent.

    Raises OSError, as when `folder` exists and is not empty.
    """
    for file in draft.iterdir():
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
    sync_folder(draft)
    os.rename(draft, folder)
    sync_folder(folder.parent)


def write_together(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files to a folder, which is made if it is missing: all of them or none.

    Files of the same names are replaced.

    Raises:
        UserError: if the folder may not be written, or is no folder.

    """
    with _user_errors(folder):
        folder = folder.absolute()
        draft = nearest_existing(folder) / f".{folder.name}.{uuid.uuid4().hex}"
        draft.mkdir()
        try:
            for name, content in files.items():
                (draft / name).write_bytes(content)
            _move_files(draft, folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _move_files(draft: Path, folder: Path) -> None:
    """Move the files of a folder to `folder`, which may exist."""
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        publish_folder(draft, folder)
        return
    targets = {file: folder / file.name for file in draft.iterdir()}
    for target in targets.values():
        if target.is_dir():
            raise UserError(f"{target} is a folder, where a file is to be written: move it away")
    for file, target in targets.items():
        sync_file(file)
        os.replace(file, target)
    sync_folder(folder)


@contextmanager
def _user_errors(folder: Path) -> Iterator[None]:
    """Raise UserError where a folder, and not the machine, is what cannot be written."""
    try:
        yield
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise UserError(
            f"{folder} cannot be written ({error.strerror}): name another folder"
        ) from error


def sync_folder(folder: Path) -> None:
    """Write the names of a folder's files to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Write the content of a file to the disk, if there is one."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        os.fsync(file.fileno())


def set_aside(paths: Iterable[Path]) -> None:
    """Move files, as far as they exist, to a folder `damaged` beside them."""
    for path in paths:
        folder = path.parent / "damaged"
        with suppress(FileNotFoundError):
            path.stat()
            folder.mkdir(exist_ok=True)
            with permission(path):
                os.replace(path, folder / f"{time.time_ns()}.{path.name}")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 digest of a file in hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


def nearest_existing(path: Path) -> Path:
    """Return `path` if it exists, or else the nearest folder above it that does."""
    return next(folder for folder in (path, *path.absolute().parents) if folder.exists())


def require_writable(folders: Iterable[Path]) -> None:
    """Raise UserError if this user cannot write to a folder, or cannot create it."""
    for folder in folders:
        existing = nearest_existing(folder)
        if not os.access(existing, os.W_OK | os.X_OK):
            raise UserError(
                f"you may not write in {existing}: all users of a shared home need permission (a "
                "common group, `chmod -R g+rwX`, setgid folders, `umask 002`)"
            )
