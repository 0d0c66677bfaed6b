"""Processes and clocks, as one process sees them: what leases are judged by."""

import os
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil

_PROC = Path("/proc")


@dataclass(frozen=True)
class ProcessIdentity:
    """A process, distinguishable from every other on any machine, whatever the clocks say."""

    boot: str
    """Boot id of its kernel; the host's name where the system has no boot id."""
    namespace: str
    """Its PID namespace; empty where the system has none."""
    pid: int
    """Process id in that namespace."""
    start: float
    """When it started: on Linux in clock ticks since boot, else in seconds (Unix)."""

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> "ProcessIdentity | None":
        """Return the identity in what `as_dict` returned; None if it is something else."""
        try:
            return cls(*(content[name] for name in ("boot", "namespace", "pid", "start")))
        except KeyError:
            return None

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self)


class System:
    """The process table and the clocks, as this process sees them."""

    def __init__(self) -> None:
        self._beats: dict[Path, tuple[object, float]] = {}

    @property
    def me(self) -> ProcessIdentity:
        """Identity of this process."""
        start = _linux_start("self") if _is_linux() else psutil.Process().create_time()
        return ProcessIdentity(_boot(), _namespace(), os.getpid(), start)

    def is_alive(self, process: ProcessIdentity) -> bool | None:
        """Return whether a process lives; None if it cannot be seen from here, since it is on
        another machine, in another PID namespace, or hidden from this user.
        """
        if (process.boot, process.namespace) != (_boot(), _namespace()):
            return None
        if not _is_linux():
            return _is_alive_by_psutil(process)
        if os.readlink(_PROC / "self") != str(os.getpid()):
            return None  # /proc is that of another PID namespace
        try:
            return _linux_start(process.pid) == process.start
        except OSError:
            return None if _is_hidden(process.pid) else False

    def time(self) -> float:
        """Return the time by the wall clock of this machine (Unix seconds)."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds since an arbitrary origin, by a clock that is never set."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def touch(self, file: Path | int) -> None:
        """Set the modification time of an existing file to now, by the file system's clock."""
        os.utime(file)

    def silence(self, path: Path, beat: object) -> float:
        """Return for how many seconds this process has seen the same `beat` at `path`."""
        now = self.monotonic()
        last, since = self._beats.get(path, (None, now))
        if last != beat:
            since = now
        self._beats[path] = (beat, since)
        return now - since


def _is_linux() -> bool:
    return sys.platform == "linux"


@cache
def _boot() -> str:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()


def _namespace() -> str:
    return os.readlink(_PROC / "self/ns/pid") if _is_linux() else ""


def _linux_start(pid: int | str) -> int:
    """Return when a process started, in clock ticks since boot. Raises OSError if there is none."""
    # The name of the program, in parentheses, may contain anything.
    fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    if fields[0] in "ZX":  # where nothing reaps orphans, a dead process stays in the table
        raise ProcessLookupError(f"process {pid} is dead")
    return int(fields[19])


def _is_hidden(pid: int) -> bool:
    """Whether there is a process that this user may not see."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def _is_alive_by_psutil(process: ProcessIdentity) -> bool | None:
    try:
        entry = psutil.Process(process.pid)
        return entry.create_time() == process.start and entry.status() != psutil.STATUS_ZOMBIE
    except psutil.AccessDenied:
        return None
    except psutil.NoSuchProcess:
        return None if _is_hidden(process.pid) else False


THIS_SYSTEM = System()
