"""Self-attention: projections, rotation of queries and keys, and the pattern of who sees whom, each a slot."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from ablab.arch.layers import Linear, fused
from ablab.arch.roles import Parallel
from ablab.arch.value import Branch, Pattern, Rotate, Site


class _Unrotated(nn.Module):
    def forward(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        return q, k


@dataclass(frozen=True)
class NoRotation(Rotate):
    """Queries and keys as they are."""

    def build(self, site: Site) -> nn.Module:
        """The identity on (q, k)."""
        return _Unrotated()


class _Causal(nn.Module):
    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        grouped = q.shape[1] != k.shape[1]
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=grouped)


@dataclass(frozen=True)
class Causal(Pattern):
    """Every query sees itself and all keys before it."""

    def build(self, site: Site) -> nn.Module:
        """Torch's scaled-dot-product attention with a causal mask."""
        return _Causal()

    def pairs(self, time: int) -> int:
        """T(T+1)/2."""
        return time * (time + 1) // 2


class SelfAttention(nn.Module):
    """Scaled-dot-product self-attention (Vaswani et al. 2017, section 3.2): (batch, time, width) -> the same."""

    def __init__(self, spec: "Attention", site: Site) -> None:
        super().__init__()
        dims, bias = site.dims, site.arch.bias
        self.heads, self.head_dim = dims.heads, dims.head_width
        self.kv_heads = spec.kv_heads or dims.heads
        self.pattern = spec.pattern
        inner, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        self.q = Linear((dims.width, inner), Parallel.COLUMN, bias)
        self.k = Linear((dims.width, kv), Parallel.COLUMN, bias)
        self.v = Linear((dims.width, kv), Parallel.COLUMN, bias)
        self.o = Linear((inner, dims.width), Parallel.ROW, bias, writes_stream=True)
        self.rotate = spec.rotate.build(site)
        self.attend = spec.pattern.build(site)

    def forward(self, x: Tensor) -> Tensor:
        """X (batch, time, width) -> (batch, time, width)."""
        # (batch, time, heads × head_dim) -> (batch, heads, time, head_dim)
        q, k, v = (y.unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for y in fused(x, self.q, self.k, self.v))
        q, k = self.rotate(q, k)
        y = self.attend(q, k, v)
        return self.o(y.transpose(1, 2).flatten(-2))

    def attention_flops(self, time: int) -> int:
        """Forward FLOPs of scores and weighted sum over one sequence: 2 matmuls × 2 FLOPs for each pair attended to."""
        return 4 * self.pattern.pairs(time) * self.heads * self.head_dim

    def cache_values_per_token(self) -> int:
        """How many numbers a decoding cache keeps for each token: a key and a value for each kv head."""
        return 2 * self.kv_heads * self.head_dim


@dataclass(frozen=True)
class Attention(Branch):
    """Self-attention. `kv_heads` None: as many as heads."""

    kv_heads: int | None = None
    rotate: Rotate = NoRotation()
    pattern: Pattern = Causal()

    def build(self, site: Site) -> nn.Module:
        """The module for this layer."""
        return SelfAttention(self, site)
