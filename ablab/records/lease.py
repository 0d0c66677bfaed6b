"""Leases: files that name the process which has the right to something.

Their modification time is the heartbeat.
"""

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from ablab.files import locked, read_json, write_json

STALE_SECONDS = 30.0
BEAT_SECONDS = 5.0


class Lease:
    """The right to what the file `path` stands for.

    A lease is stale if its process is gone (on this host), or if there was no heartbeat for
    `STALE_SECONDS` (on another host, or where the process is hidden from this user). A stale lease
    is taken over. If the folder was removed, the lease cannot be acquired. `about` is written to
    the file beside the owner.
    """

    LOCK = ".lease.lock"  # beside the lease: whoever has it looks and writes as one act

    def __init__(self, path: Path, **about: str) -> None:
        self.path, self._about = path, about
        self._lock = path.with_name(self.LOCK)
        self._nonce = uuid.uuid4().hex

    def acquire(self) -> bool:
        """Acquire the lease, and return whether this succeeded.

        Raises:
            PermissionError: if nobody holds it and its folder cannot be written.

        """
        me = psutil.Process()
        owner = {
            "host": socket.gethostname(),
            "pid": me.pid,
            "started": me.create_time(),
            "nonce": self._nonce,
        }
        try:
            with locked(self._lock):
                if not self.held():
                    # Unsynced: a power cut ends its process too.
                    write_json(self.path, {**owner, **self._about}, sync=False)
                    return True
        except FileNotFoundError:
            return False
        except PermissionError:
            if not self.held():
                raise
        return False

    def held(self) -> bool:
        """Return whether a live process holds it."""
        try:
            age = time.time() - self.path.stat().st_mtime
        except FileNotFoundError:
            return False
        owner = self.owner
        here = owner.get("host") == socket.gethostname()
        running = _running(owner["pid"], owner["started"]) if here else None
        return age < STALE_SECONDS if running is None else running

    def beat(self) -> None:
        """Renew the heartbeat. Raises FileNotFoundError if the lease was removed."""
        if self.owner.get("nonce") == self._nonce:
            os.utime(self.path)

    @contextmanager
    def keep_alive(self) -> Iterator[None]:
        """Renew the heartbeat while the block runs, then release the lease."""
        ended = threading.Event()
        threading.Thread(target=self._keep, args=(ended,), daemon=True).start()
        try:
            yield
        finally:
            ended.set()
            self.release()

    def release(self) -> None:
        """Release the lease, if this process holds it."""
        with suppress(FileNotFoundError), locked(self._lock):
            if self.owner.get("nonce") == self._nonce:
                self.path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove the lease if its process is gone."""
        with suppress(FileNotFoundError), locked(self._lock):
            if not self.held():
                self.path.unlink(missing_ok=True)

    @property
    def owner(self) -> dict[str, Any]:
        """Host and process that hold or held it; empty if there is none."""
        try:
            return read_json(self.path) or {}
        except json.JSONDecodeError:
            return {}

    @property
    def holder(self) -> str:
        """The owner in words."""
        return f"process {self.owner.get('pid', '?')} on {self.owner.get('host', '?')}"

    def _keep(self, ended: threading.Event) -> None:
        while not ended.wait(BEAT_SECONDS):
            with suppress(OSError):  # a file system that is away may be back at the next beat
                self.beat()


def _running(pid: int, started: float) -> bool | None:
    """Whether the process that was started at `started` runs; None if it is another user's and
    cannot be inspected.
    """
    try:
        process = psutil.Process(pid)
        # Where nothing reaps orphans, a dead process stays in the table.
        return (
            abs(process.create_time() - started) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
        )
    except psutil.AccessDenied:
        return None
    except psutil.NoSuchProcess:
        return None if _another_users(pid) else False


def _another_users(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return False
