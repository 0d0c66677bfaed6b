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
        """The module."""
        return nn.SiLU()


@plugin(
    source=(
        "Shazeer 2020, arXiv:2002.05202; width as in LLaMA (Touvron et al. 2023, arXiv:2302.13971)"
    )
)
class Swiglu:
    """SwiGLU: a gated feed-forward, 2/3·4d wide by default, which costs about what GELU at 4d
    costs.

    The width is `factor` × width, rounded up to a multiple of min(`multiple`, width / 16): LLaMA's
    own widths at its sizes, and a fair one at small sizes.
    """

    factor: Annotated[float, Field(gt=0)] = 8 / 3
    multiple: Annotated[int, Field(ge=1)] = 256

    def edit(self) -> Edit:
        """Writes the feed-forward."""
        return {"mlp": GatedMlp(Silu(), self.factor, self.multiple)}
