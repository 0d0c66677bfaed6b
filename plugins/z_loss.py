"""The z-loss (PaLM)."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor

from ablab.plugin import Edit, LossTerm, plugin


@dataclass(frozen=True)
class SquaredLogZ(LossTerm):
    """Coefficient · log²Z."""

    coefficient: float

    def __call__(self, log_z: Tensor, target: Tensor) -> Tensor:
        """Each token's term, (tokens,)."""
        return self.coefficient * log_z.square()


@plugin(name="z_loss", source="Chowdhery et al. 2022 (PaLM), arXiv:2204.02311, section 5")
class ZLoss:
    """The z-loss: coefficient · log²Z is added to each token's loss, which keeps the softmax's
    normaliser near 1.
    """

    coefficient: Annotated[float, Field(gt=0)] = 1e-4

    def edit(self) -> Edit:
        """Writes a loss term."""
        return {"recipe.loss.z": SquaredLogZ(self.coefficient)}
