"""Scaled logits (PaLM)."""

from dataclasses import dataclass
from math import sqrt

from ablab.plugin import Edit, LogitScale, plugin


@dataclass(frozen=True)
class InverseRootWidth(LogitScale):
    """1/sqrt(width)."""

    def factor(self, width: int) -> float:
        """The factor for a stream of `width`."""
        return 1 / sqrt(width)


@plugin(name="logit_scale", source="Chowdhery et al. 2022 (PaLM), arXiv:2204.02311, section 5")
class ScaledLogits:
    """Scaled logits: the logits times 1/sqrt(width), which goes with embeddings that start at N(0,
    1).
    """

    def edit(self) -> Edit:
        """Writes the logits' factor."""
        return {"logits.scale": InverseRootWidth()}
