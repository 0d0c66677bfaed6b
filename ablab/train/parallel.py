"""The processes that train one run together: data ranks, which share its batches, times tensor
ranks, which share its model.
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
    """How the processes of a run share it. `ddp`: each data rank holds the model; `fsdp`: they hold
    a shard of it each; `tensor`: `tensor` ranks hold a part of it each, and where there are several
    data ranks as well, these shard the parts. `local`: how many of the processes are on one node.
    """

    strategy: Strategy = "single"
    data: int = 1
    tensor: int = 1
    nodes: int = 1

    @property
    def processes(self) -> int:
        """How many there are."""
        return self.data * self.tensor

    @property
    def local(self) -> int:
        """How many of them a node has."""
        return self.processes // self.nodes

    @property
    def sharded(self) -> bool:
        """Whether no process holds the whole model."""
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
    """A micro-batch did not fit into a process's memory. All of them begin again, with
    `micro_batch` sequences at once: where one fails the others wait for it, and cannot be told.
    """

    def __init__(self, micro_batch: int) -> None:
        super().__init__(f"{micro_batch} sequences at once may fit")
        self.micro_batch = micro_batch


@dataclass(frozen=True)
class ParallelContext:
    """The process's place among the run's processes. `mesh`: data × tensor; `control`: a group for
    words between CPUs.
    """

    layout: ParallelLayout = field(default_factory=ParallelLayout)
    rank: int = 0
    mesh: DeviceMesh | None = None
    control: Any = None

    @classmethod
    def join(cls, layout: ParallelLayout, device: str) -> "ParallelContext":
        """The place of this process in the default process group, which has as many as `layout`."""
        if layout.strategy == "single":
            return cls()
        mesh = init_device_mesh(
            device, (layout.data, layout.tensor), mesh_dim_names=("data", "tensor")
        )
        return cls(layout, dist.get_rank(), mesh, dist.new_group(backend="gloo"))

    @property
    def main(self) -> bool:
        """Whether it is the one that speaks for all."""
        return self.rank == 0

    @property
    def data_rank(self) -> int:
        """Which share of a batch is its own."""
        return self.rank // self.layout.tensor

    @property
    def ranks(self) -> Ranks:
        """Its tensor ranks."""
        if self.mesh is None or self.layout.tensor == 1:
            return ALONE
        return Ranks(
            self.rank % self.layout.tensor, self.layout.tensor, self.mesh.get_group("tensor")
        )

    def share(self, size: int) -> slice:
        """Which of a batch's `size` sequences are its own: as equal shares as can be, none where
        there are too few.
        """
        each, left = divmod(size, self.layout.data)
        start = self.data_rank * each + min(self.data_rank, left)
        return slice(start, start + each + (self.data_rank < left))

    def largest_share(self, size: int) -> int:
        """The largest share of a batch of `size` sequences that any process has."""
        return ceil(size / self.layout.data)

    def sum(self, x: Tensor) -> Tensor:
        """The sum over the data ranks."""
        if self.mesh is not None and self.layout.data > 1:
            dist.all_reduce(x, group=self.mesh.get_group("data"))
        return x

    def agreed(self, *flags: bool) -> tuple[bool, ...]:
        """What the main process says: every process must do the same at the same step."""
        if self.mesh is None:
            return flags
        said = torch.tensor(flags)
        dist.broadcast(said, 0, group=self.control)
        return tuple(map(bool, said.tolist()))

    def told(self, value: float) -> float:
        """The main process's value: of what each measures by itself."""
        if self.mesh is None:
            return value
        said = torch.tensor(value, dtype=torch.float64)
        dist.broadcast(said, 0, group=self.control)
        return said.item()

    def everyones(self, value: Any) -> list[Any]:
        """The values of all processes, by rank."""
        if self.mesh is None:
            return [value]
        values: list[Any] = [None] * self.layout.processes
        dist.all_gather_object(values, value, group=self.control)
        return values
