"""Rotary positions (PaLM, LLaMA)."""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from ablab.plugin import BuildContext, Edit, NoPosition, Rotate, UserError, plugin


class _Rotation(nn.Module):
    """Rotates each pair (x[i], x[i + n/2]) of the first n dimensions by position × base^(−2i/n).

    Angles are computed in float32 for every precision of the model, as in the published models.
    """

    def __init__(self, context: int, turned: int, base: float) -> None:
        super().__init__()
        self.turned = turned
        frequency = 1 / base ** (torch.arange(0, turned, 2, dtype=torch.float32) / turned)
        angle = torch.outer(torch.arange(context, dtype=torch.float32), frequency)
        # (context, turned): both halves rotate by the same angles
        cos, sin = angle.cos(), angle.sin()
        self.register_buffer("cos", torch.cat((cos, cos), dim=1), persistent=False)
        self.register_buffer("sin", torch.cat((-sin, sin), dim=1), persistent=False)
        self.cos: Tensor
        self.sin: Tensor

    def forward(self, q: Tensor, k: Tensor, start: int = 0) -> tuple[Tensor, Tensor]:
        end = start + q.shape[-2]
        cos = self.cos[start:end].to(q.dtype)
        sin = self.sin[start:end].to(q.dtype)
        return self._turn(q, cos, sin), self._turn(k, cos, sin)

    def _turn(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        if self.turned == x.shape[-1]:
            return _turned(x, cos, sin)
        return torch.cat((_turned(x[..., : self.turned], cos, sin), x[..., self.turned :]), dim=-1)


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    # The first half of `sin` is negative, so that the halves need only change places.
    return x * cos + x.roll(x.shape[-1] // 2, dims=-1) * sin


@dataclass(frozen=True)
class Rotary(Rotate):
    """Rotates `share` of each query's and key's dimensions by their position."""

    base: float
    share: float

    def build(self, site: BuildContext) -> nn.Module:
        """Return the rotation with its angles.

        Raises:
            UserError: if the number of rotated dimensions is zero or odd.

        """
        head_dim = site.dims.head_width
        turned = self.share * head_dim
        if turned != int(turned) or turned < 2 or turned % 2:
            what = (
                "the head dimension"
                if self.share == 1
                else f"share {self.share:g} of the head dimension {head_dim}"
            )
            raise UserError(f"rope turns pairs: {what} must be even, not {turned:g}")
        return _Rotation(site.dims.context, int(turned), self.base)


@plugin(source="Su et al. 2021, arXiv:2104.09864, equation 34")
class Rope:
    """Rotary positions: queries and keys are rotated by their position; no learned table.

    `share` is the share of the dimensions of each head that is rotated; Black et al. (2022,
    arXiv:2204.06745) rotate a quarter.
    """

    base: Annotated[float, Field(gt=1)] = 10_000.0
    share: Annotated[float, Field(gt=0, le=1)] = 1.0

    def edit(self) -> Edit:
        """Return an edit that sets the position (none) and the rotation."""
        return {"position": NoPosition(), "mixer.rotate": Rotary(self.base, self.share)}
