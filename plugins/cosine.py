"""Cosine decay (GPT-1 to LLaMA)."""

from typing import Annotated

from pydantic import Field

from ablab.plugin import Cosine as HalfCosine
from ablab.plugin import Edit, plugin


@plugin(
    source=(
        "Loshchilov & Hutter 2017, arXiv:1608.03983; floor as in GPT-3 (Brown et al. 2020, "
        "arXiv:2005.14165, appendix B)"
    )
)
class Cosine:
    """Cosine decay of the learning rate from its peak to `floor` of it; the schedule of the base
    recipe, with options.
    """

    floor: Annotated[float, Field(ge=0, le=1)] = 0.1

    def edit(self) -> Edit:
        """Return an edit that sets the schedule."""
        return {"recipe.schedule": HalfCosine(self.floor)}
