"""Scaled logits (PaLM)."""

from dataclasses import dataclass
from math import sqrt

from ablab.plugin import Edit, LogitScale, plugin


@dataclass(frozen=True)
class InverseRootWidth(LogitScale):
    """1/sqrt(width)."""

    def factor(self, width: int) -> float:
        """Return the factor for a residual stream of `width`."""
        return 1 / sqrt(width)


@plugin(name="logit_scale", source="Chowdhery et al. 2022 (PaLM), arXiv:2204.02311, section 5")
class ScaledLogits:
    """Scaled logits: logits multiplied by 1/sqrt(width), which suits embeddings initialised from
    N(0, 1).
    """

    def edit(self) -> Edit:
        """Return an edit that sets the logits' factor."""
        return {"logits.scale": InverseRootWidth()}
