"""Normalised queries and keys."""

from typing import Literal

from ablab.plugin import Edit, LayerNorm, RmsNorm, plugin


@plugin(
    source="Henry et al. 2020, arXiv:2010.04245; Dehghani et al. 2023 (ViT-22B), arXiv:2302.05442"
)
class QkNorm:
    """QK norm: queries and keys are normalised over the dimension of each head, before rotation."""

    kind: Literal["rms", "layer"] = "rms"

    def edit(self) -> Edit:
        """Return an edit that sets the norm of queries and keys."""
        return {"mixer.qk_norm": RmsNorm() if self.kind == "rms" else LayerNorm()}
