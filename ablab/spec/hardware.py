"""On what a study's runs train: how many processes share a run, and how. But for the threads, the
numbers do not depend on it, unless the budget is of seconds.
"""

import os
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ablab.arch.composition.compose import Composite
from ablab.arch.decoder.decoder import on_meta
from ablab.arch.modules.ranks import Ranks
from ablab.errors import UserError
from ablab.spec.base import Config
from ablab.train.machine import cores, told
from ablab.train.parallel import ParallelLayout, Strategy

_BYTES_A_PARAMETER = 16  # weights, gradients and AdamW's two moments in float32
_SHARE_OF_MEMORY = 0.6  # the rest is for activations


class Hardware(Config):
    """On what each run trains. `devices`: how many processes of a node share it, each on a GPU, or
    on CPU cores where there is none. `nodes`: over how many nodes; `ablab run` is then started on
    each, by torchrun or srun. `strategy`: how they do; `auto` picks and says what. `tensor`: how
    many of them hold the model together, each a part. `compile`: whether blocks are compiled by
    torch. `threads`: CPU threads of each process of a run. Rounding depends on them, so they are
    part of a run's key and do not follow from the machine.
    """

    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    devices: Annotated[int, Field(ge=1)] = 1
    nodes: Annotated[int, Field(ge=1)] = 1
    strategy: Literal["auto", "ddp", "fsdp", "tensor"] = "auto"
    tensor: Annotated[int, Field(ge=1)] | None = None
    compile: bool = False
    threads: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _sizes_fit(self) -> "Hardware":
        if self.tensor is not None and self.strategy not in ("auto", "tensor"):
            raise ValueError(f"tensor goes with strategy tensor, not {self.strategy}")
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
        """How many share a run."""
        return self.devices * self.nodes

    @property
    def tensor_size(self) -> int:
        """How many processes hold a model together."""
        return self.tensor or (self.processes if self.strategy == "tensor" else 1)

    def check(self, value: Composite) -> None:
        """Raises UserError for an arm that cannot be trained so."""
        if self.tensor_size > 1:
            for rank in range(self.tensor_size):  # one may lie across what the first does not meet
                on_meta(value.arch).split(Ranks(rank, self.tensor_size))
        if self.processes > 1 and not value.recipe.optimizer.elementwise:
            strategy, _ = self._strategy(
                sum(weight.numel() for weight in on_meta(value.arch).parameters())
            )
            if strategy != "ddp":
                raise UserError(
                    f"{type(value.recipe.optimizer).__name__} needs whole weights, which "
                    f"strategy {strategy} divides: take "
                    "strategy ddp, or another optimizer"
                )

    def layout(self, parameters: int) -> tuple[ParallelLayout, str]:
        """How a run of the largest model, of `parameters`, is shared, and why. Raises UserError for
        more than the machine has.
        """
        available, what = self._available()
        if self.devices > available:
            raise UserError(
                f"hardware.devices: {self.devices} are more than this machine has: "
                f"{available} {what}"
            )
        strategy, why = self._strategy(parameters)
        return ParallelLayout(
            strategy, self.processes // self.tensor_size, self.tensor_size, self.nodes
        ), why

    def _strategy(self, parameters: int) -> tuple[Strategy, str]:
        if self.processes == 1:
            return "single", "one device"
        if self.tensor_size > 1:
            return "tensor", "as asked" if self.strategy == "tensor" else f"tensor is {self.tensor}"
        if self.strategy in ("ddp", "fsdp"):
            return self.strategy, "as asked"
        if self.strategy == "tensor":
            return "ddp", "tensor is 1"
        need, memory = parameters * _BYTES_A_PARAMETER, self._memory()
        fits = memory is None or need <= _SHARE_OF_MEMORY * memory
        said = (
            f"weights, gradients and optimizer state of {need / 1e6:.3g} MB "
            f"{'fit' if fits else 'do not fit'} one device"
        )
        return ("ddp" if fits else "fsdp"), said

    def _available(self) -> tuple[int, str]:
        if gpus := self.gpus():
            return len(gpus), "GPU(s)"
        if self.accelerator == "cuda":
            raise UserError(
                "hardware.accelerator: cuda: this machine has no GPU that torch can use; "
                "take cpu or auto"
            )
        return cores(), "CPU core(s)"

    def gpus(self) -> list[str]:
        """The GPUs that may be used, as CUDA_VISIBLE_DEVICES names them."""
        import torch

        count = (
            torch.cuda.device_count()
            if self.accelerator != "cpu" and torch.cuda.is_available()
            else 0
        )
        given = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        return given[:count] or [str(i) for i in range(count)]

    def _memory(self) -> int | None:
        """Bytes on the first GPU."""
        import torch

        return torch.cuda.get_device_properties(0).total_memory if self.gpus() else None

    def workers(self, requested: int | None, runs: int) -> int:
        """How many worker processes train `runs` runs: those `requested`, else as many as the
        devices suffice for.
        """
        return max(1, min(requested or self._most_workers(), runs))

    def timed_workers(self, requested: int | None, runs: int) -> int:
        """The same under a budget of seconds. Raises UserError for workers that would share a
        device.
        """
        most = max(1, self._most_workers())
        if requested is not None and requested > most:
            raise UserError(
                f"--workers: {requested} would share devices, and under a budget of seconds a "
                f"run needs its own: {most} at most"
            )
        return max(1, min(requested or most, runs))

    def _most_workers(self) -> int:
        if gpus := len(self.gpus()):
            return gpus // self.devices
        return cores() // (self.devices * self.threads)

    def identity(self) -> tuple[str, str]:
        """What decides beside the recipe how far a run comes in a second: the machine, and how it
        is shared out.
        """
        import torch

        device = torch.cuda.get_device_name() if self.gpus() else "cpu"
        compiled = ", compiled" if self.compile else ""
        shared = (
            f"{self.devices} device(s) on {self.nodes} node(s), strategy {self.strategy}, tensor "
            f"{self.tensor_size}{compiled}"
        )
        return told(device, cores(), self.threads), shared

    def shares(self) -> list[str]:
        """The devices of each worker, as CUDA_VISIBLE_DEVICES names them; none where nothing is to
        be said.
        """
        gpus = self.gpus()
        if self.accelerator == "cpu":
            return [""]
        return [
            ",".join(gpus[i : i + self.devices])
            for i in range(0, len(gpus) - self.devices + 1, self.devices)
        ]
