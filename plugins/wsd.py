"""Warm-up, stable, decay."""

from dataclasses import dataclass
from math import sqrt
from typing import Annotated, Literal

from pydantic import Field

from ablab.plugin import Edit, ScheduleSlot, plugin

Shape = Literal["linear", "sqrt"]


@dataclass(frozen=True)
class StableDecay(ScheduleSlot):
    """1 until the last `decay` of the budget, then a decrease to `floor`."""

    decay: float
    floor: float
    shape: Shape

    def factor(self, share: float) -> float:
        """Return the factor without warm-up."""
        return self.at(share, 0.0)

    def at(self, share: float, warmup: float) -> float:
        """Return 1 − (1 − floor)·d, where d is the share of the decay completed, or its root."""
        start = max(1.0 - self.decay, warmup)
        progress = min(1.0, (share - start) / (1.0 - start)) if share > start else 0.0
        return 1 - (1 - self.floor) * (sqrt(progress) if self.shape == "sqrt" else progress)


@plugin(
    source=(
        "Hu et al. 2024 (MiniCPM), arXiv:2404.06395, section 4; shapes as in Hägele et al. 2024, "
        "arXiv:2405.18392, section 3"
    )
)
class Wsd:
    """Warm-up, stable, decay: the peak learning rate until the last `decay` of the budget, then a
    decrease to `floor` of it.

    The `shape` of the decay is `linear` or `sqrt` (1 − √progress), which Hägele et al. found to be
    better.
    """

    decay: Annotated[float, Field(gt=0, le=1)] = 0.2
    floor: Annotated[float, Field(ge=0, le=1)] = 0.0
    shape: Shape = "linear"

    def edit(self) -> Edit:
        """Return an edit that sets the schedule."""
        return {"recipe.schedule": StableDecay(self.decay, self.floor, self.shape)}
