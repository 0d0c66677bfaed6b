"""Padded vocabulary (Megatron)."""

from typing import Annotated

from pydantic import Field

from ablab.plugin import Edit, plugin


@plugin(source="Shoeybi et al. 2019 (Megatron-LM), arXiv:1909.08053, section 3")
class PaddedVocab:
    """Padded vocabulary: the table is padded to a multiple of 128 × ranks (1024 for 8), and the
    logits of the padding are masked.
    """

    multiple: Annotated[int, Field(ge=1)] = 1024

    def edit(self) -> Edit:
        """Return an edit that sets the divisor of the number of rows."""
        return {"vocab_multiple": self.multiple}
