"""Self-attention. The norms and the rotation of queries and keys, the score bias and the attention
pattern are slots.
"""

from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn

from ablab.arch.modules.attend import AttentionModule, Dense
from ablab.arch.modules.banded import Local, LocalAndStrided
from ablab.arch.modules.context import ContextModule, ForwardContext
from ablab.arch.modules.layers import NoNorm
from ablab.arch.modules.linear import Linear, fused
from ablab.arch.modules.ranks import Ranks
from ablab.arch.roles import Parallel
from ablab.arch.slots import Pattern, Scores
from ablab.arch.value import Branch, BuildContext, Norm, Rotate, ScoreBias
from ablab.errors import UserError


class _Unrotated(nn.Module):
    def forward(self, q: Tensor, k: Tensor, start: int = 0) -> tuple[Tensor, Tensor]:
        return q, k


@dataclass(frozen=True)
class NoRotation(Rotate):
    """No rotation of queries and keys."""

    def build(self, site: BuildContext) -> nn.Module:
        """Return the identity on (q, k)."""
        return _Unrotated()


@dataclass(frozen=True)
class NoScoreBias(ScoreBias):
    """No bias on the attention scores."""

    def build(self, site: BuildContext) -> None:
        """Return None: nothing is added."""
        return


@dataclass(frozen=True)
class Causal(Pattern):
    """Dense causal attention: each query sees itself and all earlier keys."""

    def build(self, scores: Scores) -> nn.Module:
        """Return dense causal attention."""
        return Dense(scores)


@dataclass(frozen=True)
class Banded(Pattern):
    """Banded causal attention: each query sees itself and the `band` − 1 keys before it.

    With `strided`, half of the heads see every `band`-th earlier key instead.
    """

    band: int
    strided: bool = False

    def build(self, scores: Scores) -> nn.Module:
        """Return banded attention, whose time is linear in the sequence length.

        Raises UserError if `strided` is set and the heads cannot be divided into two halves.
        """
        return LocalAndStrided(scores, self.band) if self.strided else Local(scores, self.band)


class SelfAttention(ContextModule):
    """Multi-head self-attention (Vaswani et al. 2017, section 3.2): `(batch, time, width)` to the
    same shape.
    """

    def __init__(self, spec: "Attention", site: BuildContext) -> None:
        super().__init__()
        dims = site.dims
        bias = site.arch.bias
        heads = dims.heads
        kv_heads = spec.kv_heads or heads
        self.head_dim = dims.head_width
        self.heads = heads
        self.kv_heads = kv_heads
        self._kv_used: slice | list[int] | None = None
        if heads % kv_heads:
            raise UserError(
                f"{kv_heads} kv heads do not divide {heads} heads: take a divisor of {heads}"
            )
        self.q = Linear((dims.width, heads * self.head_dim), Parallel.COLUMN, bias)
        self.k = Linear((dims.width, kv_heads * self.head_dim), Parallel.COLUMN, bias)
        self.v = Linear((dims.width, kv_heads * self.head_dim), Parallel.COLUMN, bias)
        self.o = Linear((heads * self.head_dim, dims.width), Parallel.ROW, bias, writes_stream=True)
        self.q_norm = spec.qk_norm.build(site, self.head_dim)
        self.k_norm = spec.qk_norm.build(site, self.head_dim)
        self.rotate = spec.rotate.build(site)
        self.attend = spec.pattern.build(
            Scores(heads, kv_heads, spec.score_bias.build(site), site.arch.dropout)
        )

    @property
    def _pattern(self) -> AttentionModule:
        return cast(AttentionModule, self.attend)  # slots are typed as building plain modules

    def forward(self, x: Tensor, flow: ForwardContext | None = None) -> Tensor:
        """Map x `(batch, time, width)` to the same shape."""
        return self.mix(self.project(x), flow or ForwardContext())

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Project x `(batch, time, width)` to q `(batch, heads, time, head_dim)` and k, v `(batch,
        kv_heads, time, head_dim)`.
        """
        # (batch, time, heads × head_dim) -> (batch, heads, time, head_dim)
        q, k, v = (
            y.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for y in fused(x, self.q, self.k, self.v)
        )
        if self._kv_used is None:
            return q, k, v
        return q, k[:, self._kv_used], v[:, self._kv_used]

    def mix(self, projected: tuple[Tensor, Tensor, Tensor], flow: ForwardContext) -> Tensor:
        """Normalise and rotate queries and keys, attend, and project back to `(batch, time,
        width)`.
        """
        q, k, v = projected
        q, k = self.rotate(self.q_norm(q), self.k_norm(k), flow.start)
        if flow.memory is None:
            y = self.attend(q, k, v)
        else:
            y = self._pattern.step(q, k, v, flow.memory)
        # (batch, heads, time, head_dim) -> (batch, time, heads × head_dim)
        return self.o(y.transpose(1, 2).flatten(-2))

    def split(self, ranks: Ranks) -> None:
        """Keep the heads of this tensor-parallel rank.

        Kv heads that cannot be divided among the ranks are replicated, and each rank uses those of
        its own heads. Raises UserError if the heads cannot be divided equally.
        """
        heads = ranks.part(self.heads, "the heads")
        parts: list[Linear] = [self.q, self.o]
        if self.kv_heads % ranks.size == 0:
            kv = ranks.part(self.kv_heads, "the kv heads")
            parts += [self.k, self.v]
        else:
            of_head = [
                head * self.kv_heads // self.heads for head in range(heads.start, heads.stop)
            ]
            distinct = sorted(set(of_head))
            even = len({of_head.count(head) for head in distinct}) == 1
            self._kv_used = slice(distinct[0], distinct[-1] + 1) if even else of_head
            kv = self._kv_used if isinstance(self._kv_used, slice) else heads
        for part in parts:
            part.split(ranks)
        self.attend = self._pattern.part(heads, kv)
        self.heads = heads.stop - heads.start
        self.kv_heads = kv.stop - kv.start

    def cache_values(self, time: int) -> int:
        """Return how many values the decoding cache holds after `time` tokens. Only kv heads are
        cached, and only the last `band` tokens of a banded pattern.
        """
        return self._pattern.cached_vectors(time) * self.head_dim


@dataclass(frozen=True)
class Attention(Branch):
    """Multi-head self-attention. `kv_heads` defaults to the number of heads."""

    kv_heads: int | None = None
    qk_norm: Norm = NoNorm()
    rotate: Rotate = NoRotation()
    score_bias: ScoreBias = NoScoreBias()
    pattern: Pattern = Causal()

    def build(self, site: BuildContext) -> nn.Module:
        """Return the module for this layer. Raises UserError if `kv_heads` does not divide the
        number of heads.
        """
        return SelfAttention(self, site)
