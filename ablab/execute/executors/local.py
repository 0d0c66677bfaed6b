"""The local engine: persistent workers on this machine. A crash costs the run that crashed."""

from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from pebble import ProcessPool

from ablab.errors import UserError
from ablab.execute.executors.base import Executor, Timing
from ablab.execute.executors.fork_server import process_context
from ablab.execute.memory import worker_share
from ablab.execute.worker import initialise, work
from ablab.execute.worker_context import WorkerContext
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_spec import RunSpec
from ablab.spec.study import Study


class LocalEngine:
    """Uses worker processes on this machine."""

    queues = False

    def __init__(self, study: Study) -> None:
        self._study = study

    def check(self, context: WorkerContext, runs: int) -> None:
        """Raise UserError if a run is to be shared by several nodes."""
        layout = context.layout
        if layout.nodes > 1:
            raise UserError(
                f"hardware.nodes: {layout.nodes}: start `ablab run` on every node, by torchrun or "
                f"srun, {layout.local} a node: "
                f"torchrun --nnodes {layout.nodes} --nproc-per-node {layout.local} … -m "
                "ablab.cli.app run …"
            )

    def slots(self, requested: int | None, runs: int) -> int:
        """Return the number of workers: one per GPU or CPU core, unless requested otherwise."""
        machine = self._study.hardware
        return (machine.timed_workers if self._study.timed else machine.workers)(requested, runs)

    def leading(self) -> AbstractContextManager[object]:
        """Return an empty context: the executor starts the workers."""
        return nullcontext()

    def executor(self, context: WorkerContext, requested: int | None, runs: int) -> Executor:
        """Start an executor whose workers share the machine's devices."""
        slots = self.slots(requested, runs)
        return LocalExecutor(slots, context, self._study.hardware.shares())

    def time_arms(self, stage: Timing) -> str:
        """Time arms in a process of their own, on this machine."""
        return stage.run()


class LocalExecutor:
    """Keeps up to `slots` persistent worker processes, started as needed; a crash affects only the
    run that crashed. `devices` are the GPUs that the workers share, one entry for each worker.

    Each worker has a pool of its own. Workers of one pool would share pipes and their locks, so
    that killing one at a bad moment could hang the others, and a pool cannot end a worker that has
    not begun its task.
    """

    def __init__(self, slots: int, context: WorkerContext, devices: Sequence[str] = ()) -> None:
        self.slots = slots
        self._devices = devices
        self._device_of: dict[ProcessPool, str] = {}
        self._processes = process_context(devices)
        self._stop = self._processes.Event()
        share = worker_share(slots * context.layout.processes)
        self._context = replace(context, memory=context.memory or share)
        self._free: list[ProcessPool] = []
        self._busy: dict[Future[AttemptOutcome], ProcessPool] = {}

    def submit(self, spec: RunSpec) -> "Future[AttemptOutcome]":
        """Start a run in an idle worker, or in a new one."""
        for future in [future for future in self._busy if future.done()]:
            pool = self._busy.pop(future)
            if _retires(future):
                _end([pool])
            else:
                self._free.append(pool)
        while self._free:
            pool = self._free.pop()
            if pool.active:
                return self._schedule(pool, spec)
            _end([pool])  # its process died while idle or starting
        return self._schedule(self._new_pool(), spec)

    def _schedule(self, pool: ProcessPool, spec: RunSpec) -> "Future[AttemptOutcome]":
        try:
            future: Future[AttemptOutcome]
            future = pool.schedule(work, args=[spec])  # pyright: ignore[reportAssignmentType]
        except BrokenProcessPool as error:  # no process can be started; another try is the driver's
            _end([pool])
            future = Future()
            future.set_exception(error)
            return future
        except RuntimeError:  # it has died in the meantime
            _end([pool])
            return self._schedule(self._new_pool(), spec)
        self._busy[future] = pool
        return future

    def _new_pool(self) -> ProcessPool:
        live = {*self._free, *self._busy.values()}
        self._device_of = {pool: device for pool, device in self._device_of.items() if pool in live}
        load = Counter(self._device_of.values())
        device = min(self._devices, key=lambda name: load[name], default=None)
        arguments = [replace(self._context, device=device), self._stop]
        pool = ProcessPool(
            max_workers=1, context=self._processes, initializer=initialise, initargs=arguments
        )
        if device is not None:
            self._device_of[pool] = device
        return pool

    def waits(self, future: "Future[AttemptOutcome]") -> bool:
        """Return False: a run that is submitted begins at once."""
        return False

    def cancel(self, future: "Future[AttemptOutcome]") -> None:
        """End the run's process with SIGTERM, then SIGKILL after three seconds."""
        if future in self._busy:  # else its process has gone on to another run
            _end([self._busy.pop(future)])

    def stop(self) -> None:
        """Ask every run to write a checkpoint and end."""
        self._stop.set()

    def kill(self) -> None:
        """End all workers now."""
        _end([*self._busy.values(), *self._free])
        self._busy.clear()
        self._free.clear()

    def close(self) -> None:
        """End the idle workers."""
        self.kill()


def _retires(future: "Future[AttemptOutcome]") -> bool:
    """Return whether the process of an ended run must not train another."""
    return future.cancelled() or future.exception() is not None or future.result().retire


def _end(pools: Iterable[ProcessPool]) -> None:
    """End pools with their processes, concurrently: one that hangs takes seconds."""
    every = list(pools)
    for pool in every:
        pool.stop()
    if every:
        with ThreadPoolExecutor(len(every)) as threads:
            list(threads.map(lambda pool: pool.join(), every))
