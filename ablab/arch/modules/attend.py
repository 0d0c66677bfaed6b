"""Attending: queries, keys and values in, a weighted sum out, for any pattern that depends on the
distance alone.
"""

from abc import abstractmethod
from copy import deepcopy
from math import inf

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablab.arch.modules.context import KVCache
from ablab.arch.value import Scores


class Attend(nn.Module):
    """Scaled-dot-product attention (Vaswani et al. 2017, equation 1) over the keys that a pattern
    lets a query see.

    q (batch, heads, time, head_dim), k and v (batch, kv heads, time, head_dim) -> (batch, heads,
    time, head_dim).
    """

    keep: int | None = None

    def __init__(self, scores: Scores) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.dropout = scores.heads, scores.kv_heads, scores.dropout
        self.bias = scores.bias

    @abstractmethod
    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """A whole sequence at once."""

    @abstractmethod
    def sees(self, distance: Tensor) -> Tensor:
        """Which distances (query's position less key's) a query sees: a boolean tensor of the same
        shape.
        """

    @abstractmethod
    def pairs(self, time: int) -> int:
        """How many (query, key) pairs all heads together attend to in a sequence of `time`
        tokens.
        """

    def computed_pairs(self, time: int) -> int:
        """How many (query, key) pairs all heads together compute in `forward`, those that the mask
        hides and the padding included: attention is charged for the share `pairs` of its FLOPs. To
        be overridden where `forward` does not compute all time × time.
        """
        return self.heads * time * time

    def step(self, q: Tensor, k: Tensor, v: Tensor, memory: KVCache) -> Tensor:
        """The next tokens of a sequence whose earlier keys and values are in `memory`; theirs are
        added.
        """
        keys, values = memory.append("k", k, self.keep), memory.append("v", v, self.keep)
        distance = distances(q.shape[2], keys.shape[2], q.device)
        mask = (
            None
            if q.shape[2] == 1 and self.bias is None and self.sees(distance).all()
            else self.mask(distance, q)
        )
        return self.weigh(q, keys, values, mask)

    def part(self, heads: slice, kv_heads: slice) -> nn.Module:
        """The same for some of the heads: those that a tensor-parallel rank has."""
        part = deepcopy(self)
        part.heads, part.kv_heads = heads.stop - heads.start, kv_heads.stop - kv_heads.start
        if self.bias is not None:
            part.bias = HeadsBias(self.bias, heads)
        return part

    def kept(self, time: int) -> int:
        """How many keys and values, over all kv heads, are kept after `time` tokens; each is a head
        dimension wide.
        """
        return 2 * self.kv_heads * (time if self.keep is None else min(time, self.keep))

    def mask(self, distance: Tensor, q: Tensor) -> Tensor:
        """What torch's attention takes for these distances (queries, keys): booleans, or scores to
        add for each head.
        """
        seen = self.sees(distance)
        return (
            seen if self.bias is None else self.bias(distance).to(q.dtype).masked_fill(~seen, -inf)
        )

    def weigh(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, *, causal: bool = False
    ) -> Tensor:
        """Torch's attention, the kv heads shared among the heads."""
        dropout = self.dropout if self.training else 0.0
        shared = q.shape[1] != k.shape[1]
        return F.scaled_dot_product_attention(q, k, v, mask, dropout, causal, enable_gqa=shared)


class HeadsBias(nn.Module):
    """The score bias of some of the heads."""

    def __init__(self, bias: nn.Module, heads: slice) -> None:
        super().__init__()
        self.bias, self.heads = bias, heads

    def forward(self, distance: Tensor) -> Tensor:
        """Distances (...) -> (heads, ...)."""
        return self.bias(distance)[self.heads]


def distances(queries: int, keys: int, device: torch.device) -> Tensor:
    """The distance from key to query (queries, keys), where the last query and the last key are the
    same token.
    """
    q = torch.arange(keys - queries, keys, device=device)
    return q.unsqueeze(1) - torch.arange(keys, device=device)


class Dense(Attend):
    """Every query sees itself and all keys before it."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """A whole sequence at once."""
        if self.bias is None:
            return self.weigh(q, k, v, None, causal=True)
        return self.weigh(q, k, v, self.mask(distances(q.shape[2], k.shape[2], q.device), q))

    def sees(self, distance: Tensor) -> Tensor:
        """All that is not ahead."""
        return distance >= 0

    def pairs(self, time: int) -> int:
        """T(T+1)/2 a head."""
        return self.heads * (time * (time + 1) // 2)
