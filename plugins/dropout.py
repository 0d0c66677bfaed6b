"""Dropout (GPT-1, GPT-2)."""

from typing import Annotated

from pydantic import Field

from ablab.plugin import Edit, plugin


@plugin(source="Srivastava et al. 2014; Radford et al. 2018 (GPT-1), section 4.1")
class Dropout:
    """Dropout on the embedding, the attention weights and the output of each branch during
    training.
    """

    p: Annotated[float, Field(gt=0, lt=1)] = 0.1

    def edit(self) -> Edit:
        """Return an edit that sets the architecture's dropout."""
        return {"dropout": self.p}
