"""Models that no process holds whole: split over tensor ranks by roles, sharded over data ranks by
FSDP2, whole in checkpoints.

A checkpoint is the one that a single process writes, whatever the layout, so that any layout goes
on from it.
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
    """Which part of each weight this process holds. `dims`: by name, the dimension that the tensor
    ranks share, if they do.
    """

    team: ParallelContext
    dims: Mapping[str, int | None]

    @classmethod
    def of(cls, model: Decoder, team: ParallelContext) -> "Parts":
        """Leaves in `model` what this process holds of it. Raises UserError where it cannot be
        split.
        """
        whole = {name: weight.shape for name, weight in model.named_parameters()}
        if team.layout.tensor > 1:
            model.split(team.ranks)
        dims = {
            name: _differing(whole[name], weight.shape) for name, weight in model.named_parameters()
        }
        if team.layout.sharded and team.layout.data > 1:
            assert team.mesh is not None
            for block in model.blocks:
                fully_shard(block, mesh=team.mesh["data"])
            fully_shard(model, mesh=team.mesh["data"])
            register_fsdp_forward_method(model, "loss")
        return cls(team, dims)

    def whole(self, name: str, part: Tensor) -> Tensor:
        """All of what `part` is this process's part of; every process asks for the same at the same
        time.
        """
        tensor, dim = part.detach(), self.dims[name]
        if isinstance(tensor, DTensor):
            tensor = tensor.full_tensor()
        return (tensor if dim is None else self.team.ranks.gathered(tensor, dim)).cpu()

    def part(self, name: str, whole: Tensor, like: Tensor) -> Tensor:
        """The process's part of `whole`, held as `like` is."""
        dim, ranks = self.dims[name], self.team.ranks
        own = whole if dim is None else whole.chunk(ranks.size, dim)[ranks.rank]
        own = own.to(device=like.device, dtype=like.dtype).contiguous()
        return (
            distribute_tensor(own, like.device_mesh, like.placements)
            if isinstance(like, DTensor)
            else own
        )

    def clip(self, weights: Iterable[tuple[str, nn.Parameter]], limit: float) -> None:
        """Scales all gradients so that the norm of the whole model's is at most `limit`."""
        grads = [(name, _local(weight.grad)) for name, weight in weights if weight.grad is not None]
        zero = torch.zeros((), dtype=grads[0][1].dtype, device=grads[0][1].device)
        split, whole = (
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
        squares = self.team.ranks.sum(split) + whole
        norm = self.team.sum(squares).sqrt() if self.team.layout.data > 1 else squares.sqrt()
        factor = (limit / (norm + 1e-6)).clamp(max=1.0)
        for _, grad in grads:
            grad.mul_(factor)


def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _differing(whole: torch.Size, part: torch.Size) -> int | None:
    return next((dim for dim, (a, b) in enumerate(zip(whole, part, strict=True)) if a != b), None)


class ShardedStrategy(ModelParallelStrategy):
    """Lightning's strategy for such models, with checkpoints as a single process writes them."""

    def __init__(self, parts: Parts, model: Decoder) -> None:
        layout = parts.team.layout
        super().__init__(data_parallel_size=layout.data, tensor_parallel_size=layout.tensor)
        self._parts, self._decoder = parts, model

    @property
    def lightning_restore_optimizer(self) -> bool:
        """Lightning asks for the optimizer's state to be restored, rather than leaving it to the
        loading.
        """
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """The weights, whole, by their names in the LightningModule."""
        return {
            f"model.{name}": self._parts.whole(name, weight)
            for name, weight in self._decoder.named_parameters()
        }

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """The optimizer's state, whole."""
        return self._mapped(
            optimizer,
            optimizer.state_dict(),
            lambda name, _, tensor: self._parts.whole(name, tensor),
        )

    def save_checkpoint(
        self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None
    ) -> None:
        """The main process writes; the others wait, so that none goes on with half a checkpoint
        behind it.
        """
        if self.is_global_zero:
            self.checkpoint_io.save_checkpoint(checkpoint, filepath)
        self.barrier()

    def load_checkpoint(
        self, checkpoint_path: Any, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """The checkpoint, whole, in every process."""
        return self.checkpoint_io.load_checkpoint(checkpoint_path)

    @torch.no_grad()
    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Takes this process's part of the weights."""
        for name, weight in self._decoder.named_parameters():
            weight.copy_(self._parts.part(name, checkpoint["state_dict"][f"model.{name}"], weight))

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Takes this process's part of the optimizers' state."""
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
        """An optimizer's state dict with `change(name, weight, tensor)` for every tensor that
        stands for a weight's elements.
        """
        names = {weight: name for name, weight in self._decoder.named_parameters()}
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        changed = {
            index: {
                key: change(names[weights[index]], weights[index], value)
                if torch.is_tensor(value) and value.ndim
                else value
                for key, value in kept.items()
            }
            for index, kept in state["state"].items()
        }
        return {**state, "state": changed}
