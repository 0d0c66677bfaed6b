"""Executors: what a driver hands runs to. The local one keeps persistent processes and survives their crashes."""

import multiprocessing
from concurrent.futures import Future
from typing import Protocol

from pebble import ProcessExpired, ProcessPool

from ablab.study.plan import RunSpec
from ablab.study.worker import Report, Setting, initialise, work


class Executor(Protocol):
    """Runs in, reports out."""

    slots: int

    def submit(self, spec: RunSpec) -> "Future[Report]":
        """Starts a run when there is room."""
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
    """`slots` persistent processes on this machine; a crash costs the run that crashed."""

    def __init__(self, slots: int, setting: Setting) -> None:
        self.slots = slots
        self._context = multiprocessing.get_context("spawn")
        self._stop = self._context.Event()
        self._setting = setting
        self._pool = self._new_pool()

    def submit(self, spec: RunSpec) -> "Future[Report]":
        """Starts a run when a process is free. A pool whose processes died while starting is replaced once."""
        try:
            return self._pool.schedule(work, args=[spec])  # pyright: ignore[reportReturnType]
        except RuntimeError:
            self._pool = self._new_pool()
            return self._pool.schedule(work, args=[spec])  # pyright: ignore[reportReturnType]

    def _new_pool(self) -> ProcessPool:
        arguments = [self._setting, self._stop]
        return ProcessPool(max_workers=self.slots, context=self._context, initializer=initialise, initargs=arguments)

    def stop(self) -> None:
        """Asks every run to write a checkpoint and end."""
        self._stop.set()

    def kill(self) -> None:
        """Ends the processes now."""
        self._pool.stop()
        self._pool.join(timeout=10)

    def close(self) -> None:
        """Ends the idle processes."""
        self._pool.close()
        self._pool.join(timeout=30)


def report_of(future: "Future[Report]") -> Report:
    """A finished future's report; a process that died is a failed run."""
    try:
        return future.result()
    except ProcessExpired as error:
        return Report("failed", f"the worker process died (exit code {error.exitcode})")
    except (Exception, SystemExit) as error:
        return Report("failed", f"the worker could not start: {type(error).__name__}: {error}")
