"""Soft-capped logits (Gemma 2)."""

from typing import Annotated

from pydantic import Field

from ablab.plugin import Edit, plugin


@plugin(
    source=(
        "Gemma Team 2024 (Gemma 2), arXiv:2408.00118, section 2; Bello et al. 2016, "
        "arXiv:1611.09940"
    )
)
class LogitSoftcap:
    """Soft-capped logits: cap · tanh(logits / cap), so that none exceeds the cap."""

    cap: Annotated[float, Field(gt=0)] = 30.0

    def edit(self) -> Edit:
        """Return an edit that sets the logits' bound."""
        return {"logits.softcap": self.cap}
