"""Communication between tensor-parallel ranks (Shoeybi et al. 2019, arXiv:1909.08053, section 3).

Each rank holds the whole residual stream and a part of each branch. A group of branches is entered
once (the identity, whose gradient is summed over the ranks) and left once (the sum of the ranks'
outputs, whose gradient is the identity). This takes one all-reduce in the forward pass and one in
the backward pass.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
import torch.distributed as dist
from torch import Tensor

from ablab.errors import UserError


@dataclass(frozen=True)
class Ranks:
    """One of the `size` ranks that together hold a model.

    `group` is their process group, or None where no communication takes place, as on the meta
    device.
    """

    rank: int = 0
    size: int = 1
    group: Any = None

    def part(self, count: int, what: str) -> slice:
        """Return the slice of `count` items that belongs to this rank. Raises UserError if they
        cannot be divided equally; `what` names the items in the message.
        """
        if count % self.size:
            fitting = max(size for size in range(1, min(self.size, count) + 1) if count % size == 0)
            raise UserError(
                f"a tensor size of {self.size} does not divide {what}, {count}: take "
                f"{fitting}, or a multiple of {self.size}"
            )
        each = count // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    def copy_to_region(self, x: Tensor) -> Tensor:
        """Return x unchanged; its gradient is summed over the ranks."""
        if self.size == 1:
            return x
        return _CopyToRegion.apply(x, self)  # pyright: ignore[reportReturnType]

    def reduce_from_region(self, x: Tensor) -> Tensor:
        """Return the sum of x over the ranks."""
        if self.size == 1:
            return x
        return _ReduceFromRegion.apply(x, self)  # pyright: ignore[reportReturnType]

    def once(self, x: Tensor) -> Tensor:
        """Return the contribution of a replicated x to a sum over the ranks, x / size."""
        if self.size == 1:
            return x
        return _PartialSum.apply(x, self)  # pyright: ignore[reportReturnType]

    def shared(self, *weights: Tensor) -> tuple[Tensor, ...]:
        """Return replicated weights that each rank uses only for its own part; their gradients are
        summed in one all-reduce.
        """
        if self.size == 1 or not weights:
            return weights
        return _SumGradients.apply(self, *weights)  # pyright: ignore[reportReturnType]

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Use a different random state on each rank within the context; afterwards all ranks
        continue from a common state, provided they had one before.
        """
        seed = int(torch.randint(1 << 62, ()))
        devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(seed + self.rank)
            yield

    def sum(self, x: Tensor) -> Tensor:
        """Return the sum over the ranks, without a gradient."""
        return x if self.size == 1 else self._reduced(x, dist.ReduceOp.SUM)

    def largest(self, x: Tensor) -> Tensor:
        """Return the elementwise maximum over the ranks, without a gradient."""
        return x if self.size == 1 else self._reduced(x, dist.ReduceOp.MAX)

    def all_gather(self, x: Tensor, dim: int) -> Tensor:
        """Concatenate the ranks' x along `dim`, without a gradient."""
        if self.size == 1:
            return x
        parts = [
            torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(self.size)
        ]
        dist.all_gather(parts, x.detach().contiguous(), group=self.group)
        return torch.cat(parts, dim)

    def _reduced(self, x: Tensor, how: Any) -> Tensor:
        y = x.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(y, how, group=self.group)
        return y


ALONE = Ranks()


@runtime_checkable
class Splittable(Protocol):
    """A branch that takes part in tensor parallelism; others are replicated on every rank."""

    def split(self, ranks: Ranks) -> None:
        """Keep the part of the branch that belongs to this rank."""
        ...


@runtime_checkable
class UsesRanks(Protocol):
    """A part of a model that communicates with the other ranks."""

    ranks: Ranks


class _CopyToRegion(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return ctx.ranks.sum(grads[0]), None


class _ReduceFromRegion(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, ranks: Ranks) -> Tensor:
        return ranks.sum(x)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0], None


class _PartialSum(torch.autograd.Function):
    """The gradient is passed through unscaled, as if x appeared once in the sum over the ranks."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ranks: Ranks) -> Tensor:
        return x / ranks.size

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0], None


class _SumGradients(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, ranks: Ranks, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.ranks = ranks
        return tuple(weight.view_as(weight) for weight in weights)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        flat = ctx.ranks.sum(torch.cat([grad.flatten() for grad in grads]))
        parts = flat.split([grad.numel() for grad in grads])
        return None, *(part.view_as(grad) for part, grad in zip(parts, grads, strict=True))
