"""The z-loss (PaLM)."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor

from ablab.plugin import Edit, LossTerm, plugin


@dataclass(frozen=True)
class SquaredLogZ(LossTerm):
    """The loss term coefficient · log²Z."""

    coefficient: float

    def __call__(self, log_z: Tensor, target: Tensor) -> Tensor:
        """Return the term of each token, `(tokens,)`."""
        return self.coefficient * log_z.square()


@plugin(name="z_loss", source="Chowdhery et al. 2022 (PaLM), arXiv:2204.02311, section 5")
class ZLoss:
    """z-loss: coefficient · log²Z is added to the loss of each token, which keeps the normaliser of
    the softmax near 1.
    """

    coefficient: Annotated[float, Field(gt=0)] = 1e-4

    def edit(self) -> Edit:
        """Return an edit that adds a loss term."""
        return {"recipe.loss.z": SquaredLogZ(self.coefficient)}
