"""Runs shared by processes that torchrun or SLURM started, on one node or many: every one of them
is `ablab run`.

The first is the driver, and trains as well; the others take their orders from it. Where one fails,
or is short of memory, it ends, and what started them ends the others: the next start goes on from
the checkpoint, with smaller micro-batches if need be.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablab.errors import UserError
from ablab.execute.attempt import Means, attempt
from ablab.execute.worker import Setting, Worker
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.train.parallel import MemoryShort, ParallelContext, ParallelLayout

if TYPE_CHECKING:
    from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment

_PATIENCE = timedelta(days=30)  # the others wait as long as the driver has nothing to train


@dataclass(frozen=True)
class _Order:
    """What all processes do next."""

    spec: RunSpec
    layout: ParallelLayout
    threads: int
    compile: bool


class Gang:
    """The processes that were started together, from the side of one of them."""

    def __init__(self, environment: "ClusterEnvironment") -> None:
        self.rank, self.size = environment.global_rank(), environment.world_size()
        self._local, self._environment = environment.local_rank(), environment
        self._teams: dict[ParallelLayout, ParallelContext] = {}
        self._words: Any = None

    def meet(self) -> None:
        """Forms the process group; returns when every process is there."""
        import torch
        import torch.distributed as dist

        on_gpu = torch.cuda.is_available()
        if on_gpu:
            torch.cuda.set_device(self._local)
        place = f"tcp://{self._environment.main_address}:{self._environment.main_port}"
        dist.init_process_group(
            "nccl" if on_gpu else "gloo",
            init_method=place,
            rank=self.rank,
            world_size=self.size,
            timeout=_PATIENCE,
        )
        self._words = dist.new_group(backend="gloo", timeout=_PATIENCE)

    def told(self, order: _Order | None = None) -> _Order | None:
        """What the driver says, who gives it; None: there is nothing more."""
        import torch.distributed as dist

        said = [order]
        dist.broadcast_object_list(said, 0, group=self._words)
        return said[0]

    def part(self) -> None:
        """None leaves before every other has heard that there is nothing more; then it does not
        matter who leaves first.
        """
        import torch.distributed as dist

        with suppress(RuntimeError):
            dist.barrier(group=self._words)

    def team(self, layout: ParallelLayout) -> ParallelContext:
        """The process's place in a layout."""
        import torch

        if layout not in self._teams:
            self._teams[layout] = ParallelContext.join(
                layout, "cuda" if torch.cuda.is_available() else "cpu"
            )
        return self._teams[layout]

    def follow(self, home: Path, plugins: tuple[Path, ...]) -> None:
        """What the others do: they train what the driver says, until it has nothing more. Signals
        are the driver's to hear.
        """
        import torch

        from ablab.arch.composition.registry import load_registry

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        self.meet()
        registry = load_registry(plugins)
        while (order := self.told()) is not None:
            torch.set_num_threads(order.threads)
            try:
                means = Means(home, registry, lambda: False, order.compile)
                attempt(order.spec, means, self.team(order.layout))
            except MemoryShort:
                os._exit(1)
            except Exception as error:
                Record(home, order.spec.key).fail(
                    f"process {self.rank} of {self.size}: {type(error).__name__}: {error}"
                )
                os._exit(1)  # the others wait for this one: what started them ends them
        self.part()


def gang() -> Gang | None:
    """The processes that torchrun or SLURM started this one with; None where it was started
    alone.
    """
    if not {"TORCHELASTIC_RUN_ID", "SLURM_NTASKS"} & set(os.environ):
        return None  # before Lightning is imported, which takes seconds
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    for kind in (TorchElasticEnvironment, SLURMEnvironment):
        if kind.detect() and (environment := kind()).world_size() > 1:
            return Gang(environment)
    return None


class GangExecutor:
    """Trains one run at a time, in this process and in all others of the gang."""

    slots = 1

    def __init__(self, gang: Gang, setting: Setting) -> None:
        self._stop = threading.Event()
        self._worker = _Leader(gang, setting, self._stop)

    def submit(self, spec: RunSpec) -> "Future[AttemptOutcome]":
        """Starts a run."""
        future: Future[AttemptOutcome] = Future()

        def run() -> None:
            try:
                future.set_result(self._worker.train(spec))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return future

    def cancel(self, future: "Future[AttemptOutcome]") -> None:
        """A run that hangs cannot be ended alone: all processes end."""
        os._exit(1)

    def stop(self) -> None:
        """Asks the run to write a checkpoint and end."""
        self._stop.set()

    def kill(self) -> None:
        """The processes end with this one."""

    def close(self) -> None:
        """Nothing is under way."""


class _Leader(Worker):
    """The driver's own part in a run."""

    def __init__(self, gang: Gang, setting: Setting, stop: threading.Event) -> None:
        super().__init__(setting, stop)
        self._gang = gang

    def _attempt(self, spec: RunSpec) -> AttemptOutcome:
        setting = self.setting
        self._gang.told(_Order(spec, setting.layout, setting.threads, setting.compile))
        means = Means(setting.home, self.registry, self.stopping, setting.compile)
        try:
            return attempt(spec, means, self._gang.team(setting.layout))
        except MemoryShort as short:  # the next start takes no more
            print(
                f"ablab: {spec.label}: memory is short, and {short}: start again",
                file=sys.stderr,
                flush=True,
            )
            os._exit(1)


def check_gang(together: Gang | None, layout: ParallelLayout) -> None:
    """Raises UserError where the processes that were started are not those that `layout` takes."""
    if together is None and layout.nodes > 1:
        raise UserError(
            f"hardware.nodes: {layout.nodes}: start `ablab run` on every node, by torchrun or "
            f"srun, {layout.local} a node: "
            f"torchrun --nnodes {layout.nodes} --nproc-per-node {layout.local} … -m "
            "ablab.cli.app run …"
        )
    if together is not None and together.size != layout.processes:
        raise UserError(
            f"{together.size} processes were started, but hardware asks for {layout.processes}: "
            f"{layout.nodes} node(s) with {layout.local} device(s) each"
        )


@contextmanager
def leading(together: Gang | None) -> Iterator[None]:
    """While within, the others wait for orders; afterwards they end."""
    if together is None:
        yield
        return
    together.meet()
    try:
        yield
    finally:
        together.told(None)
        together.part()
