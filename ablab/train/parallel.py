"""The processes that train one run: data ranks, which divide its batches, times tensor ranks, which
divide its model.
"""

from dataclasses import dataclass, field
from math import ceil
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from ablab.arch.modules.ranks import ALONE, Ranks

Strategy = Literal["single", "ddp", "fsdp", "tensor"]


@dataclass(frozen=True)
class ParallelLayout:
    """How a run is divided among processes.

    With `ddp`, each data rank holds the model; with `fsdp`, each holds a shard of it; with
    `tensor`, each of the `tensor` ranks holds a part of it, which is sharded if there are several
    data ranks as well.
    """

    strategy: Strategy = "single"
    data: int = 1
    tensor: int = 1
    nodes: int = 1

    @property
    def processes(self) -> int:
        """Number of processes."""
        return self.data * self.tensor

    @property
    def local(self) -> int:
        """Number of processes per node."""
        return self.processes // self.nodes

    @property
    def sharded(self) -> bool:
        """Whether no process holds the complete model."""
        return self.strategy in ("fsdp", "tensor")

    def __str__(self) -> str:
        return {
            "single": "1 process",
            "ddp": f"ddp over {self.data}",
            "fsdp": f"fsdp over {self.data}",
            "tensor": f"tensor over {self.tensor}"
            + (f", fsdp over {self.data}" if self.data > 1 else ""),
        }[self.strategy]


class MemoryShort(Exception):
    """A micro-batch did not fit into the memory of one process.

    The other processes wait for the one that failed and cannot be notified, so all of them start
    again with `micro_batch` sequences at a time.
    """

    def __init__(self, micro_batch: int) -> None:
        super().__init__(f"{micro_batch} sequences at once may fit")
        self.micro_batch = micro_batch


@dataclass(frozen=True)
class ParallelContext:
    """The position of this process among the processes of a run. `mesh` is data × tensor; `control`
    is a CPU group for control messages.
    """

    layout: ParallelLayout = field(default_factory=ParallelLayout)
    rank: int = 0
    mesh: DeviceMesh | None = None
    control: Any = None

    @classmethod
    def join(cls, layout: ParallelLayout, device: str) -> "ParallelContext":
        """Return the position of this process in the default process group, whose size must match
        `layout`.
        """
        if layout.strategy == "single":
            return cls()
        mesh = init_device_mesh(
            device, (layout.data, layout.tensor), mesh_dim_names=("data", "tensor")
        )
        return cls(layout, dist.get_rank(), mesh, dist.new_group(backend="gloo"))

    @property
    def main(self) -> bool:
        """Whether this is the main process."""
        return self.rank == 0

    @property
    def data_rank(self) -> int:
        """Index of this process's share of each batch."""
        return self.rank // self.layout.tensor

    @property
    def ranks(self) -> Ranks:
        """The tensor ranks this process belongs to."""
        if self.mesh is None or self.layout.tensor == 1:
            return ALONE
        return Ranks(
            self.rank % self.layout.tensor, self.layout.tensor, self.mesh.get_group("tensor")
        )

    def share(self, size: int) -> slice:
        """Return the slice of a batch of `size` sequences that this process handles. Shares differ
        by at most one sequence and may be empty.
        """
        each, remainder = divmod(size, self.layout.data)
        start = self.data_rank * each + min(self.data_rank, remainder)
        return slice(start, start + each + (self.data_rank < remainder))

    def largest_share(self, size: int) -> int:
        """Return the largest share of a batch of `size` sequences."""
        return ceil(size / self.layout.data)

    def sum(self, x: Tensor) -> Tensor:
        """Sum x over the data ranks, in place."""
        if self.mesh is not None and self.layout.data > 1:
            dist.all_reduce(x, group=self.mesh.get_group("data"))
        return x

    def broadcast_flags(self, *flags: bool) -> tuple[bool, ...]:
        """Return the main process's flags, so that all processes take the same decision at the same
        step.
        """
        if self.mesh is None:
            return flags
        message = torch.tensor(flags)
        dist.broadcast(message, 0, group=self.control)
        return tuple(map(bool, message.tolist()))

    def broadcast(self, value: float) -> float:
        """Return the main process's value."""
        if self.mesh is None:
            return value
        message = torch.tensor(value, dtype=torch.float64)
        dist.broadcast(message, 0, group=self.control)
        return message.item()

    def all_gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, by rank."""
        if self.mesh is None:
            return [value]
        values: list[Any] = [None] * self.layout.processes
        dist.all_gather_object(values, value, group=self.control)
        return values
