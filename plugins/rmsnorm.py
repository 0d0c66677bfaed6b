"""RMSNorm (LLaMA)."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import nn

from ablab.plugin import Edit, Kind, Norm, Role, Site, plugin


class _RmsNorm(nn.RMSNorm):
    roles = {"weight": Role(Kind.GAIN)}  # noqa: RUF012


@dataclass(frozen=True)
class Rms(Norm):
    """x / sqrt(mean(x²) + eps) times a gain: no mean is taken off, no bias is added."""

    eps: float

    def build(self, site: Site, width: int) -> nn.Module:
        """A module that normalises (..., width)."""
        return _RmsNorm(width, eps=self.eps)


@plugin(source="Zhang & Sennrich 2019, arXiv:1910.07467")
class Rmsnorm:
    """RMSNorm in place of LayerNorm: divides by the root mean square, with a gain and no bias."""

    eps: Annotated[float, Field(gt=0)] = 1e-5

    def edit(self) -> Edit:
        """Writes the norm."""
        return {"norm": Rms(self.eps)}
