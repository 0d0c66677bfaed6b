"""Sparse attention whose time and memory follow the pairs it attends to, by chunks through torch's
own attention.

A band is cut into chunks: each chunk of queries sees its own keys and those of the chunk before, in
one call of `scaled_dot_product_attention` under a mask, on every device.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablab.arch.modules.attend import Attend, HeadsBias, distances
from ablab.arch.modules.context import KVCache
from ablab.arch.value import Scores
from ablab.errors import UserError

_SMALLEST_CHUNK = 32


class Local(Attend):
    """A query sees itself and the `band` − 1 keys before it (Child et al. 2019, arXiv:1904.10509;
    Beltagy et al. 2020).
    """

    def __init__(self, scores: Scores, band: int) -> None:
        super().__init__(scores)
        self.band, self.chunk, self.keep = band, max(band, _SMALLEST_CHUNK), band - 1

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """A whole sequence at once; time and memory grow with time × band."""
        time, chunk = q.shape[2], self.chunk
        queries, keys, values = (x[:, :, :chunk] for x in (q, k, v))
        first = self.weigh(
            queries,
            keys,
            values,
            self.mask(distances(queries.shape[2], keys.shape[2], q.device), q),
        )
        if time <= chunk:
            return first
        pad = -time % chunk
        q, k, v = (F.pad(x, (0, 0, 0, pad)) for x in (q, k, v))
        queries = _fold(q[:, :, chunk:].unflatten(2, (-1, chunk)))
        keys, values = (_fold(self._with_previous(x.unflatten(2, (-1, chunk)))) for x in (k, v))
        rest = self.weigh(
            queries, keys, values, self.mask(distances(chunk, 2 * chunk, q.device), q)
        )
        # (batch × chunks, heads, chunk, dim) -> (batch, heads, chunks × chunk, dim)
        rest = rest.unflatten(0, (q.shape[0], -1)).transpose(1, 2).flatten(2, 3)
        return torch.cat((first, rest), dim=2)[:, :, :time]

    @staticmethod
    def _with_previous(x: Tensor) -> Tensor:
        """Chunks (batch, heads, chunks, chunk, dim) -> each but the first with the one before it in
        front.
        """
        return torch.cat((x[:, :, :-1], x[:, :, 1:]), dim=3)

    def sees(self, distance: Tensor) -> Tensor:
        """Distances below the band."""
        return (distance >= 0) & (distance < self.band)

    def pairs(self, time: int) -> int:
        """The first `band` queries see themselves and all before; the others see `band` keys."""
        full = min(self.band, time)
        return self.heads * (full * (full + 1) // 2 + (time - full) * self.band)

    def computed_pairs(self, time: int) -> int:
        """The first chunk of queries meets its own keys, each later one those of two chunks."""
        first, later = min(time, self.chunk), -(-time // self.chunk) - 1
        return self.heads * (first**2 + max(0, later) * 2 * self.chunk**2)


class Strided(Attend):
    """A query sees itself and every `stride`-th key before it."""

    def __init__(self, scores: Scores, stride: int) -> None:
        super().__init__(scores)
        self.stride = stride

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """A whole sequence at once: positions of the same residue attend densely among
        themselves.
        """
        time, stride = q.shape[2], self.stride
        pad = -time % stride
        q, k, v = (
            _fold(F.pad(x, (0, 0, 0, pad)).unflatten(2, (-1, stride)).transpose(2, 3))
            for x in (q, k, v)
        )
        if self.bias is None:
            y = self.weigh(q, k, v, None, causal=True)
        else:
            y = self.weigh(
                q, k, v, self.mask(distances(q.shape[2], q.shape[2], q.device) * stride, q)
            )
        # (batch × stride, heads, time / stride, dim) -> (batch, heads, time, dim)
        return y.unflatten(0, (-1, stride)).permute(0, 2, 3, 1, 4).flatten(2, 3)[:, :, :time]

    def sees(self, distance: Tensor) -> Tensor:
        """Multiples of the stride."""
        return (distance >= 0) & (distance % self.stride == 0)

    def pairs(self, time: int) -> int:
        """Query t sees t // stride + 1 keys."""
        whole, rest = divmod(time, self.stride)
        return self.heads * (self.stride * whole * (whole + 1) // 2 + rest * (whole + 1))

    def computed_pairs(self, time: int) -> int:
        """Each residue's positions meet each other."""
        return self.heads * self.stride * (-(-time // self.stride)) ** 2


class LocalAndStrided(nn.Module):
    """Half the heads local, half strided (Child et al. 2019, section 4.3). The cut lies between
    groups that share a kv head.
    """

    def __init__(self, scores: Scores, band: int) -> None:
        super().__init__()
        self.heads, self.kv_heads = scores.heads, scores.kv_heads
        kv = scores.kv_heads
        if self.heads % 2:
            raise UserError(
                f"strided attention needs an even number of heads, not {self.heads}: half "
                "are local, half strided"
            )
        if kv % 2 and kv > 1:
            raise UserError(
                f"strided attention needs one kv head or an even number, not {kv}: each half "
                "has its own"
            )
        self.cut = self.heads // 2
        # A lone kv head serves both halves.
        self.kv_local, self.kv_strided = (
            (slice(0, 1), slice(0, 1)) if kv == 1 else (slice(0, kv // 2), slice(kv // 2, kv))
        )
        self.local = Local(_part(scores, slice(0, self.cut), self.kv_local), band)
        self.strided = Strided(_part(scores, slice(self.cut, scores.heads), self.kv_strided), band)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """A whole sequence at once."""
        near = self.local(q[:, : self.cut], k[:, self.kv_local], v[:, self.kv_local])
        far = self.strided(q[:, self.cut :], k[:, self.kv_strided], v[:, self.kv_strided])
        return torch.cat((near, far), dim=1)

    def step(self, q: Tensor, k: Tensor, v: Tensor, memory: KVCache) -> Tensor:
        """The next tokens; each half keeps what it needs."""
        local, strided = memory.part("local"), memory.part("strided")
        near = self.local.step(q[:, : self.cut], k[:, self.kv_local], v[:, self.kv_local], local)
        far = self.strided.step(
            q[:, self.cut :], k[:, self.kv_strided], v[:, self.kv_strided], strided
        )
        return torch.cat((near, far), dim=1)

    def part(self, heads: slice, kv_heads: slice) -> nn.Module:
        """The same for some of the heads, which may lie in one half."""
        near, far = heads.start < self.cut, heads.stop > self.cut
        if near and far:
            raise UserError(
                "strided attention is split between its halves: take a tensor size of 1, or "
                "an even one"
            )
        half, first = (self.local, 0) if near else (self.strided, self.cut)
        return half.part(slice(heads.start - first, heads.stop - first), kv_heads)

    def pairs(self, time: int) -> int:
        """Of both halves."""
        return self.local.pairs(time) + self.strided.pairs(time)

    def kept(self, time: int) -> int:
        """Of both halves."""
        return self.local.kept(time) + self.strided.kept(time)


def _part(scores: Scores, heads: slice, kv_heads: slice) -> Scores:
    bias = None if scores.bias is None else HeadsBias(scores.bias, heads)
    return replace(
        scores, heads=heads.stop - heads.start, kv_heads=kv_heads.stop - kv_heads.start, bias=bias
    )


def _fold(x: Tensor) -> Tensor:
    """(batch, heads, n, m, dim) -> (batch × n, heads, m, dim): torch's attention runs over the
    chunks as over a batch.
    """
    return x.transpose(1, 2).flatten(0, 1)
