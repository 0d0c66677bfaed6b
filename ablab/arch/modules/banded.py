"""Sparse attention whose time and memory scale with the number of attended pairs.

A sequence is cut into chunks. Each chunk of queries attends to its own keys and to those of the
previous chunk, in a single masked call of `scaled_dot_product_attention`, so the same code runs on
every device.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablab.arch.modules.attend import Attend, HeadsBias, distances
from ablab.arch.modules.context import KVCache
from ablab.arch.slots import Scores
from ablab.errors import UserError

_SMALLEST_CHUNK = 32


class Local(Attend):
    """Local attention: each query sees itself and the `band` − 1 keys before it (Child et al. 2019,
    arXiv:1904.10509; Beltagy et al. 2020, arXiv:2004.05150).
    """

    def __init__(self, scores: Scores, band: int) -> None:
        super().__init__(scores)
        self.band = band
        self.chunk = max(band, _SMALLEST_CHUNK)
        self.keep = band - 1

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend within a complete sequence, in time and memory proportional to time × band."""
        time = q.shape[2]
        chunk = self.chunk
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
        # (batch, heads, time, head_dim) -> (batch × chunks, heads, chunk, head_dim), and keys and
        # values with the chunk before: (batch × chunks, kv heads, 2 × chunk, head_dim)
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
        """Prepend to each chunk the previous one; the first chunk is dropped.

        `(batch, heads, chunks, chunk, dim)` to `(batch, heads, chunks - 1, 2 × chunk, dim)`.
        """
        return torch.cat((x[:, :, :-1], x[:, :, 1:]), dim=3)

    def sees(self, distance: Tensor) -> Tensor:
        """Distances smaller than the band are visible."""
        return (distance >= 0) & (distance < self.band)

    def pairs(self, time: int) -> int:
        """The first `band` queries see themselves and everything before them; all others see `band`
        keys.
        """
        full = min(self.band, time)
        return self.heads * (full * (full + 1) // 2 + (time - full) * self.band)

    def computed_pairs(self, time: int) -> int:
        """The first chunk of queries is paired with its own keys, and each later chunk with the
        keys of two chunks.
        """
        first = min(time, self.chunk)
        later = max(0, -(-time // self.chunk) - 1)
        return self.heads * (first**2 + later * 2 * self.chunk**2)


class Strided(Attend):
    """Strided attention: each query sees itself and every `stride`-th key before it."""

    def __init__(self, scores: Scores, stride: int) -> None:
        super().__init__(scores)
        self.stride = stride

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend within a complete sequence, densely among positions that are equal modulo the
        stride.
        """
        time = q.shape[2]
        stride = self.stride
        pad = -time % stride
        # (batch, heads, time, head_dim) -> (batch × stride, heads, time / stride, head_dim)
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
        """Multiples of the stride are visible."""
        return (distance >= 0) & (distance % self.stride == 0)

    def pairs(self, time: int) -> int:
        """Query t sees t // stride + 1 keys."""
        rows, remainder = divmod(time, self.stride)
        return self.heads * (self.stride * rows * (rows + 1) // 2 + remainder * (rows + 1))

    def computed_pairs(self, time: int) -> int:
        """Positions that are equal modulo the stride are paired with each other."""
        return self.heads * self.stride * (-(-time // self.stride)) ** 2


class LocalAndStrided(nn.Module):
    """Half of the heads are local, the other half strided (Child et al. 2019, section 4.3).

    The halves are separated between two groups of heads that share a kv head.
    """

    def __init__(self, scores: Scores, band: int) -> None:
        super().__init__()
        self.heads = scores.heads
        self.kv_heads = scores.kv_heads
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
        # A single kv head serves both halves.
        self.kv_local = slice(0, max(1, kv // 2))
        self.kv_strided = slice(kv // 2, kv)
        self.local = Local(_part(scores, slice(0, self.cut), self.kv_local), band)
        self.strided = Strided(_part(scores, slice(self.cut, scores.heads), self.kv_strided), band)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend within a complete sequence."""
        near = self.local(q[:, : self.cut], k[:, self.kv_local], v[:, self.kv_local])
        far = self.strided(q[:, self.cut :], k[:, self.kv_strided], v[:, self.kv_strided])
        return torch.cat((near, far), dim=1)

    def step(self, q: Tensor, k: Tensor, v: Tensor, memory: KVCache) -> Tensor:
        """Attend from the next tokens; each half has its own cache."""
        local = memory.part("local")
        strided = memory.part("strided")
        near = self.local.step(q[:, : self.cut], k[:, self.kv_local], v[:, self.kv_local], local)
        far = self.strided.step(
            q[:, self.cut :], k[:, self.kv_strided], v[:, self.kv_strided], strided
        )
        return torch.cat((near, far), dim=1)

    def part(self, heads: slice, kv_heads: slice) -> nn.Module:
        """Return this attention restricted to the given heads. Raises UserError if they belong to
        both halves.
        """
        if heads.start < self.cut < heads.stop:
            raise UserError(
                "strided attention is split between its halves: take a tensor size of 1, or "
                "an even one"
            )
        if heads.stop <= self.cut:
            return self.local.part(heads, kv_heads)
        return self.strided.part(slice(heads.start - self.cut, heads.stop - self.cut), kv_heads)

    def pairs(self, time: int) -> int:
        """Return the number of pairs of both halves."""
        return self.local.pairs(time) + self.strided.pairs(time)

    def cached_vectors(self, time: int) -> int:
        """Return the number of cached vectors of both halves."""
        return self.local.cached_vectors(time) + self.strided.cached_vectors(time)


def _part(scores: Scores, heads: slice, kv_heads: slice) -> Scores:
    bias = None if scores.bias is None else HeadsBias(scores.bias, heads)
    return replace(
        scores, heads=heads.stop - heads.start, kv_heads=kv_heads.stop - kv_heads.start, bias=bias
    )


def _fold(x: Tensor) -> Tensor:
    """Fold dimension 2 into the batch: `(batch, heads, n, m, dim)` to `(batch × n, heads, m,
    dim)`.
    """
    return x.transpose(1, 2).flatten(0, 1)
