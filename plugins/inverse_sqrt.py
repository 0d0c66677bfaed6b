"""Inverse square root decay of the learning rate (the first Transformer, PaLM)."""

from dataclasses import dataclass
from math import sqrt
from typing import Annotated

from pydantic import Field

from ablab.plugin import Edit, ScheduleSlot, plugin


@dataclass(frozen=True)
class InverseRootDecay(ScheduleSlot):
    """1 until `hold` of the budget is spent (or the warm-up is over), then falling as the inverse
    root of what is spent.
    """

    hold: float

    def factor(self, share: float) -> float:
        """Without warm-up."""
        return self.at(share, 0.0)

    def at(self, share: float, warmup: float) -> float:
        """√(start / share) from start = max(hold, warmup) on."""
        start = max(self.hold, warmup)
        return sqrt(start / max(share, start))


@plugin(
    source="Vaswani et al. 2017, arXiv:1706.03762, section 5.3; hold as in PaLM (Chowdhery et al. "
    "2022, arXiv:2204.02311, section 5): 10,000 of 255,000 steps"
)
class InverseSqrt:
    """Inverse square root decay: constant until `hold` of the budget is spent, then the peak ×
    √(hold / share spent).

    A warm-up longer than `hold` takes its place, which is the first Transformer's schedule.
    """

    hold: Annotated[float, Field(gt=0, lt=1)] = 0.04

    def edit(self) -> Edit:
        """Writes the schedule."""
        return {"recipe.schedule": InverseRootDecay(self.hold)}
