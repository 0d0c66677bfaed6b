"""Self-attention: projections, norms and rotation of queries and keys, and the pattern of who sees
whom, each a slot.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ablab.arch.modules.attend import Dense
from ablab.arch.modules.banded import Local, LocalAndStrided
from ablab.arch.modules.context import ForwardContext
from ablab.arch.modules.layers import NoNorm
from ablab.arch.modules.linear import Linear, fused
from ablab.arch.modules.ranks import Ranks
from ablab.arch.roles import Parallel
from ablab.arch.value import Branch, BuildContext, Norm, Pattern, Rotate, ScoreBias, Scores
from ablab.errors import UserError


class _Unrotated(nn.Module):
    def forward(self, q: Tensor, k: Tensor, start: int = 0) -> tuple[Tensor, Tensor]:
        return q, k


@dataclass(frozen=True)
class NoRotation(Rotate):
    """Queries and keys as they are."""

    def build(self, site: BuildContext) -> nn.Module:
        """The identity on (q, k)."""
        return _Unrotated()


@dataclass(frozen=True)
class NoScoreBias(ScoreBias):
    """Nothing is added to the scores."""

    def build(self, site: BuildContext) -> None:
        """Nothing."""
        return


@dataclass(frozen=True)
class Causal(Pattern):
    """Every query sees itself and all keys before it."""

    def build(self, scores: Scores) -> nn.Module:
        """Dense causal attention."""
        return Dense(scores)


@dataclass(frozen=True)
class Banded(Pattern):
    """A query sees itself and the `band` − 1 keys before it; `strided`: half the heads see every
    `band`-th key instead.
    """

    band: int
    strided: bool = False

    def build(self, scores: Scores) -> nn.Module:
        """Banded attention in linear time. Raises UserError for strided attention with heads that
        cannot be halved.
        """
        return LocalAndStrided(scores, self.band) if self.strided else Local(scores, self.band)


class SelfAttention(nn.Module):
    """Scaled-dot-product self-attention (Vaswani et al. 2017, section 3.2): (batch, time, width) ->
    the same.
    """

    def __init__(self, spec: "Attention", site: BuildContext) -> None:
        super().__init__()
        dims, bias = site.dims, site.arch.bias
        heads, self.head_dim = dims.heads, dims.head_width
        kv_heads = spec.kv_heads or heads
        self.heads, self.kv_heads = heads, kv_heads
        self._kv_used: slice | list[int] | None = None
        if heads % kv_heads:
            raise UserError(
                f"{kv_heads} kv heads do not divide {heads} heads: take a divisor of {heads}"
            )
        self.q = Linear((dims.width, heads * self.head_dim), Parallel.COLUMN, bias)
        self.k = Linear((dims.width, kv_heads * self.head_dim), Parallel.COLUMN, bias)
        self.v = Linear((dims.width, kv_heads * self.head_dim), Parallel.COLUMN, bias)
        self.o = Linear((heads * self.head_dim, dims.width), Parallel.ROW, bias, writes_stream=True)
        self.q_norm, self.k_norm = (spec.qk_norm.build(site, self.head_dim) for _ in range(2))
        self.rotate = spec.rotate.build(site)
        self.attend = spec.pattern.build(
            Scores(heads, kv_heads, spec.score_bias.build(site), site.arch.dropout)
        )

    def forward(self, x: Tensor, flow: ForwardContext | None = None) -> Tensor:
        """X (batch, time, width) -> (batch, time, width)."""
        return self.mix(self.project(x), flow or ForwardContext())

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """X (batch, time, width) -> queries (batch, heads, time, head_dim), keys and values (batch,
        kv heads, …).
        """
        # (batch, time, heads × head_dim) -> (batch, heads, time, head_dim)
        q, k, v = (
            y.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for y in fused(x, self.q, self.k, self.v)
        )
        return (q, k, v) if self._kv_used is None else (q, k[:, self._kv_used], v[:, self._kv_used])

    def mix(self, projected: tuple[Tensor, Tensor, Tensor], flow: ForwardContext) -> Tensor:
        """Norms and turns queries and keys, attends, and projects back: -> (batch, time, width)."""
        q, k, v = projected
        q, k = self.rotate(self.q_norm(q), self.k_norm(k), flow.start)
        attend: Any = self.attend
        y = attend(q, k, v) if flow.memory is None else attend.step(q, k, v, flow.memory)
        return self.o(y.transpose(1, 2).flatten(-2))

    def split(self, ranks: Ranks) -> None:
        """Keeps this rank's heads. Kv heads that the ranks cannot share out stay whole: a rank uses
        those of its heads. Raises UserError where the ranks cannot have as many heads each.
        """
        own, kv = ranks.part(self.heads, "the heads"), slice(0, self.kv_heads)
        parts: list[Linear] = [self.q, self.o]
        if self.kv_heads % ranks.size == 0:
            kv = ranks.part(self.kv_heads, "the kv heads")
            parts += [self.k, self.v]
        else:
            of_head = [head * self.kv_heads // self.heads for head in range(own.start, own.stop)]
            distinct = sorted(set(of_head))
            even = len({of_head.count(head) for head in distinct}) == 1
            self._kv_used = slice(distinct[0], distinct[-1] + 1) if even else of_head
            kv = self._kv_used if isinstance(self._kv_used, slice) else own
        for part in parts:
            part.split(ranks)
        attend: Any = self.attend
        self.attend = attend.part(own, kv)
        self.heads, self.kv_heads = own.stop - own.start, kv.stop - kv.start

    def cache_values(self, time: int) -> int:
        """How many numbers a decoding cache holds after `time` tokens: kv heads only, and only the
        band if there is one.
        """
        attend: Any = self.attend
        return attend.kept(time) * self.head_dim


@dataclass(frozen=True)
class Attention(Branch):
    """Self-attention. `kv_heads` None: as many as heads."""

    kv_heads: int | None = None
    qk_norm: Norm = NoNorm()
    rotate: Rotate = NoRotation()
    score_bias: ScoreBias = NoScoreBias()
    pattern: Pattern = Causal()

    def build(self, site: BuildContext) -> nn.Module:
        """The module for this layer. Raises UserError for kv heads that don't divide the heads."""
        return SelfAttention(self, site)
