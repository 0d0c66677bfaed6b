"""Rotary positions (PaLM, LLaMA)."""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from ablab.plugin import Edit, NoPosition, Rotate, Site, UserError, plugin


class _Rotation(nn.Module):
    """Turns each pair (x[i], x[i + head_dim/2]) by position × base^(−2i/head_dim)."""

    def __init__(self, context: int, head_dim: int, base: float) -> None:
        super().__init__()
        frequency = base ** -(torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
        angle = torch.outer(torch.arange(context, dtype=torch.float64), frequency)
        # (context, head_dim): the two halves turn by the same angles
        self.register_buffer("cos", angle.cos().repeat(1, 2).float(), persistent=False)
        self.register_buffer("sin", angle.sin().repeat(1, 2).float(), persistent=False)
        self.cos: Tensor
        self.sin: Tensor

    def forward(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        time = q.shape[-2]
        cos, sin = self.cos[:time].to(q.dtype), self.sin[:time].to(q.dtype)
        return self._turn(q, cos, sin), self._turn(k, cos, sin)

    @staticmethod
    def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=-1)
        return x * cos + torch.cat((-second, first), dim=-1) * sin


@dataclass(frozen=True)
class Rotary(Rotate):
    """Rotates queries and keys by their position."""

    base: float

    def build(self, site: Site) -> nn.Module:
        """The rotation with its angles. Raises UserError for an odd head dimension."""
        if site.dims.head_width % 2:
            raise UserError(f"rope turns pairs: the head dimension must be even, not {site.dims.head_width}")
        return _Rotation(site.dims.context, site.dims.head_width, self.base)


@plugin(source="Su et al. 2021, arXiv:2104.09864, equation 34")
class Rope:
    """Rotary positions: rotates queries and keys by their position; no learned table."""

    base: Annotated[float, Field(gt=1)] = 10_000.0

    def edit(self) -> Edit:
        """Writes the position (none) and the rotation."""
        return {"position": NoPosition(), "mixer.rotate": Rotary(self.base)}
