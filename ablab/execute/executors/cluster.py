"""Runs shared by processes that torchrun or SLURM started, on one node or many; each of them is
`ablab run`.

The first one is the driver and trains as well; the others follow it. If a process fails or is short
of memory it exits, and the launcher ends the others. The next start resumes from the checkpoint,
with smaller micro-batches if memory was short.
"""

import gc
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from ablab.arch.composition.guard import end_process, reason_of
from ablab.errors import UserError, machine_fault
from ablab.execute.attempt import attempt
from ablab.execute.executors.base import Executor, Timing
from ablab.execute.executors.launcher import launched_environment
from ablab.execute.worker import StopSignal, Worker
from ablab.execute.worker_context import WorkerContext
from ablab.fence import fenced
from ablab.records.lease import Lease, LeaseLost
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.spec.study import Study
from ablab.train.parallel import MemoryShort, ParallelContext, ParallelLayout

if TYPE_CHECKING:
    from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment

    from ablab.arch.composition.registry import Registry

_TIMEOUT = timedelta(days=30)  # followers wait for as long as the driver has nothing to train

# A run, the driver's settings, and its lease's nonce; None when there is nothing more to train.
_Assignment = tuple[RunSpec, WorkerContext, str] | None


class Cluster:
    """The processes that were started together, as seen by one of them."""

    def __init__(self, environment: "ClusterEnvironment") -> None:
        self.rank = environment.global_rank()
        self.size = environment.world_size()
        self._local_rank = environment.local_rank()
        self._environment = environment
        self._contexts: dict[ParallelLayout, ParallelContext] = {}
        self._control: Any = None  # a gloo group, for messages between CPUs

    def connect(self) -> None:
        """Form the process group; return once every process has joined."""
        import torch
        import torch.distributed as dist

        on_gpu = torch.cuda.is_available()
        if on_gpu:
            torch.cuda.set_device(self._local_rank)
        dist.init_process_group(
            "nccl" if on_gpu else "gloo",
            init_method=f"tcp://{self._environment.main_address}:{self._environment.main_port}",
            rank=self.rank,
            world_size=self.size,
            timeout=_TIMEOUT,
        )
        self._control = dist.new_group(backend="gloo", timeout=_TIMEOUT)

    def broadcast(self, assignment: _Assignment = None) -> _Assignment:
        """Return the assignment of the driver, which alone passes one."""
        import torch.distributed as dist

        message = [assignment]
        dist.broadcast_object_list(message, 0, group=self._control)
        return message[0]

    def disconnect(self) -> None:
        """Leave the process group once every process has received the last broadcast; the order in
        which they exit does not matter then.

        A group that still exists when the interpreter exits may abort the process: its threads
        are joined too late (https://github.com/pytorch/pytorch/pull/179291).
        """
        import torch.distributed as dist

        try:
            dist.barrier(group=self._control)
        except RuntimeError:
            return  # a process is gone: leaving in good order would wait for it
        self._contexts.clear()
        self._control = None
        gc.collect()  # a wrapped model refers to its group from within a cycle
        dist.destroy_process_group()

    @contextmanager
    def lead(self) -> Iterator[None]:
        """Have the other processes follow this one."""
        self.connect()
        try:
            yield
        finally:
            self.broadcast(None)
            self.disconnect()

    def parallel_context(self, layout: ParallelLayout) -> ParallelContext:
        """Return the place of this process in a layout."""
        import torch

        if layout not in self._contexts:
            device = "cuda" if torch.cuda.is_available() else "cpu"
            self._contexts[layout] = ParallelContext.join(layout, device)
        return self._contexts[layout]

    def follow(self, context: WorkerContext) -> None:
        """Train what the driver broadcasts until it has nothing more; all but the driver call this.

        `home` and `plugins` are this node's; the rest of the context comes from the driver, which
        alone responds to signals.
        """
        from ablab.arch.composition.registry import load_registry

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        self.connect()
        registry = load_registry(context.plugins)
        while True:
            assignment = self.broadcast()
            if assignment is None:
                break
            spec, settings, nonce = assignment
            settings = replace(settings, home=context.home, plugins=context.plugins)
            record = Record(context.home, spec.key)
            with fenced(record.folder, record.lease(nonce).fence):
                self._take_part(spec, settings, registry)
        self.disconnect()

    def _take_part(self, spec: RunSpec, settings: WorkerContext, registry: "Registry") -> None:
        try:
            parallel = self.parallel_context(settings.layout)
            attempt(spec, settings, registry, parallel, lambda: False)
        except MemoryShort:
            end_process(1)
        except BaseException as error:  # a plugin may raise anything
            reason = f"process {self.rank} of {self.size}: {reason_of(error)}"
            if machine_fault(error) is None:
                with suppress(LeaseLost):
                    Record(settings.home, spec.key).fail(reason)
            end_process(1)  # the others wait for this one: the launcher ends them


def find_cluster() -> "Cluster | None":
    """Return the processes that were started together with this one; None if it was started alone.
    Raises UserError if the launcher was not told enough.
    """
    environment = launched_environment()
    return Cluster(environment) if environment is not None else None


class ClusterEngine:
    """Uses the processes that a launcher started: all of them train each run."""

    queues = False

    def __init__(self, cluster: Cluster, study: Study) -> None:
        self._cluster = cluster
        self._study = study

    def check(self, context: WorkerContext, runs: int) -> None:
        """Raise UserError unless the processes that were started are those that a run takes."""
        layout = context.layout
        if self._cluster.size != layout.processes:
            raise UserError(
                f"{self._cluster.size} processes were started, but hardware asks for "
                f"{layout.processes}: {layout.nodes} node(s) with {layout.local} device(s) each"
            )

    def slots(self, requested: int | None, runs: int) -> int:
        """Return 1: every process takes part in every run."""
        machine = self._study.hardware
        return (machine.timed_workers if self._study.timed else machine.workers)(1, runs)

    def leading(self) -> AbstractContextManager[object]:
        """Have the other processes follow this one."""
        return self._cluster.lead()

    def executor(self, context: WorkerContext, requested: int | None, runs: int) -> Executor:
        """Start the executor, which has one slot."""
        return ClusterExecutor(self._cluster, context)

    def time_arms(self, stage: Timing) -> str:
        """Time arms in a process of their own, on this node."""
        return stage.run()


class ClusterExecutor:
    """Trains one run at a time, in this process and in all others of the cluster."""

    def __init__(self, cluster: Cluster, context: WorkerContext) -> None:
        self.slots = 1
        self._stop = threading.Event()
        self._worker = _LeadingWorker(cluster, context, self._stop)
        self._changed = False

    def submit(self, spec: RunSpec) -> "Future[AttemptOutcome]":
        """Start a run. The process ends instead if an earlier run changed it, as none replaces it
        but the launcher.
        """
        if self._changed:
            print("ablab: start the command again for the other runs", file=sys.stderr, flush=True)
            end_process(1)
        future: Future[AttemptOutcome] = Future()

        def run() -> None:
            try:
                outcome = self._worker.train(spec)
                self._changed = outcome.retire and bool(outcome.notes)
                future.set_result(outcome)
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return future

    def waits(self, future: "Future[AttemptOutcome]") -> bool:
        """Return False: a run that is submitted begins at once."""
        return False

    def cancel(self, future: "Future[AttemptOutcome]") -> None:
        """End this process, and so all others: a run that hangs cannot be ended alone."""
        end_process(1)

    def stop(self) -> None:
        """Ask the run to write a checkpoint and end."""
        self._stop.set()

    def kill(self) -> None:
        """No-op: the run ends with this process."""

    def close(self) -> None:
        """No-op: no process was started."""


class _LeadingWorker(Worker):
    """The driver's own part in a run."""

    def __init__(self, cluster: Cluster, context: WorkerContext, stop: StopSignal) -> None:
        super().__init__(context, stop)
        self._cluster = cluster

    def _attempt(self, spec: RunSpec, lease: Lease) -> AttemptOutcome:
        self._cluster.broadcast((spec, self.context, lease.nonce))
        try:
            parallel = self._cluster.parallel_context(self.context.layout)
            return attempt(spec, self.context, self.registry, parallel, self.stopping)
        except (MemoryShort, LeaseLost) as error:  # the other processes wait for this one
            reason = f"memory is short, and {error}" if isinstance(error, MemoryShort) else error
            _end(f"{spec.label}: {reason}: start again")
        except Exception as error:
            fault = machine_fault(error, self.context.home)
            if fault is None:
                raise
            _end(f"{fault}; start again to continue")


def _end(reason: str) -> NoReturn:
    """End this process, so that the launcher ends the others, which wait for it."""
    print(f"ablab: {reason}", file=sys.stderr, flush=True)
    end_process(1)
