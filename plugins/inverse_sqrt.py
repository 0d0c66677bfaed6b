"""Inverse square root decay of the learning rate (the first Transformer, PaLM)."""

from dataclasses import dataclass
from math import sqrt
from typing import Annotated

from pydantic import Field

from ablab.plugin import Edit, ScheduleSlot, plugin


@dataclass(frozen=True)
class InverseRootDecay(ScheduleSlot):
    """1 until `hold` of the budget is spent (or the warm-up is over), then proportional to the
    inverse square root of the share spent.
    """

    hold: float

    def factor(self, share: float) -> float:
        """Return the factor without warm-up."""
        return self.at(share, 0.0)

    def at(self, share: float, warmup: float) -> float:
        """Return √(start / share) after start = max(hold, warmup), and 1 before."""
        start = max(self.hold, warmup)
        return sqrt(start / max(share, start))


@plugin(
    source="Vaswani et al. 2017, arXiv:1706.03762, section 5.3; hold as in PaLM (Chowdhery et al. "
    "2022, arXiv:2204.02311, section 5): 10,000 of 255,000 steps"
)
class InverseSqrt:
    """Inverse square root decay: constant until `hold` of the budget is spent, then the peak ×
    √(hold / share spent).

    A warm-up longer than `hold` replaces it, as in the schedule of the first Transformer.
    """

    hold: Annotated[float, Field(gt=0, lt=1)] = 0.04

    def edit(self) -> Edit:
        """Return an edit that sets the schedule."""
        return {"recipe.schedule": InverseRootDecay(self.hold)}
