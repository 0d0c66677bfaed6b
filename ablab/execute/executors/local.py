"""Executors: what a driver hands runs to. The local one keeps persistent processes and survives
their crashes.
"""

import multiprocessing
import signal
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from typing import Protocol

from pebble import ProcessExpired, ProcessPool

from ablab.execute.attempt import exit_cause
from ablab.execute.worker import initialise, work
from ablab.execute.worker_context import WorkerContext
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_spec import RunSpec


class Executor(Protocol):
    """Runs in, reports out."""

    slots: int

    def submit(self, spec: RunSpec) -> "Future[AttemptOutcome]":
        """Starts a run; no more than `slots` are under way."""
        ...

    def cancel(self, future: "Future[AttemptOutcome]") -> None:
        """Ends one run's process now, whatever it is doing, and disturbs no other. The future is of
        no more use.
        """
        ...

    def stop(self) -> None:
        """Asks every run to write a checkpoint and end."""
        ...

    def kill(self) -> None:
        """Ends everything now."""
        ...

    def close(self) -> None:
        """Ends the workers; no run is under way."""
        ...


class LocalExecutor:
    """`slots` persistent processes on this machine, started as they are needed; a crash costs the
    run that crashed. `devices`: the GPUs that the processes share, each process on one.

    Each process has a pool of its own: processes of one pool share pipes and their locks, so that
    one which is killed at a bad moment would hang the others, and a pool ends none that has not
    begun its task.
    """

    def __init__(self, slots: int, context: WorkerContext, devices: Sequence[str] = ()) -> None:
        self.slots, self._devices = slots, devices
        self._device_of: dict[ProcessPool, str] = {}
        self._processes = multiprocessing.get_context("spawn")
        self._stop = self._processes.Event()
        self._context = context
        self._free: list[ProcessPool] = []
        self._busy: dict[Future[AttemptOutcome], ProcessPool] = {}

    def submit(self, spec: RunSpec) -> "Future[AttemptOutcome]":
        """Starts a run in a process that is free, or in a new one."""
        for future in [future for future in self._busy if future.done()]:
            self._free.append(self._busy.pop(future))
        while self._free:
            pool = self._free.pop()
            if pool.active:
                return self._schedule(pool, spec)
            _end([pool])  # its process died while it was idle or starting
        return self._schedule(self._new_pool(), spec)

    def _schedule(self, pool: ProcessPool, spec: RunSpec) -> "Future[AttemptOutcome]":
        try:
            future: Future[AttemptOutcome] = pool.schedule(work, args=[spec])  # pyright: ignore[reportAssignmentType]
        except RuntimeError:  # it died since we looked
            _end([pool])
            return self._schedule(self._new_pool(), spec)
        self._busy[future] = pool
        return future

    def _new_pool(self) -> ProcessPool:
        live = {*self._free, *self._busy.values()}
        self._device_of = {pool: device for pool, device in self._device_of.items() if pool in live}
        taken = Counter(self._device_of.values())
        device = min(self._devices, key=lambda name: taken[name], default=None)
        arguments = [replace(self._context, device=device), self._stop]
        pool = ProcessPool(
            max_workers=1, context=self._processes, initializer=initialise, initargs=arguments
        )
        if device is not None:
            self._device_of[pool] = device
        return pool

    def cancel(self, future: "Future[AttemptOutcome]") -> None:
        """Ends the run's process now: asks it, and kills it after three seconds."""
        if future in self._busy:  # else its process has gone on to another run
            _end([self._busy.pop(future)])

    def stop(self) -> None:
        """Asks every run to write a checkpoint and end."""
        self._stop.set()

    def kill(self) -> None:
        """Ends the processes now."""
        _end([*self._busy.values(), *self._free])
        self._busy.clear()
        self._free.clear()

    def close(self) -> None:
        """Ends the idle processes."""
        self.kill()


def _end(pools: Iterable[ProcessPool]) -> None:
    """Ends pools with their processes, all at once: one that hangs takes seconds."""
    every = list(pools)
    for pool in every:
        pool.stop()
    if every:
        with ThreadPoolExecutor(len(every)) as threads:
            list(threads.map(lambda pool: pool.join(), every))


def report_of(future: "Future[AttemptOutcome]") -> AttemptOutcome:
    """A finished future's report. A process that died is a lost attempt, or never started."""
    try:
        return future.result()
    except ProcessExpired as error:
        return AttemptOutcome(
            "lost", f"the worker process died ({_cause(error.exitcode)})", pid=error.pid
        )
    except BrokenProcessPool:
        return AttemptOutcome("unstarted", "the worker process died while starting")
    except (Exception, SystemExit) as error:
        return AttemptOutcome("failed", f"{type(error).__name__}: {error}")


def _cause(code: int) -> str:
    return f"{exit_cause(code)}{': was memory short?' if code == -signal.SIGKILL else ''}"
