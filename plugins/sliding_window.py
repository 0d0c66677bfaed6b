"""Sliding-window attention (Longformer, Mistral)."""

from typing import Annotated

from pydantic import Field

from ablab.plugin import Banded, Edit, plugin


@plugin(
    source="Beltagy et al. 2020, arXiv:2004.05150; Jiang et al. 2023 (Mistral), arXiv:2310.06825"
)
class SlidingWindow:
    """Sliding window: in every layer a query attends to itself and `band` − 1 keys before it."""

    band: Annotated[int, Field(ge=1)] = 128

    def edit(self) -> Edit:
        """Return an edit that sets the pattern."""
        return {"mixer.pattern": Banded(self.band)}
