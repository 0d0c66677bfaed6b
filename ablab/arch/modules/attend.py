"""Attention over keys selected by a pattern that depends only on the distance from query to key."""

from abc import abstractmethod
from copy import deepcopy
from math import inf
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablab.arch.modules.context import KVCache
from ablab.arch.slots import Scores


class AttentionModule(Protocol):
    """What `SelfAttention` requires of the module that a pattern builds.

    q is `(batch, heads, time, head_dim)`, k and v are `(batch, kv_heads, time, head_dim)`, and
    outputs have the shape of q.
    """

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend within a complete sequence."""
        ...

    def step(self, q: Tensor, k: Tensor, v: Tensor, memory: KVCache) -> Tensor:
        """Attend from the next tokens to the cached ones, and append them to the cache."""
        ...

    def part(self, heads: slice, kv_heads: slice) -> nn.Module:
        """Return the module for a subset of the heads."""
        ...

    def cached_vectors(self, time: int) -> int:
        """Return the number of key and value vectors that are cached after `time` tokens."""
        ...


class Attend(nn.Module):
    """Scaled dot-product attention (Vaswani et al. 2017, equation 1) over the keys that a pattern
    makes visible.

    Inputs are q `(batch, heads, time, head_dim)` and k, v `(batch, kv_heads, time, head_dim)`; the
    output has the shape of q. `keep` is the number of past keys and values that decoding needs;
    None means all of them. `sees_past` states that every query sees all earlier keys, so that
    decoding a token needs no mask.
    """

    keep: int | None = None
    sees_past: bool = False

    def __init__(self, scores: Scores) -> None:
        super().__init__()
        self.heads = scores.heads
        self.kv_heads = scores.kv_heads
        self.dropout = scores.dropout
        self.bias = scores.bias

    @abstractmethod
    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend within a complete sequence."""

    @abstractmethod
    def sees(self, distance: Tensor) -> Tensor:
        """Return which distances (query position minus key position) are visible, as a boolean
        tensor of the same shape.
        """

    @abstractmethod
    def pairs(self, time: int) -> int:
        """Return the number of (query, key) pairs attended to by all heads in a sequence of `time`
        tokens.
        """

    def computed_pairs(self, time: int) -> int:
        """Return the number of (query, key) pairs that `forward` computes over all heads, including
        masked pairs and padding.

        Attention is charged for the fraction `pairs` / `computed_pairs` of its FLOPs. Override this
        if `forward` does not compute all time × time pairs.
        """
        return self.heads * time * time

    def step(self, q: Tensor, k: Tensor, v: Tensor, memory: KVCache) -> Tensor:
        """Attend from the next tokens of a sequence to the keys and values cached in `memory`, and
        append theirs to the cache.
        """
        keys = memory.append("k", k, self.keep)
        values = memory.append("v", v, self.keep)
        unbiased_token = q.shape[2] == 1 and self.bias is None
        if unbiased_token and self.sees_past:
            return self.weigh(q, keys, values, None)
        distance = distances(q.shape[2], keys.shape[2], q.device)  # (queries, keys)
        if unbiased_token and self.sees(distance).all():
            return self.weigh(q, keys, values, None)  # an unmasked call is faster
        return self.weigh(q, keys, values, self.mask(distance, q))

    def part(self, heads: slice, kv_heads: slice) -> nn.Module:
        """Return this attention restricted to the given heads, for one tensor-parallel rank."""
        part = deepcopy(self)
        part.heads = heads.stop - heads.start
        part.kv_heads = kv_heads.stop - kv_heads.start
        if self.bias is not None:
            part.bias = HeadsBias(self.bias, heads)
        return part

    def cached_vectors(self, time: int) -> int:
        """Return how many key and value vectors, over all kv heads, are cached after `time` tokens.
        Each vector has `head_dim` elements.
        """
        return 2 * self.kv_heads * (time if self.keep is None else min(time, self.keep))

    def mask(self, distance: Tensor, q: Tensor) -> Tensor:
        """Return the mask for `scaled_dot_product_attention`, given distances `(queries, keys)`.

        The mask is boolean `(queries, keys)`, or an additive bias `(heads, queries, keys)` where
        there is a score bias.
        """
        visible = self.sees(distance)
        if self.bias is None:
            return visible
        return self.bias(distance).to(q.dtype).masked_fill(~visible, -inf)

    def weigh(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, *, causal: bool = False
    ) -> Tensor:
        """Call `scaled_dot_product_attention`, sharing each kv head among its group of heads."""
        dropout = self.dropout if self.training else 0.0
        enable_gqa = q.shape[1] != k.shape[1]
        return F.scaled_dot_product_attention(q, k, v, mask, dropout, causal, enable_gqa=enable_gqa)


class HeadsBias(nn.Module):
    """The score bias of a subset of the heads."""

    def __init__(self, bias: nn.Module, heads: slice) -> None:
        super().__init__()
        self.bias = bias
        self.heads = heads

    def forward(self, distance: Tensor) -> Tensor:
        """Map distances `(...)` to biases `(heads, ...)`."""
        return self.bias(distance)[self.heads]


def distances(queries: int, keys: int, device: torch.device) -> Tensor:
    """Return the distances from key to query, `(queries, keys)`. The last query and the last key
    are the same token.
    """
    q = torch.arange(keys - queries, keys, device=device)
    return q.unsqueeze(1) - torch.arange(keys, device=device)


class Dense(Attend):
    """Dense causal attention: each query sees itself and all earlier keys."""

    sees_past = True

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend within a complete sequence."""
        if self.bias is None:
            return self.weigh(q, k, v, None, causal=True)
        return self.weigh(q, k, v, self.mask(distances(q.shape[2], k.shape[2], q.device), q))

    def sees(self, distance: Tensor) -> Tensor:
        """Every key that is not in the future is visible."""
        return distance >= 0

    def pairs(self, time: int) -> int:
        """Return heads × T(T + 1) / 2 for T = `time`."""
        return self.heads * (time * (time + 1) // 2)
