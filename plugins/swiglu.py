"""SwiGLU feed-forward (PaLM, LLaMA)."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import nn

from ablab.plugin import Activation, Edit, GatedMlp, plugin


@dataclass(frozen=True)
class Silu(Activation):
    """x · sigmoid(x), also called swish."""

    def build(self) -> nn.Module:
        """Return the module."""
        return nn.SiLU()


@plugin(
    source=(
        "Shazeer 2020, arXiv:2002.05202; width as in LLaMA (Touvron et al. 2023, arXiv:2302.13971)"
    )
)
class Swiglu:
    """SwiGLU: a gated feed-forward, by default 2/3·4d wide, so that it costs about as much as GELU
    at 4d.

    The width is `factor` × width, rounded up to a multiple of min(`multiple`, width / 16). These
    are the widths of LLaMA at its sizes; at small sizes the rounding remains small.
    """

    factor: Annotated[float, Field(gt=0)] = 8 / 3
    multiple: Annotated[int, Field(ge=1)] = 256

    def edit(self) -> Edit:
        """Return an edit that sets the feed-forward."""
        return {"mlp": GatedMlp(Silu(), self.factor, self.multiple)}
