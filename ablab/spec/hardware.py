"""The devices that a study's runs are trained on, and how processes share a run.

Results do not depend on them, except on the number of threads and, under a budget of seconds, on
the speed of the hardware.
"""

import os
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ablab.arch.composition.compose import Composite
from ablab.arch.decoder.decoder import on_meta
from ablab.arch.modules.ranks import Ranks
from ablab.errors import UserError
from ablab.spec.base import Config
from ablab.train.machine import cores, describe_machine
from ablab.train.parallel import ParallelLayout, Strategy

_BYTES_PER_PARAMETER = 16  # weight, gradient and AdamW's two moments in float32
# Each rank's part of the model is built to plan a study.
MAX_TENSOR = 64
_SHARE_OF_MEMORY = 0.6  # the rest is reserved for activations


class Hardware(Config):
    """The devices of a run, and how its processes share the work."""

    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    """The type of device; `auto` uses GPUs if there are any."""
    devices: Annotated[int, Field(ge=1, le=64)] = 1
    """Number of processes per node that share a run, each on a GPU, or on CPU cores if there is no
    GPU.
    """
    nodes: Annotated[int, Field(ge=1, le=1_024)] = 1
    """Number of nodes that share a run; `ablab run` is then started on each, by torchrun or srun,
    unless the engine starts the processes there.
    """
    strategy: Literal["auto", "ddp", "fsdp", "tensor"] = "auto"
    """How processes share a run; `auto` chooses `fsdp` if the model does not fit one device, `ddp`
    otherwise.
    """
    tensor: Annotated[int, Field(ge=1, le=MAX_TENSOR)] | None = None
    """Tensor-parallel size: the number of processes that share one copy of the model."""
    compile: bool = False
    """Whether to compile the blocks with torch.compile."""
    threads: Annotated[int, Field(ge=1, le=1_024)] = 1
    """CPU threads of each process of a run. Rounding depends on them, so they are part of a run's
    key and are not derived from the machine.
    """

    @model_validator(mode="after")
    def _sizes_fit(self) -> "Hardware":
        if self.tensor is not None and self.strategy not in ("auto", "tensor"):
            raise ValueError(f"tensor goes with strategy tensor, not {self.strategy}")
        if self.tensor_size > MAX_TENSOR:
            raise ValueError(
                f"{self.tensor_size} processes share one copy of the model: at most {MAX_TENSOR}"
            )
        if self.processes % self.tensor_size:
            fitting = [
                str(size) for size in range(1, self.processes + 1) if self.processes % size == 0
            ]
            raise ValueError(
                f"tensor {self.tensor_size} does not divide devices {self.processes}: take "
                f"{' or '.join(fitting)}"
            )
        return self

    @property
    def processes(self) -> int:
        """Number of processes that share a run."""
        return self.devices * self.nodes

    @property
    def tensor_size(self) -> int:
        """Number of processes that share one copy of the model."""
        if self.tensor is not None:
            return self.tensor
        return self.processes if self.strategy == "tensor" else 1

    def check(self, value: Composite) -> None:
        """Raise UserError for an arm that cannot be trained on these devices."""
        if self.tensor_size > 1:
            # Every rank, since a split may be impossible on one rank only.
            for rank in range(self.tensor_size):
                on_meta(value.arch).split(Ranks(rank, self.tensor_size))
        if self.processes > 1 and not value.recipe.optimizer.elementwise:
            strategy, _ = self._strategy(
                sum(weight.numel() for weight in on_meta(value.arch).parameters())
            )
            if strategy != "ddp":
                raise UserError(
                    f"{type(value.recipe.optimizer).__name__} needs whole weights, which "
                    f"strategy {strategy} shards: use strategy ddp, or another optimizer"
                )

    def layout(self, parameters: int, *, elsewhere: bool = False) -> tuple[ParallelLayout, str]:
        """Return how processes share a run, and the reason in words.

        `parameters`: the size of the largest model. Raises UserError if this machine has too few
        devices, unless the runs are trained `elsewhere`.
        """
        if not elsewhere:
            self._require_devices()
        strategy, reason = self._strategy(parameters)
        replicas = self.processes // self.tensor_size
        return ParallelLayout(strategy, replicas, self.tensor_size, self.nodes), reason

    def _strategy(self, parameters: int) -> tuple[Strategy, str]:
        if self.processes == 1:
            return "single", "one device"
        if self.tensor_size > 1:
            return "tensor", "as asked" if self.strategy == "tensor" else f"tensor is {self.tensor}"
        if self.strategy in ("ddp", "fsdp"):
            return self.strategy, "as asked"
        if self.strategy == "tensor":
            return "ddp", "tensor is 1"
        state_bytes = parameters * _BYTES_PER_PARAMETER
        memory = self._memory()
        state = f"weights, gradients and optimizer state of {state_bytes / 1e6:.3g} MB"
        if memory is None or state_bytes <= _SHARE_OF_MEMORY * memory:
            return "ddp", f"{state} fit one device"
        return "fsdp", f"{state} do not fit one device"

    def _require_devices(self) -> None:
        available, unit = self._available()
        if self.devices > available:
            raise UserError(
                f"hardware.devices: {self.devices} are more than this machine has: "
                f"{available} {unit}"
            )

    def _available(self) -> tuple[int, str]:
        """Return the number of devices of this machine, and their unit."""
        gpus = self.gpus()
        if gpus:
            return len(gpus), "GPU(s)"
        if self.accelerator == "cuda":
            raise UserError(
                "hardware.accelerator: cuda: this machine has no GPU that torch can use; "
                "take cpu or auto"
            )
        return cores(), "CPU core(s)"

    def gpus(self) -> list[str]:
        """Return the GPUs that may be used, in the notation of CUDA_VISIBLE_DEVICES."""
        import torch

        if self.accelerator == "cpu" or not torch.cuda.is_available():
            return []
        count = torch.cuda.device_count()
        visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        return visible[:count] or [str(i) for i in range(count)]

    def _memory(self) -> int | None:
        """Return the memory of the first GPU in bytes; None without a GPU."""
        import torch

        return torch.cuda.get_device_properties(0).total_memory if self.gpus() else None

    def workers(self, requested: int | None, runs: int) -> int:
        """Return the number of worker processes for `runs` runs.

        It is the `requested` number, or as many as the devices suffice for, but at most one
        per run.
        """
        return max(1, min(requested or self._most_workers(), runs))

    def timed_workers(self, requested: int | None, runs: int) -> int:
        """Return the number of worker processes under a budget of seconds.

        Raises UserError if workers would share a device.
        """
        most = max(1, self._most_workers())
        if requested is not None and requested > most:
            raise UserError(
                f"--workers: {requested} would share devices, and under a budget of seconds a "
                f"run needs its own: {most} at most"
            )
        return max(1, min(requested or most, runs))

    def _most_workers(self) -> int:
        gpus = self.gpus()
        if gpus:
            return len(gpus) // self.devices
        return cores() // (self.devices * self.threads)

    def identity(self) -> tuple[str, str]:
        """Return the machine and the parallel layout, on which the speed of a run depends.

        They are part of a run's key under a budget of seconds.
        """
        import torch

        device = torch.cuda.get_device_name() if self.gpus() else "cpu"
        compiled = ", compiled" if self.compile else ""
        layout = (
            f"{self.devices} device(s) on {self.nodes} node(s), strategy {self.strategy}, tensor "
            f"{self.tensor_size}{compiled}"
        )
        return describe_machine(device, cores(), self.threads), layout

    def shares(self) -> list[str]:
        """Return the value of CUDA_VISIBLE_DEVICES for each worker.

        The list is empty if there are no GPUs and it need not be set.
        """
        gpus = self.gpus()
        if self.accelerator == "cpu":
            return [""]
        return [
            ",".join(gpus[i : i + self.devices])
            for i in range(0, len(gpus) - self.devices + 1, self.devices)
        ]
