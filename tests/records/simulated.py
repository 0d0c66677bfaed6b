"""A simulated machine park: process tables and clocks that a test sets, for the real leases."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from ablab.records.system import ProcessIdentity, System


class Sleeping(Exception):
    """A simulated process waits: it has to be called again later."""


@dataclass
class World:
    """What all processes share: the time that passes, the clock of the file system, the living."""

    seconds: float = 0.0
    file_clock: float = 1_700_000_000.0
    alive: set[ProcessIdentity] = field(default_factory=set)

    def wait(self, seconds: float) -> None:
        self.seconds += seconds
        self.file_clock += seconds


class Seat(System):
    """What one simulated process sees."""

    def __init__(
        self, world: World, pid: int, namespace: str = "pid:[1]", boot: str = "b", skew: float = 0.0
    ) -> None:
        super().__init__()
        self._world, self._skew = world, skew
        self._me = ProcessIdentity(boot, namespace, pid, 1)
        world.alive.add(self._me)

    @property
    def me(self) -> ProcessIdentity:
        return self._me

    def is_alive(self, process: ProcessIdentity) -> bool | None:
        here = (self.me.boot, self.me.namespace)
        return process in self._world.alive if (process.boot, process.namespace) == here else None

    def time(self) -> float:
        return self._world.file_clock + self._skew

    def monotonic(self) -> float:
        return self._world.seconds

    def sleep(self, seconds: float) -> None:
        raise Sleeping

    def touch(self, file: Path | int) -> None:
        os.utime(file, (self._world.file_clock,) * 2)
