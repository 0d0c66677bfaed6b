"""AdamW (all families but PaLM)."""

from typing import Annotated

from pydantic import Field

from ablab.plugin import AdamW, Edit, plugin


@plugin(source="Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2; β as LLaMA's")
class Adamw:
    """AdamW: Adam with decoupled weight decay; the optimizer of the base recipe, with options."""

    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.95
    eps: Annotated[float, Field(gt=0)] = 1e-8

    def edit(self) -> Edit:
        """Return an edit that sets the optimizer."""
        return {"recipe.optimizer": AdamW(self.beta1, self.beta2, self.eps)}
