"""What a model says to its tensor-parallel ranks (Shoeybi et al. 2019, arXiv:1909.08053, section
3).

Every rank holds the whole residual stream and a part of each branch. A group of branches is entered
once (the identity; its gradient is summed over the ranks) and left once (the sum of the ranks'
parts; its gradient is the identity): one all-reduce forward, one backward.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ablab.errors import UserError


@dataclass(frozen=True)
class Ranks:
    """One of `size` ranks that hold a model together. `group`: their process group; None where
    nothing is ever said, as on the meta device.
    """

    rank: int = 0
    size: int = 1
    group: Any = None

    def part(self, count: int, what: str) -> slice:
        """The rank's own share of `count` things. Raises UserError where the ranks cannot have
        equal shares.
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
        """X, the same on every rank; what the ranks do with it gives one gradient, their sum."""
        return x if self.size == 1 else _Enter.apply(x, self)  # pyright: ignore[reportReturnType]

    def reduce_from_region(self, x: Tensor) -> Tensor:
        """The sum of the ranks' x, on every rank."""
        return x if self.size == 1 else _Leave.apply(x, self)  # pyright: ignore[reportReturnType]

    def once(self, x: Tensor) -> Tensor:
        """X, whole on every rank, as its part of a sum over the ranks."""
        return x if self.size == 1 else _Once.apply(x, self)  # pyright: ignore[reportReturnType]

    def shared(self, *weights: Tensor) -> tuple[Tensor, ...]:
        """Weights that every rank holds whole and uses for its part alone: their gradients are
        summed, in one all-reduce.
        """
        return weights if self.size == 1 or not weights else _Shared.apply(self, *weights)  # pyright: ignore[reportReturnType]

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """What is drawn within differs from rank to rank; what is drawn after it does not, if
        nothing before it did.
        """
        seed = int(torch.randint(1 << 62, ()))
        devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(seed + self.rank)
            yield

    def sum(self, x: Tensor) -> Tensor:
        """The sum over the ranks, without a gradient."""
        return x if self.size == 1 else self._reduced(x, dist.ReduceOp.SUM)

    def largest(self, x: Tensor) -> Tensor:
        """The elementwise maximum over the ranks, without a gradient."""
        return x if self.size == 1 else self._reduced(x, dist.ReduceOp.MAX)

    def gathered(self, x: Tensor, dim: int) -> Tensor:
        """The ranks' x, one after another along `dim`, without a gradient."""
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


class _Enter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return ctx.ranks.sum(grads[0]), None


class _Leave(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, ranks: Ranks) -> Tensor:
        return ranks.sum(x)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0], None


class _Once(torch.autograd.Function):
    """The sum over the ranks depends on x as if it stood there once: the gradient is the sum's own,
    on every rank.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, ranks: Ranks) -> Tensor:
        return x / ranks.size

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0], None


class _Shared(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, ranks: Ranks, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.ranks = ranks
        return tuple(weight.view_as(weight) for weight in weights)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        flat = ctx.ranks.sum(torch.cat([grad.flatten() for grad in grads]))
        parts = flat.split([grad.numel() for grad in grads])
        return None, *(part.view_as(grad) for part, grad in zip(parts, grads, strict=True))
