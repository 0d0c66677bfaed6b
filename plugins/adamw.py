"""AdamW (all families but PaLM)."""

from typing import Annotated

from pydantic import Field

from ablab.plugin import AdamW, Edit, plugin


@plugin(source="Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2; β as LLaMA's")
class Adamw:
    """AdamW: Adam with weight decay apart from the gradient; what the base recipe has, with
    options.
    """

    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.95
    eps: Annotated[float, Field(gt=0)] = 1e-8

    def edit(self) -> Edit:
        """Writes the optimizer."""
        return {"recipe.optimizer": AdamW(self.beta1, self.beta2, self.eps)}
