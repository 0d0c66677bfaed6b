"""Leases: files that name the process which has the right to something.

**Who holds it.** A process that can be seen (same boot of the same kernel, same PID namespace)
holds its lease for as long as it lives. Where it cannot be seen, its heartbeat decides: the
modification time of the file, which it renews every `BEAT_SECONDS`. Wall clocks step, and those of
two hosts may disagree by minutes; so ages are measured by the clock of the file system, and a
heartbeat that looks old is only given up once this process has watched it for `DOUBT_SECONDS` of
its own monotonic clock without a change. The converse holds as well: a heartbeat that has not
changed for `STALE_SECONDS` of that clock is gone, however new it looks.

**Why a loser writes nothing.** A lease can be lost by its live owner: it was stopped, its machine
was paused, or the file system was away. Every acquisition therefore has a nonce and a token, a
number that grows with each acquisition, and every write of the owner takes place within `fence`:
with the lease's lock, after checking that the lease still carries the nonce. Taking over needs the
same lock. So each write is either complete before the lease changes hands, and then the next owner
finds it, or it is refused with `LeaseLost`. An owner that is stopped within the fence keeps the
lock, and others wait for it. What is left is a network file system that drops the locks of a client
which has been away: there, a write that was checked before and is carried out after such an absence
is not refused. That takes a pause between two consecutive system calls.
"""

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from enum import Enum, auto
from pathlib import Path
from typing import Any

from ablab.fence import fenced
from ablab.files import locked, write_json
from ablab.records.system import THIS_SYSTEM, ProcessIdentity, System

STALE_SECONDS = 30.0
BEAT_SECONDS = 5.0
DOUBT_SECONDS = 11.0  # two heartbeats and a little more
_POLL_SECONDS = 0.5


class LeaseLost(Exception):
    """The lease was taken over, cleared or removed while its owner still wrote."""


class Judgement(Enum):
    """Whether a live process holds a lease."""

    FREE = auto()
    HELD = auto()
    DOUBTFUL = auto()
    """Its heartbeat looks old, but has not been watched for long enough."""


class Lease:
    """The right to what the file `path` stands for.

    If the folder was removed, the lease cannot be acquired. `about` is written to the file beside
    the owner. `nonce` identifies a lease that another process of the same run has acquired.
    """

    LOCK = ".lease.lock"
    """Beside the lease: whoever has it looks and writes as one act. Each acquisition makes it one
    byte longer, so that its length is the token, which survives release."""

    def __init__(
        self, path: Path, system: System = THIS_SYSTEM, *, nonce: str | None = None, **about: str
    ) -> None:
        self.path = path
        self.nonce = nonce or uuid.uuid4().hex
        self._system = system
        self._about = about
        self._lock = path.with_name(self.LOCK)

    def acquire(self) -> bool:
        """Acquire the lease, and return whether this succeeded.

        It takes up to `DOUBT_SECONDS` if the owner cannot be seen and seems to be gone.

        Raises:
            PermissionError: if nobody holds it and its folder cannot be written.

        """
        try:
            judgement = self._try_acquire()
            while judgement is Judgement.DOUBTFUL:
                self._system.sleep(_POLL_SECONDS)
                judgement = self._try_acquire()
        except FileNotFoundError:
            return False
        except PermissionError:
            if not self.held():
                raise
            return False
        return judgement is Judgement.FREE

    def _try_acquire(self) -> Judgement:
        # The fence of an earlier lease would wait for the lock.
        with locked(self._lock), fenced(self.path.parent, nullcontext):
            judgement = self.judge()
            if judgement is Judgement.FREE:
                owner = {"host": socket.gethostname(), **self._system.me.as_dict()}
                fence = {"token": self._next_token(), "nonce": self.nonce}
                # Unsynced: a power cut ends its process too.
                write_json(self.path, {**owner, **fence, **self._about}, sync=False)
                self._system.touch(self.path)
        return judgement

    def _next_token(self) -> int:
        with self._lock.open("ab") as file:
            file.write(b".")
            return file.tell()

    def held(self) -> bool:
        """Return whether a live process holds it; a heartbeat that looks old counts as gone."""
        return self.judge() is Judgement.HELD

    def judge(self) -> Judgement:
        """Return what can be said of it now."""
        try:
            with self.path.open("rb") as file:
                owner = _parsed(file.read())
                beat = os.fstat(file.fileno())
        except FileNotFoundError:
            return Judgement.FREE
        process = ProcessIdentity.read(owner)
        alive = None if process is None else self._system.is_alive(process)
        if alive is not None:
            return Judgement.HELD if alive else Judgement.FREE
        silence = self._system.silence(self.path, (owner.get("nonce"), beat.st_mtime_ns))
        if silence >= STALE_SECONDS:
            return Judgement.FREE
        if abs(self._file_system_time() - beat.st_mtime) < STALE_SECONDS:
            return Judgement.HELD
        return Judgement.FREE if silence >= DOUBT_SECONDS else Judgement.DOUBTFUL

    def _file_system_time(self) -> float:
        """Return the time by the clock that heartbeats are written with."""
        try:
            self._system.touch(self._lock)
            return self._lock.stat().st_mtime
        except OSError:  # it may not be written
            return self._system.time()

    def beat(self) -> None:
        """Renew the heartbeat. Raises FileNotFoundError if the lease was removed."""
        with self.path.open("rb") as file:
            if _parsed(file.read()).get("nonce") == self.nonce:
                self._system.touch(file.fileno())

    @contextmanager
    def fence(self) -> Iterator[None]:
        """Keep others from taking the lease while the block runs.

        Raises:
            LeaseLost: if it is no longer held.

        """
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(self._lock))
            except FileNotFoundError:
                raise LeaseLost(f"{self.path.parent} was removed") from None
            owner = self.owner
            if owner.get("nonce") != self.nonce:
                taker = f"taken over by {self.holder}" if owner else "released"
                raise LeaseLost(f"the lease {self.path} was {taker}")
            yield

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
            if self.owner.get("nonce") == self.nonce:
                self.path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove the lease if its process is known to be gone."""
        with suppress(FileNotFoundError), locked(self._lock):
            if self.judge() is Judgement.FREE:
                self.path.unlink(missing_ok=True)

    @property
    def owner(self) -> dict[str, Any]:
        """Host and process that hold or held it; empty if there is none."""
        try:
            return _parsed(self.path.read_bytes())
        except FileNotFoundError:
            return {}

    @property
    def holder(self) -> str:
        """The owner in words."""
        owner = self.owner
        return f"process {owner.get('pid', '?')} on {owner.get('host', '?')}"

    def _keep(self, ended: threading.Event) -> None:
        while not ended.wait(BEAT_SECONDS):
            with suppress(OSError):  # a file system that is away may be back at the next beat
                self.beat()


def _parsed(content: bytes) -> dict[str, Any]:
    """Return the content of a lease; empty if it is damaged."""
    try:
        owner = json.loads(content)
    except ValueError:  # neither JSON nor text
        return {}
    return owner if isinstance(owner, dict) else {}


def held_leases(leases: Iterable[Lease], *, certain: bool = False) -> list[Lease]:
    """Return those of `leases` that a live process holds.

    If the answer must be `certain`, heartbeats that look old are watched for up to `DOUBT_SECONDS`.
    """
    judgements = {lease: lease.judge() for lease in leases}
    while certain and Judgement.DOUBTFUL in judgements.values():
        time.sleep(_POLL_SECONDS)
        judgements = {lease: lease.judge() for lease in judgements}
    return [lease for lease, judgement in judgements.items() if judgement is Judgement.HELD]
