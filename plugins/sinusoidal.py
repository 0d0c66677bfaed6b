"""Sinusoidal positions, as in the first Transformer."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ablab.plugin import BuildContext, Edit, Position, plugin


class _Sinusoids(nn.Module):
    def __init__(self, context: int, width: int) -> None:
        super().__init__()
        even = torch.arange(0, width, 2, dtype=torch.float64)
        angle = torch.outer(torch.arange(context, dtype=torch.float64), 10_000.0 ** (-even / width))
        # (context, width): sines at even dimensions, cosines at odd ones
        table = torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)[:, :width]
        self.register_buffer("table", table.float(), persistent=False)
        self.table: Tensor
        self.scale = math.sqrt(width)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        # x: (batch, time, width); without the factor, the sinusoids would drown the embeddings
        return x * self.scale + self.table[start : start + x.shape[1]].to(x.dtype)


@dataclass(frozen=True)
class Sinusoids(Position):
    """sin and cos of position / 10000^(2i/width), added to the embedding times √width."""

    def build(self, site: BuildContext) -> nn.Module:
        """Return a module that scales its input and adds the fixed table, `(context, width)`."""
        return _Sinusoids(site.dims.context, site.dims.width)


@plugin(source="Vaswani et al. 2017, arXiv:1706.03762, sections 3.4 and 3.5")
class Sinusoidal:
    """Sinusoidal positions: a fixed table of sines and cosines, added to embeddings that are
    multiplied by sqrt(width).
    """

    def edit(self) -> Edit:
        """Return an edit that sets the position."""
        return {"position": Sinusoids()}
