"""Models that no process holds completely: split over tensor ranks by weight roles and sharded over
data ranks by FSDP2.

Checkpoints are the same as those of a single process, so that a run can resume on any layout.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from ablab.arch.decoder.decoder import Decoder
from ablab.train.parallel import ParallelContext


@dataclass(frozen=True)
class Parts:
    """The part of each weight that this process holds. `dims` is the dimension that is split over
    tensor ranks, by weight name (None: not split).
    """

    parallel: ParallelContext
    dims: Mapping[str, int | None]

    @classmethod
    def of(cls, model: Decoder, parallel: ParallelContext) -> "Parts":
        """Reduce `model` to the part of this process. Raises UserError if it cannot be split."""
        shapes = {name: weight.shape for name, weight in model.named_parameters()}
        if parallel.layout.tensor > 1:
            model.split(parallel.ranks)
        dims = {
            name: _differing(shapes[name], weight.shape)
            for name, weight in model.named_parameters()
        }
        if parallel.layout.sharded and parallel.layout.data > 1:
            assert parallel.mesh is not None
            for block in model.blocks:
                fully_shard(block, mesh=parallel.mesh["data"])
            fully_shard(model, mesh=parallel.mesh["data"])
            register_fsdp_forward_method(model, "loss")
        return cls(parallel, dims)

    def gather(self, name: str, part: Tensor) -> Tensor:
        """Return the complete tensor of which `part` is this process's part. All processes must
        call this in the same order.
        """
        tensor = part.detach()
        dim = self.dims[name]
        if isinstance(tensor, DTensor):
            tensor = tensor.full_tensor()
        return (tensor if dim is None else self.parallel.ranks.all_gather(tensor, dim)).cpu()

    def part(self, name: str, full: Tensor, like: Tensor) -> Tensor:
        """Return this process's part of `full`, with the device, dtype and placement of `like`."""
        dim = self.dims[name]
        ranks = self.parallel.ranks
        part = full if dim is None else full.chunk(ranks.size, dim)[ranks.rank]
        part = part.to(device=like.device, dtype=like.dtype).contiguous()
        return (
            distribute_tensor(part, like.device_mesh, like.placements)
            if isinstance(like, DTensor)
            else part
        )

    def clip(self, weights: Iterable[tuple[str, nn.Parameter]], limit: float) -> None:
        """Scale all gradients so that the norm of the complete model's gradient is at most
        `limit`.
        """
        grads = [(name, _local(weight.grad)) for name, weight in weights if weight.grad is not None]
        zero = torch.zeros((), dtype=grads[0][1].dtype, device=grads[0][1].device)
        split, replicated = (
            torch.stack(
                [
                    zero,
                    *(
                        g.square().sum()
                        for name, g in grads
                        if (self.dims[name] is None) is unsplit
                    ),
                ]
            ).sum()
            for unsplit in (False, True)
        )
        squares = self.parallel.ranks.sum(split) + replicated
        norm = (
            self.parallel.sum(squares).sqrt() if self.parallel.layout.data > 1 else squares.sqrt()
        )
        factor = (limit / (norm + 1e-6)).clamp(max=1.0)
        for _, grad in grads:
            grad.mul_(factor)


def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _differing(full: torch.Size, part: torch.Size) -> int | None:
    return next((dim for dim, (a, b) in enumerate(zip(full, part, strict=True)) if a != b), None)


class ShardedStrategy(ModelParallelStrategy):
    """Lightning's strategy for sharded models, with single-process checkpoints."""

    def __init__(self, parts: Parts, model: Decoder) -> None:
        layout = parts.parallel.layout
        super().__init__(data_parallel_size=layout.data, tensor_parallel_size=layout.tensor)
        self._parts = parts
        self._decoder = model

    @property
    def lightning_restore_optimizer(self) -> bool:
        """True: Lightning must call `load_optimizer_state_dict`."""
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Return the complete weights by their names in the LightningModule."""
        return {
            f"model.{name}": self._parts.gather(name, weight)
            for name, weight in self._decoder.named_parameters()
        }

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return the complete state of the optimizer."""
        return self._mapped(
            optimizer,
            optimizer.state_dict(),
            lambda name, _, tensor: self._parts.gather(name, tensor),
        )

    def save_checkpoint(
        self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None
    ) -> None:
        """Write the checkpoint in the main process, while the others wait for it to be complete."""
        if self.is_global_zero:
            self.checkpoint_io.save_checkpoint(checkpoint, filepath, storage_options)
        self.barrier()

    def load_checkpoint(
        self, checkpoint_path: Any, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Load the complete checkpoint in every process."""
        return self.checkpoint_io.load_checkpoint(checkpoint_path)

    @torch.no_grad()
    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Load this process's part of the weights."""
        for name, weight in self._decoder.named_parameters():
            weight.copy_(self._parts.part(name, checkpoint["state_dict"][f"model.{name}"], weight))

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Load this process's part of the optimizer state."""
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            optimizer.load_state_dict(
                self._mapped(
                    optimizer,
                    state,
                    lambda name, like, tensor: self._parts.part(name, tensor, like),
                )
            )

    def _mapped(
        self,
        optimizer: Optimizer,
        state: dict[str, Any],
        change: Callable[[str, Tensor, Tensor], Tensor],
    ) -> dict[str, Any]:
        """Return an optimizer's state dict with `change(name, weight, tensor)` applied to every
        tensor that corresponds to the elements of a weight.
        """
        names = {weight: name for name, weight in self._decoder.named_parameters()}
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        changed = {
            index: {
                key: change(names[weights[index]], weights[index], value)
                if torch.is_tensor(value) and value.ndim
                else value
                for key, value in values.items()
            }
            for index, values in state["state"].items()
        }
        return {**state, "state": changed}
