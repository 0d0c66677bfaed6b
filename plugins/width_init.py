"""Initialisation of embeddings by width, so that small models start with logits like GPT-2's."""

from dataclasses import dataclass
from math import sqrt
from typing import Annotated

from pydantic import Field

from ablab.plugin import Edit, InitStd, plugin

GPT2_STD = 0.02


@dataclass(frozen=True)
class InverseRootWidthStd(InitStd):
    """0.02 · sqrt(`reference_width` / width): GPT-2's standard deviation at `reference_width`.
    Learned positions keep 0.02, unless `positions` is true.
    """

    reference_width: int
    positions: bool

    def std(self, shape: tuple[int, ...]) -> float:
        """Return the standard deviation for a table of shape `(entries, width)`."""
        return GPT2_STD * sqrt(self.reference_width / shape[1])

    def position_std(self, shape: tuple[int, ...]) -> float:
        """Return the standard deviation for learned positions, `(context, width)`."""
        return self.std(shape) if self.positions else GPT2_STD


@plugin(
    source=(
        "Radford et al. 2019 (GPT-2), section 2.3, and its released code: N(0, 0.02²) at width 768"
    )
)
class WidthInit:
    """Width init: token embeddings are drawn from N(0, σ²), where the standard deviation σ is
    0.02·sqrt(768/width) instead of 0.02 at every width.

    The final norm gives a hidden state the length sqrt(width), so logits of a tied head start with
    a standard deviation of σ·sqrt(width): 0.55 in GPT-2 at width 768, but 0.16 at width 64 if σ
    stays 0.02. With this plugin it is 0.02·sqrt(`reference_width`) at every width, and nothing
    changes at `reference_width` itself.

    Learned positions keep 0.02, because they take no part in the logits and small models learn
    worse if they are scaled as well (docs/recipes.md); `positions` scales them. The weight of an
    untied head is a matrix and keeps its own initialisation.
    """

    reference_width: Annotated[int, Field(ge=1)] = 768
    positions: bool = False

    def edit(self) -> Edit:
        """Return an edit that sets the init of embeddings."""
        return {"init.embedding": InverseRootWidthStd(self.reference_width, self.positions)}
